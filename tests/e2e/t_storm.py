# Many faults of every kind under programs at work: the server, redirectors and connections killed, cut, stopped, silent, shut out.
# SPDX-License-Identifier: Apache-2.0
import contextlib
import json
import os
import subprocess
import sys
import threading
import time

from harness import Attachment, Failed, test, wait_for
from postgres import Postgres
from proxy import Proxy
from storm import Storm, all_at_once, clerks
from t_disk import FullDisk
from t_fsx import exercise
from t_programs import sqlite_check
from t_restart import supervised

FAULTS = int(os.environ.get("INLAY_FAULTS", "0"))  # a soak wants hundreds in one go
PATIENCE = 300 + 4 * FAULTS


def faults(t, usual):
    return FAULTS or (usual // 4 if t.quick else usual)


class Site:
    """A server that starts again when it is killed, and two clients, each behind a proxy of its own."""

    def __init__(self, t, export=None):
        self.behind = t.behind = export or t.export()
        self.t, self.server = t, supervised(t, self.behind)
        self.proxies = [Proxy(t, self.server.address) for _ in range(2)]
        self.clients = [Attachment(t, f"{proxy.address}/e", t.dir(f"mnt{number}"), ("--connections", "2"))
                        for number, proxy in enumerate(self.proxies)]
        self.mounts = [a.dir for a in self.clients]
        self.pids = [a.pid() for a in self.clients]

    def server_pid(self):
        with open(self.t.path("server.pid")) as f:
            return int(f.read())

    def directories(self, name):
        """The same new directory by both clients."""
        path = f"{self.behind}/{name}"
        os.mkdir(path)
        return [f"{mount}/{name}" for mount in self.mounts]

    def revive(self, pid):
        """The redirector that has taken over from a killed one."""
        a = self.clients[self.pids.index(pid)]

        def other():
            with contextlib.suppress(Failed, OSError, KeyError, ValueError):
                now = a.status()["pid"]
                return now != pid and now

        return wait_for("another redirector", other)

    def storm(self, wanted, kills=True, **options):
        """Redirectors are killed where a guardian sees to it that another takes over."""
        revive = self.revive if kills and all(a.status().get("guarded") for a in self.clients) else None
        return Storm(wanted, self.proxies, self.pids, self.server_pid, kills=kills, revive=revive, **options)

    def calm(self):
        """Nothing may be waited for once nothing is broken any more."""
        for a in self.clients:
            wait_for("health", lambda a=a: a.status()["health"] == "healthy", 30)
            self.t.must("ls", "-l", a.dir)


@test(root=True, timeout=PATIENCE)
def test_storm(t):
    """fsx by two clients, SQLite by two clients and clerks that count what they were told, under 40 faults of ten kinds"""
    site = Site(t)
    done = 0
    lock, numbers = threading.Lock(), iter(range(1 << 30))
    fsx, sqlite = site.directories("fsx"), site.directories("sqlite")

    def office():
        nonlocal done
        with lock:
            name = f"office{next(numbers)}"
        site.directories(name)
        count = clerks(t, site.mounts, f"{site.behind}/{name}", 5)
        with lock:
            done += count

    def database():
        t.behind = f"{site.behind}/sqlite"
        sqlite_check(t, "delete", *sqlite)
        os.unlink(f"{t.behind}/test.db")

    with site.storm(faults(t, 40)) as storm:
        rounds = all_at_once(storm, lambda: exercise(t, 2000, 1, *fsx, options=["-r"]), database, office)
    print(f"  {sum(storm.counts.values())} faults ({storm.told()}); {rounds} rounds, {done} operations of clerks")
    site.calm()


@test(root=True, timeout=PATIENCE, quick=False)
def test_storm_postgresql(t):
    """pgbench under faults of ten kinds: PostgreSQL sees no error, and what was committed is there, after its own crash as well"""
    site = Site(t)
    with Postgres(t, site.mounts[0]) as postgres:
        with site.storm(faults(t, 10)) as storm:
            all_at_once(storm, postgres.bench)
        site.calm()
        postgres.verify()
        print(f"  {sum(storm.counts.values())} faults ({storm.told()}); {postgres.done} transactions")


# Appends numbered records to a file, each synced, and goes on where the disk was full; says what was acknowledged, and
# how often it was refused.
KEEPER = """
import errno, json, os, sys
path, stop = sys.argv[1:]
fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
size = number = refused = 0
kept = []
while not os.path.exists(stop):
    record = f"{number:08} ".encode() * 400
    try:
        wrote = 0
        while wrote < len(record):
            wrote += os.pwrite(fd, record[wrote:], size + wrote)
        os.fsync(fd)
        size += len(record)
        kept.append(number)
    except OSError as e:
        if e.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        refused += 1
    number += 1
    if size > 1 << 20:  # begins anew, so that the disk isn't full of it alone
        os.ftruncate(fd, 0)
        os.fsync(fd)
        size, kept = 0, []
print(json.dumps([kept, refused, number]), flush=True)
"""


@test(root=True, timeout=PATIENCE)
def test_storm_on_a_full_disk(t):
    """the disk is full, again and again, while the server, redirectors and connections are killed: what fsync acknowledged is there"""
    disk = FullDisk(t, "disk")
    site = Site(t, disk.top)
    stop = t.path("stop")
    procs = [t.start(sys.executable, "-c", KEEPER, f"{mount}/f{i}", stop, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
             for i, mount in enumerate(site.mounts * 2)]
    with site.storm(faults(t, 16), disk=disk) as storm:
        while not storm.done():
            time.sleep(0.1)
    site.calm()
    t.file(stop)
    t.shell("echo 3 > /proc/sys/vm/drop_caches")  # what the disk has, not what was meant for it
    refused = records = 0
    for i, proc in enumerate(procs):
        out, err = proc.communicate(timeout=60)
        t.eq((proc.returncode, err[-500:]), (0, b""), "a keeper of records")
        kept, refusals, number = json.loads(out)
        refused, records = refused + refusals, records + number
        with open(f"{disk.top}/f{i}", "rb") as f:
            there = f.read(len(kept) * 3600)
        t.true(there == b"".join(f"{number:08} ".encode() * 400 for number in kept), f"what was acknowledged of file {i} is not there")
    print(f"  {sum(storm.counts.values())} faults ({storm.told()}); {records} records, {refused} refused")
    t.true(refused > 0, "the disk has never refused anything")
