# Many faults of every kind under programs at work: the server and connections killed, cut, stopped, silent, shut out.
# SPDX-License-Identifier: Apache-2.0
import os
import threading

from harness import Attachment, test, wait_for
from proxy import Proxy
from storm import Storm, all_at_once, clerks
from t_fsx import exercise
from t_programs import sqlite_check
from t_restart import supervised

FAULTS = int(os.environ.get("INLAY_FAULTS", "0"))  # a soak wants hundreds in one go
PATIENCE = 300 + 4 * FAULTS


def faults(t, usual):
    return FAULTS or (usual // 4 if t.quick else usual)


class Site:
    """A server that starts again when it is killed, and two clients, each behind a proxy of its own."""

    def __init__(self, t):
        self.t, self.server = t, supervised(t)
        self.proxies = [Proxy(t, self.server.address) for _ in range(2)]
        self.clients = [Attachment(t, f"{proxy.address}/e", t.dir(f"mnt{number}"), ("--connections", "2"))
                        for number, proxy in enumerate(self.proxies)]
        self.mounts = [a.dir for a in self.clients]
        self.pids = [a.pid() for a in self.clients]
        self.behind = t.behind = t.export()

    def server_pid(self):
        with open(self.t.path("server.pid")) as f:
            return int(f.read())

    def directories(self, name):
        """The same new directory by both clients."""
        path = f"{self.behind}/{name}"
        os.mkdir(path)
        return [f"{mount}/{name}" for mount in self.mounts]

    def storm(self, wanted, **options):
        return Storm(wanted, self.proxies, self.pids, self.server_pid, **options)

    def calm(self):
        """Nothing may be waited for once nothing is broken any more."""
        for a in self.clients:
            wait_for("health", lambda a=a: a.status()["health"] == "healthy", 30)
            self.t.must("ls", "-lR", a.dir)


@test(root=True, timeout=PATIENCE)
def test_storm(t):
    """fsx by two clients, SQLite by two clients and clerks that count what they were told, under 60 faults of ten kinds"""
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

    with site.storm(faults(t, 60)) as storm:
        rounds = all_at_once(storm, lambda: exercise(t, 2000, 1, *fsx, options=["-r"]), database, office)
    print(f"  {sum(storm.counts.values())} faults ({storm.told()}); {rounds} rounds, {done} operations of clerks")
    site.calm()
