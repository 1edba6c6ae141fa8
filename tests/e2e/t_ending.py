"""Attachments that end with requests under way: nothing hangs, nothing crashes."""
# SPDX-License-Identifier: Apache-2.0
import os
import signal
import subprocess
import time

from harness import ended, test, wait_for

WAITER = """
import fcntl, sys
f = open(sys.argv[1], "r+")
print("open", flush=True)
fcntl.lockf(f, fcntl.LOCK_EX)
"""

# Not in the test's own process: its children would close the file on their way to exec, and wait for the server.
HOLDER = """
import fcntl, sys, time
files = [open(name, "r+") for name in sys.argv[1:]]
for f in files:
    fcntl.lockf(f, fcntl.LOCK_EX)
print("held", flush=True)
time.sleep(1000)
"""


def hold(t, *paths):
    p = t.start("python3", "-c", HOLDER, *paths, stdout=subprocess.PIPE)
    t.eq(p.stdout.readline().strip() in (b"held", "held"), True, "the holder of the locks")
    return p


def ends_well(t, a, pid):
    wait_for("the attachment's process to end", ended(pid), 30)
    for word in ("Sanitizer", "Assertion", "runtime error"):
        t.true(word not in a.log(), f"{word} in its log: {a.log()[-3000:]}")


@test(root=True)
def test_force_with_requests_under_way(t):
    """detach --force with requests at a stopped server and with waiting locks of both sides: all end, no crash"""
    t.file(f"{t.export()}/f", "x")
    t.file(f"{t.export()}/locked", "x")
    d = t.dir("mnt")
    t.file(f"{d}/local", "x")
    server = t.server()
    a = t.attach(server, d)
    pid = a.pid()
    holder = hold(t, f"{d}/locked", f"{d}/local")
    waiting = [t.start("python3", "-c", WAITER, f"{d}/{name}") for name in ("locked", "local") for _ in range(3)]
    time.sleep(1)
    server.freeze()
    stuck = [t.start("cat", f"{d}/f") for _ in range(8)]
    stuck += [t.start("ls", f"{d}") for _ in range(2)]
    stuck += [t.start("touch", f"{d}/new{i}") for i in range(8)]
    time.sleep(0.5)
    a.detach("--force")
    for p in stuck + waiting:
        t.true(p.wait(20) != 0, "a program that waited got no error")
    holder.kill()
    ends_well(t, a, pid)
    server.proc.send_signal(signal.SIGCONT)


@test(root=True)
def test_force_with_the_server_gone(t):
    """detach --force while the server is gone: requests that were sent, and those that were not, end with errors"""
    t.file(f"{t.export()}/f", "x")
    server = t.server()
    a = t.attach(server)
    pid = a.pid()
    open(f"{a.dir}/f").close()
    server.freeze()
    stuck = [t.start("cat", f"{a.dir}/f") for _ in range(4)]
    time.sleep(0.3)
    server.stop(signal.SIGKILL)
    time.sleep(0.3)
    stuck += [t.start("cat", f"{a.dir}/f") for _ in range(4)]
    time.sleep(0.3)
    a.detach("--force")
    for p in stuck:
        t.true(p.wait(20) != 0, "a program that waited got no error")
    ends_well(t, a, pid)


@test(root=True)
def test_a_waiting_lock_can_be_killed(t):
    """a program that waits for a lock can be killed, also while the server is gone"""
    t.file(f"{t.export()}/f", "x")
    server = t.server()
    a = t.attach(server)
    holder = hold(t, f"{a.dir}/f")
    early = t.start("python3", "-c", WAITER, f"{a.dir}/f")
    late = t.start("python3", "-c", "import time; f = open(__import__('sys').argv[1], 'r+'); time.sleep(1.5);"
                   "__import__('fcntl').lockf(f, 2)", f"{a.dir}/f")
    time.sleep(0.7)
    server.stop(signal.SIGKILL)
    time.sleep(1.5)
    for p in (early, late):
        t.true(p.poll() is None, "a waiting program ended by itself")
        os.kill(p.pid, signal.SIGKILL)
    for p in (early, late):
        t.eq(p.wait(10), -signal.SIGKILL, "killed")
    server.start()
    holder.kill()
    wait_for("the attachment to work again", lambda: t.run("cat", f"{a.dir}/f").stdout == "x", 20)
