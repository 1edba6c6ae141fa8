# Programs that wait for a server which doesn't answer: they can be killed, whatever they are doing, and other signals disturb nothing.
# SPDX-License-Identifier: Apache-2.0
import fcntl
import os
import signal
import subprocess
import sys
import time

from harness import test, wait_for
from t_disk import outcome

# Each opens and makes what it needs, says so, and does its one thing when it is told to.
PROGRAMS = {
    "stat": ("pass", "os.stat(f)"),
    "open": ("pass", "os.open(f, os.O_RDWR)"),
    "create": ("pass", "os.open(f + '.new', os.O_CREAT | os.O_WRONLY)"),
    "read": ("fd = os.open(f, os.O_RDONLY)", "os.pread(fd, 100, 0)"),
    "write": ("fd = os.open(f, os.O_WRONLY)", "os.pwrite(fd, b'x' * 5000, 0)"),
    "append": ("fd = os.open(f, os.O_WRONLY | os.O_APPEND)", "os.write(fd, b'x' * 5000)"),
    "fsync": ("fd = os.open(f, os.O_WRONLY); os.write(fd, b'x')", "os.fsync(fd)"),
    "truncate": ("pass", "os.truncate(f, 3)"),
    "list": ("pass", "os.listdir(os.path.dirname(f))"),
    "mkdir": ("pass", "os.mkdir(f + '.dir')"),
    "rename": ("open(f + '.old', 'w').close()", "os.rename(f + '.old', f + '.to')"),
    "unlink": ("open(f + '.gone', 'w').close()", "os.unlink(f + '.gone')"),
    "statfs": ("pass", "os.statvfs(f)"),
    "map": ("import mmap; m = mmap.mmap(os.open(f, os.O_RDONLY), 4096, prot=mmap.PROT_READ)", "m[0]"),
    "lock": ("import fcntl; fd = os.open(f, os.O_RDWR)", "fcntl.lockf(fd, fcntl.LOCK_EX)"),
    "close with a lock": ("import fcntl; fd = os.open(f, os.O_RDWR); fcntl.lockf(fd, fcntl.LOCK_SH)", "os.close(fd)"),
    "execute": ("open(f + '.sh', 'w').write('#!/bin/sh'); os.chmod(f + '.sh', 0o755)", "os.execv(f + '.sh', [f])"),
}


def state(proc):
    try:
        with open(f"/proc/{proc.pid}/stat") as f:
            return f.read().rsplit(")", 1)[1].split()[0]
    except OSError:
        return "gone"


def all_waiting(t, directory, stop):
    """Starts them all; they wait once `stop` has made the server silent."""
    procs = {}
    for number, (name, (before, then)) in enumerate(PROGRAMS.items()):
        t.file(f"{directory}/f{number}", b"content" * 1000)
        script = f"import os, sys\nf = sys.argv[1]\n{before}\nprint('ready', flush=True)\nsys.stdin.readline()\n{then}\n"
        procs[name] = t.start(sys.executable, "-c", script, f"{directory}/f{number}", stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    for name, proc in procs.items():
        t.eq(proc.stdout.readline(), b"ready\n", name)
    stop()
    for proc in procs.values():
        proc.stdin.write(b"\n")
        proc.stdin.flush()
    time.sleep(1)
    for name, proc in procs.items():
        t.eq(proc.poll(), None, f"{name} ended though nobody answers")
    return procs


def kill_all(t, procs):
    for proc in procs.values():
        proc.kill()
    begin = time.monotonic()
    left = dict(procs)
    while left and time.monotonic() < begin + 10:
        left = {name: proc for name, proc in left.items() if proc.poll() is None}
        time.sleep(0.05)
    t.eq({name: state(proc) for name, proc in left.items()}, {}, "killed 10 s ago, and still there")


@test(root=True)
def test_killed_while_the_server_is_stopped(t):
    """kill -9 ends a program at once, whatever it waits for, while the server is stopped and its connection stands"""
    server = t.server()
    a = t.attach(server)
    procs = all_waiting(t, a.dir, server.freeze)
    kill_all(t, procs)
    server.proc.send_signal(signal.SIGCONT)
    wait_for("the attachment to work again", lambda: t.run("ls", a.dir).returncode == 0, 20)


@test(root=True)
def test_killed_while_the_server_is_away(t):
    """the same while the server is gone and nobody listens"""
    server = t.server()
    a = t.attach(server)
    procs = all_waiting(t, a.dir, lambda: server.stop(signal.SIGKILL))
    kill_all(t, procs)
    server.start()
    wait_for("the attachment to work again", lambda: t.run("ls", a.dir).returncode == 0, 20)


# Calls the C library itself: Python would call again after a signal. Says what each call gave, and how many signals came.
SIGNALLED = """
import ctypes, errno, os, signal, sys
libc = ctypes.CDLL(None, use_errno=True)
os.chdir(sys.argv[1])
fd = os.open("f", os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
count = 0
def came(*_):
    global count
    count += 1
signal.signal(signal.SIGALRM, came)
print("ready", flush=True)
sys.stdin.readline()
signal.setitimer(signal.ITIMER_REAL, 0.05, 0.05)
said = []
for name, *arguments in (("mkdir", b"d", 0o755), ("write", fd, b"line", 4), ("rename", b"d", b"e"), ("fsync", fd), ("access", b"e", 0)):
    result = getattr(libc, name)(*arguments)
    said.append(result if result >= 0 else errno.errorcode[ctypes.get_errno()])
signal.setitimer(signal.ITIMER_REAL, 0)
print(*said, count > 0, flush=True)
"""


@test(root=True)
def test_signals_while_the_server_is_away(t):
    """a program that handles a signal while it waits is not told that its rename was interrupted: it waits on"""
    server = t.server()
    a = t.attach(server)
    for away in (server.freeze, lambda: server.stop(signal.SIGKILL)):
        proc = t.start(sys.executable, "-c", SIGNALLED, a.dir, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        t.eq(proc.stdout.readline(), b"ready\n")
        away()
        proc.stdin.write(b"\n")
        proc.stdin.flush()
        time.sleep(1.5)
        if server.alive():
            server.proc.send_signal(signal.SIGCONT)
        else:
            server.start()
        t.eq(proc.communicate(timeout=30)[0], b"0 4 0 0 0 True\n", "mkdir, write, rename, fsync, access; enough signals")
        os.rmdir(f"{a.dir}/e")


LOCKER = """
import fcntl, os, sys
fd = os.open(sys.argv[1], os.O_RDWR)
if sys.argv[2] == "holds":
    fcntl.lockf(fd, fcntl.LOCK_EX)
print("ready", flush=True)
sys.stdin.readline()
fcntl.lockf(fd, fcntl.LOCK_EX)
"""


@test(root=True)
def test_killed_with_locks(t):
    """programs that hold a lock or are about to get one are killed while the server is stopped: gone at once, and so are the locks"""
    server = t.server()
    a = t.attach(server)
    names = [f"holds{i}" for i in range(4)] + [f"asks{i}" for i in range(16)]
    for name in names:
        t.file(f"{a.dir}/{name}", "x")
    kept = [os.open(f"{a.dir}/{name}", os.O_RDWR) for name in names]  # they stay open: no CLOSE frees what they had
    procs = {name: t.start(sys.executable, "-c", LOCKER, f"{a.dir}/{name}", name[:5], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
             for name in names}
    for proc in procs.values():
        t.eq(proc.stdout.readline(), b"ready\n")
    server.freeze()
    for name in names[4:]:
        procs[name].stdin.write(b"\n")
        procs[name].stdin.flush()
    time.sleep(0.5)
    kill_all(t, procs)
    server.proc.send_signal(signal.SIGCONT)
    for name in names:
        with open(f"{a.dir}/{name}", "r+") as f:
            wait_for(f"the lock of {name}", lambda f=f: outcome(fcntl.lockf, f, fcntl.LOCK_EX | fcntl.LOCK_NB) is None, 5)
    for fd in kept:
        os.close(fd)
