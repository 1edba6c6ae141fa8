# What breaks: the redirector, its ring, the server, the driver's unloading under load.
# SPDX-License-Identifier: Apache-2.0
import os
import signal
import time

import wine
from harness import SLOW, test, wait_for

DIR = "I:\\inlay"


def pend_lines(done):
    """[(error, bytes, milliseconds)] of fileop pend"""
    rows = [line.split() for line in done.lines if line and line[0].isdigit()]
    return [tuple(map(int, row)) for row in rows]


@test(timeout=120)
def test_redirector_killed(t):
    """killed while reads are pending: each ends with error 1167 at once; afterwards the directory is NTFS's, and can be taken again"""
    w = wine.Session(t)
    side = w.begin(r"C:\ringside.exe", "silent", "60000").until("ready")
    reader = w.begin(r"C:\fileop.exe", "pend", DIR + r"\file", "16").until("pending")
    wine.pause(0.3)
    t.eq(pend_lines(wine.Done(0, reader.text())), [], "reads that ended before the kill")
    killed = time.monotonic()
    w.kill("ringside.exe")
    done = reader.end(20)
    t.true(time.monotonic() - killed < 5 * SLOW, f"the reads took {time.monotonic() - killed:.1f} s to end")
    rows = pend_lines(done)
    t.eq([row[0] for row in rows], [wine.GONE] * 16, "errors of the pending reads")
    side.end()
    w.op("put", DIR + r"\local.txt", "NTFS alone")
    t.eq(w.op("cat", DIR + r"\local.txt"), "NTFS alone", "the directory afterwards")
    w.op("rm", DIR + r"\local.txt")
    again = w.begin(r"C:\ringside.exe", "serve", "4000").until("ready")
    t.contains(w.op("hash", DIR + r"\file"), "1048576 ", "a redirector that came again")
    t.eq(again.end().code, 0, "its end")


@test(timeout=120)
def test_redirector_killed_in_create(t):
    """killed while programs open and close: no hang, and every error is one that says so"""
    w = wine.Session(t)
    w.begin(r"C:\ringside.exe", "serve", "60000").until("ready")
    runs = [w.begin(r"C:\fileop.exe", "hammer", DIR + r"\file", "8000") for _ in range(3)]
    wine.pause(1)
    w.kill("ringside.exe")
    for running in runs:
        done = running.end(30)
        # afterwards opens are NTFS's: the file of this redirector has no mark, so it reads as what lies there
        t.true(done.code == 0 or done.error() in (wine.GONE, wine.OFFLINE), f"status {done.code}: {done.text[-300:]}")


@test(timeout=90)
def test_cancelled_read(t):
    """CancelIoEx of a read that nobody answers ends it at once"""
    w = wine.Session(t)
    w.begin(r"C:\ringside.exe", "silent", "60000").until("ready")
    error, length, ms = map(int, w.op("cancel", DIR + r"\file", "300").split())
    t.eq((error, length), (995, 0), "the cancelled read")
    t.true(ms < 1000 * SLOW, f"it took {ms} ms")


@test(timeout=90)
def test_program_killed(t):
    """a program that is killed while its reads are pending: they are cancelled, its handles closed, the driver unloads"""
    w = wine.Session(t)
    w.begin(r"C:\ringside.exe", "silent", "60000").until("ready")
    reader = w.begin(r"C:\fileop.exe", "pend", DIR + r"\file", "12").until("pending")
    blocked = w.begin(r"C:\fileop.exe", "cat", DIR + r"\file", name="blocked")
    wine.pause(0.3)
    w.kill("fileop.exe")
    reader.end()
    blocked.end()
    wait_for("the handles to close", lambda: w.health()[0]["handles"] == 0)
    t.eq(w.health()[0]["under_way"], 0, "operations under way")


@test(timeout=90)
def test_request_timeout(t):
    """a request that the redirector never answers ends after the ring's time-out, with an error that says so"""
    w = wine.Session(t)
    w.begin(r"C:\ringside.exe", "silent", "60000").until("ready")
    start = time.monotonic()
    error = w.op_error("cat", DIR + r"\file")
    t.true(error in (121, 1460), f"error {error}")
    t.true(time.monotonic() - start < 15 * SLOW, "no hang")


@test(timeout=240)
def test_ring_garbage(t):
    """a redirector that answers wrongly and scribbles over the section: programs get errors, nothing hangs, nothing is violated"""
    w = wine.Session(t)
    for seed in range(1, 3 if t.quick else 9):
        side = w.begin(r"C:\ringside.exe", "garbage", "6000", str(seed)).until("ready")
        for _ in range(2):
            runs = [w.begin(r"C:\fileop.exe", "hammer", DIR + r"\file", "1500") for _ in range(2)]
            runs.append(w.begin(r"C:\fileop.exe", "pend", DIR + r"\file", "16"))
            for running in runs:
                running.end(30)
        side.end(30)
        w.expect_clean()
    w.op("put", r"I:\elsewhere", "x")


@test(timeout=180)
def test_driver_unload_under_load(t):
    """unloaded while a redirector is registered and programs work: no hang, nothing left; loaded again it serves again"""
    w = wine.Session(t)
    for _ in range(3):
        side = w.begin(r"C:\ringside.exe", "serve", "5000").until("ready")
        runs = [w.begin(r"C:\fileop.exe", "hammer", DIR + r"\file", "2500") for _ in range(3)]
        runs.append(w.begin(r"C:\fileop.exe", "pend", DIR + r"\file", "16"))
        wine.pause(0.7)
        w.unload(forgotten=1)
        for running in runs:
            running.end(40)
        side.end(40)
        w.service("start", "inlay")


@test(timeout=180)
def test_server_gone_and_back(t):
    """the server is killed and comes again: what runs meanwhile waits, and goes on"""
    behind = t.export()
    server = t.server()
    w = wine.Session(t)
    w.attach(server, DIR)
    w.op("put", DIR + r"\f", "before")
    server.stop(signal.SIGKILL)
    waiting = w.begin(r"C:\fileop.exe", "cat", DIR + r"\f")
    wine.pause(1)
    t.true(waiting.proc.poll() is None, "the program waits")
    server.start()
    t.eq(waiting.end(60).text, "before", "what it read when the server was back")
    w.op("put", DIR + r"\f", "after")
    t.eq(open(os.path.join(behind, "f")).read(), "after", "on the server")


@test(timeout=180)
def test_attachment_killed(t):
    """inlay.exe killed under load: errors, then NTFS alone without zeros in place of data; attached again, all is there"""
    behind = t.export()
    with open(os.path.join(behind, "f"), "wb") as f:
        f.write(b"content " * 1000)
    server = t.server()
    w = wine.Session(t)
    w.attach(server, DIR)
    t.contains(w.op("hash", DIR + r"\f"), "8000 ", "before")
    running = w.begin(r"C:\exercise.exe", DIR, "2", "2000", "31")
    wine.pause(1.5)
    w.kill("inlay.exe")
    done = running.end(60)
    t.true(done.code != 0, "the exerciser noticed")
    t.true(w.op_error("hash", DIR + r"\f") != 0, "a placeholder's data without its redirector")
    w.attach(server, DIR)
    t.contains(w.op("hash", DIR + r"\f"), "8000 ", "afterwards")


@test(timeout=90)
def test_volume_detached(t):
    """the volume beneath a registered directory goes and comes: refused while files are open, then nothing of the old one is used"""
    w = wine.Session(t)
    side = w.begin(r"C:\ringside.exe", "serve", "60000").until("ready")
    holder = w.begin(r"C:\fileop.exe", "hold", DIR + r"\file", r"I:\never").until("held")
    t.eq(w.run(r"C:\simctl.exe", "remount", drive=False).code, 1, "dismounting while a file is open")
    w.kill("fileop.exe")
    holder.end()
    wait_for("the handle to close", lambda: w.health()[0]["handles"] == 0)
    t.eq(w.run(r"C:\simctl.exe", "remount", drive=False).code, 0, "dismounting")
    t.eq(w.op_error("cat", DIR + r"\file"), 3, "the file of the volume that is gone")
    w.op("mkdir", DIR)
    w.op("put", DIR + r"\local", "on the new volume")
    t.eq(w.op("cat", DIR + r"\local"), "on the new volume", "a local file")
    w.kill("ringside.exe")
    side.end()
    t.contains(w.begin(r"C:\ringside.exe", "serve", "1500").until("ready").end().text, "end", "a redirector on the new volume")


@test(timeout=120)
def test_volume_dismounted_by_force(t):
    """the volume goes with files open and reads pending that nobody answers: all end with error 1167, nothing is left, a new volume serves"""
    w = wine.Session(t)
    side = w.begin(r"C:\ringside.exe", "silent", "60000").until("ready")
    holder = w.begin(r"C:\fileop.exe", "hold", DIR + r"\file", r"I:\never").until("held")
    reader = w.begin(r"C:\fileop.exe", "pend", DIR + r"\file", "16").until("pending")
    wine.pause(0.3)
    t.eq(w.run(r"C:\simctl.exe", "detach", drive=False).code, 1, "fltmc detach is refused")
    t.eq(pend_lines(wine.Done(0, reader.text())), [], "reads that ended before")
    begun = time.monotonic()
    w.must(r"C:\simctl.exe", "dismount", drive=False)
    done = reader.end(20)
    t.true(time.monotonic() - begun < 5 * SLOW, f"the reads took {time.monotonic() - begun:.1f} s to end")
    t.eq([row[0] for row in pend_lines(done)], [wine.GONE] * 16, "errors of the pending reads")
    counts = w.health()[0]
    t.eq((counts["contexts"], counts["names"]), (0, 0), "contexts and names, while a file is still open")
    t.true(w.op_error("cat", DIR + r"\file") != 0, "an open on the volume that is gone")
    w.kill("fileop.exe")
    holder.end()
    wait_for("the handle to close", lambda: w.health()[0]["handles"] == 0)
    w.must(r"C:\simctl.exe", "remount", drive=False)
    w.kill("ringside.exe")
    side.end()
    w.op("mkdir", DIR)
    t.contains(w.begin(r"C:\ringside.exe", "serve", "1500").until("ready").end().text, "end", "a redirector on the new volume")
    w.unload()


@test(timeout=240, quick=False)
def test_ring_figure(t):
    """requests per second through the ring against one pended control each, in turns; the ratio is the row's text"""
    w = wine.Session(t)
    done = w.must(r"C:\bench.exe", "3000", timeout=230)
    ratios = [line for line in done.lines if "ratio" in line]
    t.eq(len(ratios), 3, "ratios")
    for line in ratios:
        t.row(line.split(":")[0].replace(" ", "-"), "pass", line)
        print(f"  {line}", flush=True)
