# A killed and restarted server, as programs see it that had something open: a pause.
# SPDX-License-Identifier: Apache-2.0
import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time

from harness import Failed, test
from postgres import Postgres
from t_fsx import exercise
from t_programs import sqlite_check


# Of the programs below: what became of a call.
OUTCOME = """
import errno
def outcome(function, *arguments):
    try:
        result = function(*arguments)
        return result.decode() if isinstance(result, bytes) else result
    except OSError as e:
        return errno.errorcode[e.errno]
"""

# A program of its own: a process that is started while the server is away must have nothing to close there.
HOLDER = OUTCOME + """
import fcntl, json, os, sys
os.chdir(sys.argv[1])
names = ("held", "locked", "renamed", "forbidden", "removed")
held, locked, renamed, forbidden, removed = (os.open(name, os.O_RDWR | os.O_CREAT, 0o644) for name in names)
for fd in (held, renamed, forbidden, removed):
    os.write(fd, b"content")
log = os.open("log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
os.write(log, b"one ")
os.rename("renamed", "elsewhere")
os.chmod("forbidden", 0)
os.unlink("removed")
fcntl.lockf(locked, fcntl.LOCK_EX, 10, 5)
fcntl.flock(held, fcntl.LOCK_SH)
os.mkdir("directory")
for i in range(3000):
    os.close(os.open(f"directory/{i}", os.O_CREAT | os.O_WRONLY))
listing = os.scandir("directory")
seen = [next(listing).name for i in range(20)]
print("ready", flush=True)
sys.stdin.readline()
said = {
    "read": outcome(os.pread, held, 10, 0), "write": outcome(os.write, held, b" and more"), "sync": outcome(os.fsync, held),
    "renamed": outcome(os.pread, renamed, 10, 0), "forbidden": outcome(os.pread, forbidden, 10, 0),
    "removed": outcome(os.pread, removed, 10, 0), "append": outcome(os.write, log, b"two"),
    "size": os.fstat(held).st_size, "entries": len(set(seen + [e.name for e in listing])),
    "unlock": outcome(fcntl.lockf, locked, fcntl.LOCK_UN),
}
print(json.dumps(said), flush=True)
sys.stdin.readline()
"""

# Says what becomes of an attempt to lock, and when it is over.
THIEF = """
import fcntl, json, os, sys, time
os.chdir(sys.argv[1])
locked, held = os.open("locked", os.O_RDWR), os.open("held", os.O_RDWR)
print("ready", flush=True)
sys.stdin.readline()
def attempt(function, *arguments):
    try:
        function(*arguments)
        return "got it"
    except BlockingIOError:
        return "refused"
print(json.dumps([attempt(fcntl.lockf, locked, fcntl.LOCK_EX | fcntl.LOCK_NB, 10, 5),
                  attempt(fcntl.flock, held, fcntl.LOCK_EX | fcntl.LOCK_NB),
                  attempt(fcntl.lockf, locked, fcntl.LOCK_EX | fcntl.LOCK_NB, 5, 0)]), flush=True)
sys.stdin.readline()
"""


def program(t, text, directory):
    proc = t.start(sys.executable, "-c", text, directory, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    t.eq(proc.stdout.readline(), b"ready\n")
    return proc


def ask(proc):
    proc.stdin.write(b"\n")
    proc.stdin.flush()
    return json.loads(proc.stdout.readline())


@test(root=True, timeout=120)
def test_restart_open_files(t):
    """open files, listings, locks and positions live on, also of what was renamed or forbidden meanwhile; removed is ESTALE"""
    server = t.server()
    holder = program(t, HOLDER, t.attach(server).dir)
    thief = program(t, THIEF, t.attach(server).dir)
    server.stop(signal.SIGKILL)
    server.start()
    t.eq(ask(thief), ["refused", "refused", "got it"], "locks of others")
    t.eq(ask(holder), {"read": "content", "write": 9, "sync": None, "renamed": "content", "forbidden": "content",
                       "removed": "ESTALE", "append": 3, "size": 16, "entries": 3000, "unlock": None})
    with open(f"{t.export()}/held", "rb") as f:
        t.eq(f.read(), b"content and more")
    with open(f"{t.export()}/log", "rb") as f:
        t.eq(f.read(), b"one two")
    for proc in (holder, thief):
        proc.communicate(b"\n", timeout=30)


@test(root=True, timeout=240)
def test_restart_grace(t):
    """while who held a lock is slow to come back, nobody else gets one; what is put off can be interrupted"""
    server = t.server()
    slow = t.attach(server)
    holder = program(t, HOLDER, slow.dir)
    thief, killed = program(t, THIEF, t.attach(server).dir), program(t, THIEF, t.attach(server).dir)
    pid = slow.pid()
    subprocess.run(["kill", "-STOP", str(pid)], check=True)
    try:
        server.stop(signal.SIGKILL)
        server.start()
        for proc in (thief, killed):
            proc.stdin.write(b"\n")
            proc.stdin.flush()
        time.sleep(3)
        t.eq(thief.poll(), None)
        killed.kill()
        killed.wait(10)
    finally:
        subprocess.run(["kill", "-CONT", str(pid)], check=True)
    t.eq(json.loads(thief.stdout.readline()), ["refused", "refused", "got it"], "locks of others")
    t.eq(ask(holder)["unlock"], None)
    for proc in (holder, thief):
        proc.communicate(b"\n", timeout=30)


# Starts the server again whenever it was killed. A process of its own, with nothing open in an attachment: what a new
# process has to close there waits for the server that it is to become.
SUPERVISOR = """#!%s
import os, signal, subprocess, sys, time
def stop(*_):
    proc.terminate()
signal.signal(signal.SIGTERM, stop)
while True:
    proc = subprocess.Popen([%r, *sys.argv[1:]])
    with open(%r + ".new", "w") as f:
        f.write(str(proc.pid))
    os.rename(%r + ".new", %r)
    code = proc.wait()
    if code != -signal.SIGKILL:
        sys.exit(code)
    time.sleep(0.1 * (proc.pid %% 3 == 0))
"""


def supervised(t, export=None):
    script, pid = t.path("supervisor"), t.path("server.pid")
    t.file(script, SUPERVISOR % (sys.executable, t.inlayd, pid, pid, pid))
    os.chmod(script, 0o755)
    return t.server({"e": f"{export or t.export()},identity=client"}, binary=script)


class Killer:
    """Kills whom victim() names with -9, now and then, as often as it is to be; None: nobody just now."""

    def __init__(self, victim, kills, every):
        self.victim, self.left, self.every, self.kills, self.why = victim, kills, every, 0, None
        self.stopped = threading.Event()
        self.thread = threading.Thread(target=self.work, daemon=True)
        self.thread.start()

    def work(self):
        try:
            while self.kills < self.left and not self.stopped.wait(self.every * random.uniform(0.2, 1.8)):
                pid = self.victim()
                if pid:
                    os.kill(pid, signal.SIGKILL)
                    self.kills += 1
        except Failed as e:
            self.why = e

    def end(self):
        self.stopped.set()
        self.thread.join()
        if self.why:
            raise self.why


@contextlib.contextmanager
def killing(victim, count, every):
    killer = Killer(victim, count, every)
    try:
        yield killer
    finally:
        killer.end()


@contextlib.contextmanager
def kills(t, server, count, every):
    """Of a supervised server, each of its lives once."""
    last = None

    def victim():
        nonlocal last
        with open(t.path("server.pid")) as f:
            pid = int(f.read())
        if pid == last or not server.alive():
            return None
        last = pid
        return pid

    try:
        with killing(victim, count, every) as killer:
            yield killer
    finally:
        if not server.alive():
            raise Failed(f"the server did not start again: {server.log()[-500:]}")


@test(root=True, timeout=400)
def test_restart_fsx(t):
    """random operations against a model while the server is killed 20 times: all goes on, each change happens once"""
    server = supervised(t)
    mount = t.attach(server).dir
    with kills(t, server, 5 if t.quick else 20, 0.4) as killer:
        while killer.kills < killer.left:
            exercise(t, 3000, 1, mount, options=["-r"])


@test(root=True, timeout=400)
def test_restart_fsx_two_clients(t):
    """the same by two clients in turn: each sees what the other has just done"""
    server = supervised(t)
    mounts = [t.attach(server).dir for _ in range(2)]
    with kills(t, server, 5 if t.quick else 20, 0.4) as killer:
        while killer.kills < killer.left:
            exercise(t, 3000, 1, *mounts, options=["-r"])


@test(root=True, timeout=400)
def test_restart_sqlite(t):
    """SQLite, a writer on each of two clients, while the server is killed 20 times: no lock is lost, no row, none comes twice"""
    server = supervised(t)
    mounts = [t.attach(server).dir for _ in range(2)]
    t.behind = t.export()
    with kills(t, server, 5 if t.quick else 20, 0.6) as killer:
        while killer.kills < killer.left:
            sqlite_check(t, "delete", *mounts)
            os.unlink(f"{mounts[0]}/test.db")


@test(root=True, timeout=400)
def test_restart_postgresql(t):
    """pgbench while the server is killed 20 times: PostgreSQL sees no error, and what was committed is there"""
    server = supervised(t)
    with Postgres(t, t.attach(server).dir) as postgres:
        with kills(t, server, 5 if t.quick else 20, 0.6) as killer:
            while killer.kills < killer.left:
                postgres.bench()
        postgres.verify()


# What is not on the disk when the host crashes, and what programs must find afterwards.
UNSYNCED = OUTCOME + """
import json, os, random, sys, time
os.chdir(sys.argv[1])
r = random.Random(int(sys.argv[2]) if len(sys.argv) > 2 else 7)
held, shared, log = (os.open(name, os.O_RDWR | os.O_CREAT, 0o644) for name in ("held", "shared", "log"))
appending = os.open("log", os.O_WRONLY | os.O_APPEND)
model = bytearray(r.randbytes(200000))
os.pwrite(held, model, 0)
os.pwrite(shared, b"nobody's", 0)
with open("closed", "wb") as f:
    f.write(b"old")
    f.flush()
    os.fsync(f.fileno())
for fd in (held, shared, log, os.open(".", os.O_RDONLY)):
    os.fsync(fd)
print("ready", flush=True)
sys.stdin.readline()
for i in range(150):
    if r.random() < 0.1:
        size = r.randrange(1, 300000)
        os.ftruncate(held, size)
        del model[size:]
        model.extend(bytes(size - len(model)))
    else:
        off, data = r.randrange(250000), r.randbytes(r.choice((1, 700, 4096, 60000)))
        os.pwrite(held, data, off)
        model.extend(bytes(max(0, off + len(data) - len(model))))
        model[off:off + len(data)] = data
os.pwrite(shared, b"A's", 0)
os.write(appending, b"line")
with open("closed", "wb") as f:
    f.write(b"new, and longer")
time.sleep(0.05)
print(json.dumps("written"), flush=True)
sys.stdin.readline()
print(json.dumps({"held": os.pread(held, 1 << 20, 0) == bytes(model),
                  "shared": outcome(os.pread, shared, 20, 0), "closed": open("closed").read(), "log": outcome(os.pread, log, 20, 0),
                  "sync": [outcome(os.fsync, fd) for fd in (held, shared, appending, held, shared, appending)]}), flush=True)
sys.stdin.readline()
"""


def durable(directory, names):
    """What a crash leaves of these: as they are now, times included."""
    kept = {}
    for name in names:
        with open(f"{directory}/{name}", "rb") as f:
            kept[name] = (f.read(), os.fstat(f.fileno()))
    return kept


def roll_back(directory, kept):
    for name, (content, st) in kept.items():
        with open(f"{directory}/{name}", "r+b") as f:
            f.truncate(0)
            f.write(content)
        os.utime(f"{directory}/{name}", ns=(st.st_atime_ns, st.st_mtime_ns))


@test(root=True, timeout=180)
def test_restart_host_crash(t):
    """the server's host crashes: what was not synced comes back from its client, in its order; what can't be is told once"""
    boot, script = t.path("boot_id"), t.path("inlayd-on-another-boot")
    t.file(script, f"""#!/bin/sh
exec unshare -m sh -c 'mount --bind {boot} /proc/sys/kernel/random/boot_id && exec {t.inlayd} "$@"' sh "$@"
""")
    os.chmod(script, 0o755)
    t.file(boot, "11111111-1111-4111-8111-111111111111\n")
    server = t.server(binary=script)
    other = t.attach(server)
    attached = time.monotonic()
    holder = program(t, UNSYNCED, t.attach(server).dir)
    # The client lets the server sync every 5 s from when it was attached: this is to happen in between.
    time.sleep(max(0, 5.7 - (time.monotonic() - attached)))
    kept = durable(t.export(), ("held", "closed", "log"))
    t.eq(ask(holder), "written")
    with open(f"{other.dir}/shared", "r+b") as f:
        f.write(b"B's")
        f.flush()
        os.fsync(f.fileno())
    if time.monotonic() - attached > 9.5:
        raise Skip("this machine is too busy: a sync may have come in between")
    server.stop(signal.SIGKILL)
    roll_back(t.export(), kept)
    t.file(boot, "22222222-2222-4222-8222-222222222222\n")
    server.start()
    t.eq(ask(holder), {"held": True, "shared": "B'sody's", "closed": "new, and longer", "log": "line",
                       "sync": [None, "EIO", None, None, None, None]})
    holder.communicate(b"\n", timeout=30)
