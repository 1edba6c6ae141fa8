# Connections that break, at every kind of message and byte, as programs see it: a pause, and each change once.
# SPDX-License-Identifier: Apache-2.0
import fcntl
import os
import signal
import subprocess
import threading
import time

from harness import Attachment, test, wait_for
from proxy import REPLY, REQUEST, Proxy
from t_disk import ThinDisk, outcome
from wire import HEADER

# A request as it breaks: nothing of it, part of its head, its head alone, part of its body, all but a byte, all of it.
PLACES = (0, 1, HEADER.size - 1, HEADER.size, HEADER.size + 9, 1 << 30)


def through_proxy(t, server, *args):
    proxy = Proxy(t, server.address)
    return proxy, Attachment(t, f"{proxy.address}/e", t.dir(f"mnt{len(t.attachments)}"), args)


def changes(d):
    """One change of each kind in directory d: the message that carries it, the call, and how to see that it was done once."""
    def content(name):
        with open(f"{d}/{name}", "rb") as f:
            return f.read()

    def excl():
        fd = os.open(f"{d}/made", os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o644)
        os.close(fd)

    def append():
        fd = os.open(f"{d}/log", os.O_WRONLY | os.O_APPEND)
        got = os.write(fd, b"line\n")
        os.close(fd)
        return got

    def lock():
        with open(f"{d}/old", "r+b") as f:
            fcntl.lockf(f, fcntl.LOCK_EX | fcntl.LOCK_NB)
            fcntl.lockf(f, fcntl.LOCK_UN)

    def allocate():
        with open(f"{d}/old", "r+b") as f:
            os.posix_fallocate(f.fileno(), 0, 5000)

    return [
        ("CREATE", excl, lambda: content("made") == b""),
        ("WRITE", append, lambda: content("log") == b"first\nline\n"),
        ("MKDIR", lambda: os.mkdir(f"{d}/dir"), lambda: os.listdir(f"{d}/dir") == []),
        ("MKNOD", lambda: os.mkfifo(f"{d}/fifo"), lambda: os.path.exists(f"{d}/fifo")),
        ("SYMLINK", lambda: os.symlink("x", f"{d}/sym"), lambda: os.readlink(f"{d}/sym") == "x"),
        ("LINK", lambda: os.link(f"{d}/old", f"{d}/second"), lambda: os.stat(f"{d}/old").st_nlink == 2),
        ("RENAME", lambda: os.rename(f"{d}/old", f"{d}/new"), lambda: sorted(os.listdir(d)) == ["empty", "log", "new"]),
        ("UNLINK", lambda: os.unlink(f"{d}/old"), lambda: sorted(os.listdir(d)) == ["empty", "log"]),
        ("RMDIR", lambda: os.rmdir(f"{d}/empty"), lambda: sorted(os.listdir(d)) == ["log", "old"]),
        ("SETATTR", lambda: os.truncate(f"{d}/old", 3), lambda: content("old") == b"con"),
        ("FALLOCATE", allocate, lambda: os.stat(f"{d}/old").st_size == 5000),
        ("SETXATTR", lambda: os.setxattr(f"{d}/old", "user.a", b"v", os.XATTR_CREATE), lambda: os.getxattr(f"{d}/old", "user.a") == b"v"),
        ("LOCK", lock, lambda: True),
    ]


@test(root=True, timeout=120)
def test_cuts_at_every_message(t):
    """each kind of change, its connection cut at six places of its request and of its answer: done once, and its program told so"""
    server = t.server()
    proxy, a = through_proxy(t, server)
    cuts = 0
    for direction in (REQUEST, REPLY):
        for place in PLACES[::3] if t.quick else PLACES:
            for number in range(len(changes(""))):
                d = f"{a.dir}/{direction}{place}-{number}"
                os.mkdir(d)
                os.mkdir(f"{d}/empty")
                t.file(f"{d}/old", "content")
                t.file(f"{d}/log", "first\n")
                message, change, is_done = changes(d)[number]
                fault = proxy.arm(direction, message, place, "reset" if number % 2 else "close")
                said = outcome(change)
                proxy.happened(fault)
                cuts += 1
                t.true(not isinstance(said, str), f"{direction} {message} cut after {place} bytes: {said}")
                t.true(is_done(), f"{direction} {message} cut after {place} bytes: not done, or more than once: {os.listdir(d)}")
    print(f"  {cuts} cuts")


@test(root=True)
def test_cut_answer_of_fsync(t):
    """fsync's answer is lost with its connection: what it said of the disk is said again, not asked again"""
    disk = ThinDisk(t, "disk")
    proxy, a = through_proxy(t, t.server({"e": f"{disk.top},identity=client"}))
    disk.fail()
    fd = os.open(f"{a.dir}/f", os.O_RDWR | os.O_CREAT, 0o644)
    for place in (0, HEADER.size + 1):
        os.write(fd, b"x" * 100000)
        fault = proxy.arm(REPLY, "COMMIT", place)
        t.eq((outcome(os.fsync, fd), outcome(os.fsync, fd)), ("ENOSPC", None), f"cut after {place} bytes")
        proxy.happened(fault)


@test(root=True)
def test_cut_answer_of_fsync_and_server(t):
    """the same when the server is killed before its answer came through: its record knows what the disk has said"""
    disk = ThinDisk(t, "disk")
    server = t.server({"e": f"{disk.top},identity=client"})
    proxy, a = through_proxy(t, server)
    disk.fail()
    fd = os.open(f"{a.dir}/f", os.O_RDWR | os.O_CREAT, 0o644)
    os.write(fd, b"x" * 100000)
    fault = proxy.arm(REPLY, "COMMIT", 0, "silence")
    said = []
    waiter = threading.Thread(target=lambda: said.extend((outcome(os.fsync, fd), outcome(os.fsync, fd))))
    waiter.start()
    proxy.happened(fault)
    server.stop(signal.SIGKILL)
    proxy.break_some("reset")
    server.start()
    waiter.join(30)
    t.eq(said, ["ENOSPC", None])


@test(root=True)
def test_status_says_since_when(t):
    """health and since when: reconnecting while nobody gets through, healthy again afterwards"""
    proxy, a = through_proxy(t, t.server())

    def health():
        status = a.status()
        return status["health"], status["health_since_ms"] / 1000

    wait_for("all connections", lambda: health()[0] == "healthy")
    begin = time.monotonic()
    proxy.shut = True
    proxy.break_some("close")
    wait_for("health to change", lambda: health()[0] == "reconnecting")
    time.sleep(1.5)
    state, since = health()
    t.eq(state, "reconnecting")
    t.true(1 < since <= time.monotonic() - begin, f"reconnecting for {since} s, of {time.monotonic() - begin:.1f} s")
    proxy.shut, begin = False, time.monotonic()
    wait_for("health", lambda: health()[0] == "healthy")
    t.true(health()[1] <= time.monotonic() - begin + 0.1, "healthy since before it was so")


# Appends numbers until it is told to stop; says how many, and how long one took at most.
APPENDER = """
import os, select, sys, time
fd = os.open(sys.argv[1], os.O_CREAT | os.O_WRONLY | os.O_APPEND)
print("ready", flush=True)
count, longest = 0, 0
while not select.select([0], [], [], 0.01)[0]:
    begin = time.monotonic()
    os.write(fd, b"%d\\n" % count)
    count, longest = count + 1, max(longest, time.monotonic() - begin)
print(count, longest)
"""

# Says how long each of its looks at the directory took, in seconds, until it is told to stop.
LOOKER = """
import os, sys, time
longest = 0
while not os.path.exists(sys.argv[2]):
    begin = time.monotonic()
    os.listdir(sys.argv[1])
    longest = max(longest, time.monotonic() - begin)
    time.sleep(0.01)
print(longest)
"""


@test(root=True, timeout=150)
def test_cut_by_silence(t):
    """one connection of three falls silent: only what is on it waits, until that is noticed; with --timeout, no longer than that"""
    server = t.server()
    proxy, a = through_proxy(t, server, "--connections", "3")
    silent, b = through_proxy(t, server, "--timeout", "3")
    stop = t.path("stop")
    t.must("ls", b.dir)
    wait_for("three connections", lambda: len(proxy.some()) == 3)
    procs = [t.start("python3", "-c", LOOKER, a.dir, stop, stdout=-1, text=True) for _ in range(6)]
    time.sleep(1)
    proxy.break_some("silence", 1)
    silent.break_some("silence")
    silent.shut = True
    begin = time.monotonic()
    done = t.run("ls", b.dir, timeout=90)
    took = time.monotonic() - begin
    t.true(done.returncode != 0 and "Input/output error" in done.stderr and 2 < took < 12, f"{done} after {took:.1f} s")
    t.eq(b.status()["health"], "reconnecting")
    wait_for("three connections again", lambda: len([link for link in proxy.some() if not link.silent]) == 3, 45)
    t.file(stop)
    waits = [float(p.communicate(timeout=60)[0]) for p in procs]
    print(f"  EIO after {took:.1f} s of silence; longest waits: {sorted(waits)}")
    t.true(max(waits) < 60, f"a program waited for {max(waits)} s")


class Network:
    """A network of two hosts: ours, and one that a server can run on. Lost: nothing arrives any more on either, and nobody is told."""

    def __init__(self, t):
        self.t = t
        host = t.start("unshare", "--net", "sleep", "infinity")
        own = os.readlink("/proc/self/ns/net")
        wait_for("a network namespace", lambda: os.readlink(f"/proc/{host.pid}/ns/net") != own)
        self.inside = ["nsenter", "-t", str(host.pid), "--net"]
        t.must("ip", "link", "add", "ours", "type", "veth", "peer", "name", "theirs", "netns", str(host.pid))
        for place, name, address in (([], "ours", "10.9.8.1/24"), (self.inside, "theirs", "10.9.8.2/24")):
            t.must(*place, "ip", "address", "add", address, "dev", name)
            t.must(*place, "ip", "link", "set", name, "up")

    def server(self):
        script = self.t.path("inlayd-there")
        with open(script, "w") as f:
            f.write(f"#!/bin/sh\nexec {' '.join(self.inside)} {self.t.inlayd} \"$@\"\n")
        os.chmod(script, 0o755)
        return self.t.server(binary=script, listen=["10.9.8.2:7000"], args=["--insecure"])

    def lose(self, lost):
        """To an address that no card has: the switch drops it."""
        for place, name, address in (([], "ours", "10.9.8.2"), (self.inside, "theirs", "10.9.8.1")):
            what = ["replace", address, "lladdr", "02:00:00:00:00:99", "nud", "permanent"] if lost else ["del", address]
            self.t.must(*place, "ip", "neigh", *what, "dev", name)


@test(root=True, timeout=120)
def test_cut_by_the_network(t):
    """packets are lost for 3 and for 8 seconds: who appends without a pause goes on a second or two after they arrive again, each line once"""
    network = Network(t)
    server = network.server()
    a = t.attach(server, None, "--insecure")
    for seconds in (3, 8):
        writer = t.start("python3", "-c", APPENDER, f"{a.dir}/log", stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True)
        t.eq(writer.stdout.readline(), "ready\n")
        time.sleep(0.5)
        network.lose(True)
        time.sleep(seconds)
        network.lose(False)
        time.sleep(3)
        lines, longest = writer.communicate("\n", timeout=60)[0].split()
        print(f"  lost for {seconds} s: the longest wait {float(longest):.2f} s of {lines} appends")
        t.true(seconds - 1 < float(longest) < seconds + 2.5, f"the longest wait {longest} s")
        with open(f"{t.export()}/log") as f:
            t.eq(f.read().split(), [str(i) for i in range(int(lines))], "lines")
        os.unlink(f"{a.dir}/log")
