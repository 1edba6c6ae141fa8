# A redirector that is killed, and the one that takes over: programs see a stall.
# SPDX-License-Identifier: Apache-2.0
import contextlib
import os
import random
import signal
import subprocess
import sys
import threading
import time

from harness import Failed, test
from t_fsx import exercise
from t_programs import sqlite_check
from t_restart import HOLDER, THIEF, ask, kills, program, supervised


def redirector(a):
    """The pid that serves the attachment; waits while there is none."""
    end = time.monotonic() + 10
    while time.monotonic() < end:
        with contextlib.suppress(Failed, OSError, KeyError, ValueError):
            return a.status()["pid"]
        time.sleep(0.01)
    raise Failed("nobody serves the attachment")


class RedirectorKiller:
    """Kills an attachment's redirector with -9, now and then, as often as it is to be."""

    def __init__(self, a, kills, every):
        self.a, self.left, self.every, self.kills, self.why = a, kills, every, 0, None
        self.stopped = threading.Event()
        self.thread = threading.Thread(target=self.work, daemon=True)
        self.thread.start()

    def work(self):
        try:
            while self.kills < self.left and not self.stopped.wait(self.every * random.uniform(0.2, 1.8)):
                os.kill(redirector(self.a), signal.SIGKILL)
                self.kills += 1
        except Failed as e:
            self.why = e

    def end(self):
        self.stopped.set()
        self.thread.join()
        if self.why:
            raise self.why


@contextlib.contextmanager
def redirector_kills(a, count, every):
    killer = RedirectorKiller(a, count, every)
    try:
        yield killer
    finally:
        killer.end()


@test(root=True, timeout=120)
def test_guardian_open_files(t):
    """what was open, locked and half listed when the redirector was killed goes on, also what was renamed, forbidden or removed"""
    server = t.server()
    a = t.attach(server)
    holder = program(t, HOLDER, a.dir)
    thief = program(t, THIEF, t.attach(server).dir)
    t.eq(a.status()["guarded"], True)
    os.kill(redirector(a), signal.SIGKILL)
    t.eq(ask(thief), ["refused", "refused", "got it"], "locks of others")
    t.eq(ask(holder), {"read": "content", "write": 9, "sync": None, "renamed": "content", "forbidden": "content",
                       "removed": "content", "append": 3, "size": 16, "entries": 3000, "unlock": None})
    t.eq(a.status()["takeovers"], 1)
    with open(f"{t.export()}/held", "rb") as f:
        t.eq(f.read(), b"content and more")
    for proc in (holder, thief):
        proc.communicate(b"\n", timeout=30)


@test(root=True, timeout=120)
def test_guardian_stall(t):
    """a take-over is a stall of less than a second for a program that reads without a pause; nothing fails"""
    a = t.attach(t.server())
    t.file(f"{t.export()}/x", b"x" * 4096)
    worst, count, end = 0, 0, time.monotonic() + 6
    with open(f"{a.dir}/x", "rb", buffering=0) as f, redirector_kills(a, 5, 1) as killer:
        while killer.kills < killer.left or time.monotonic() < end:
            begin = time.monotonic()
            t.eq(len(os.pread(f.fileno(), 4096, 0)), 4096)
            os.stat(f"{a.dir}/x")
            worst, count = max(worst, time.monotonic() - begin), count + 1
    print(f"longest stall {worst * 1000:.0f} ms in {count} rounds and {killer.kills} kills")
    t.true(worst < 1, f"a stall of {worst:.2f} s")


@test(root=True, timeout=400)
def test_guardian_fsx(t):
    """random operations against a model while the redirector is killed again and again: each change happens once"""
    a = t.attach(t.server())
    with redirector_kills(a, 8 if t.quick else 40, 0.25) as killer:
        while killer.kills < killer.left and not killer.why:
            exercise(t, 3000, 1, a.dir, options=["-r"])


@test(root=True, timeout=400)
def test_guardian_fsx_local(t):
    """the same on the local side"""
    a = t.attach(t.server(), None, "--rule", "local **")
    with redirector_kills(a, 8 if t.quick else 40, 0.25) as killer:
        while killer.kills < killer.left and not killer.why:
            exercise(t, 3000, 1, a.dir)


@test(root=True, timeout=400)
def test_guardian_fsx_both_killed(t):
    """random operations while the server and the redirector are killed, each in its own time"""
    server = supervised(t)
    a = t.attach(server)
    with kills(t, server, 4 if t.quick else 15, 0.5) as other, redirector_kills(a, 6 if t.quick else 25, 0.3) as killer:
        while (killer.kills < killer.left or other.kills < other.left) and not killer.why:
            exercise(t, 3000, 1, a.dir, options=["-r"])
