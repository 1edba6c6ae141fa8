# The simulated drive by itself, and the driver's life: loading, control device, unloading.
# SPDX-License-Identifier: Apache-2.0
import os
import re
import subprocess

import wine
from harness import Failed, test

KERNEL = "/usr/lib/x86_64-linux-gnu/wine/x86_64-windows/ntoskrnl.exe"


@test(timeout=90)
def test_drive_alone(t):
    """the simulation serves plain programs, with no filter: the tests' own ground"""
    w = wine.Session(t, filter=False)
    w.must(r"C:\exercise.exe", r"I:", "2", "150", "1", timeout=80)
    done = w.cmd(r"mkdir I:\d && echo one> I:\d\a.txt && type I:\d\a.txt && ren I:\d\a.txt b.txt && dir /b I:\d && del I:\d\b.txt && rmdir I:\d")
    t.eq((done.code, done.text.split()), (0, ["one", "b.txt"]), "cmd on the drive")
    t.eq(w.expect_clean()["handles"], 0, "handles left open")


@test()
def test_drive_process_death(t):
    """a program that is killed leaves no handle open on the drive"""
    w = wine.Session(t, filter=False)
    w.op("put", r"I:\f", "text")
    holder = w.begin(r"C:\fileop.exe", "hold", r"I:\f", r"I:\never").until("held")
    t.eq(w.health()[0]["handles"] > 0, True, "the handle is counted")
    w.kill("fileop.exe")
    holder.end()
    for _ in range(100):
        if w.health()[0]["handles"] == 0:
            break
        wine.pause(0.05)
    t.eq(w.health()[0]["handles"], 0, "handles")
    w.op("rm", r"I:\f")


@test()
def test_violations_are_seen(t):
    """what the simulation complains of fails a test: shown one"""
    w = wine.Session(t, filter=False)
    w.expect_clean()
    w.must(r"C:\simctl.exe", "violate", drive=False)
    try:
        w.expect_clean()
    except Failed as e:
        t.contains(str(e), "a test asked for a violation", "the failure")
    else:
        raise Failed("a violation went unseen")
    w.must(r"C:\simctl.exe", "forget", drive=False)


@test()
def test_driver_imports(t):
    """every kernel function that inlay.sys imports exists under Wine or is stood in for: none ends the driver host"""
    path = os.path.join(os.environ["INLAY_WINE_PREFIX"], wine.DRIVERS)
    if not os.path.exists(f"{path}/inlay.sys"):
        raise Failed("inlay.sys was not built")
    dump = subprocess.run(["x86_64-w64-mingw32-objdump", "-p", f"{path}/inlay.sys"], capture_output=True, text=True, check=True).stdout
    imports, library = {}, None
    for line in dump.splitlines():
        if found := re.match(r"\s*DLL Name: (\S+)", line):
            library = found[1].lower()
        elif library and (found := re.match(r"\s+[0-9a-f]+\s+\d+\s+(\w+)$", line)):
            imports.setdefault(library, []).append(found[1])
    t.eq(sorted(imports), ["fltmgr.sys", "ntoskrnl.exe"], "libraries")
    symbols = subprocess.run(["nm", KERNEL], capture_output=True, text=True, check=True).stdout
    stubs = set(re.findall(r" T __wine_stub_(\w+)", symbols))
    t.true("IoGetRequestorProcessId" in stubs, "the list of Wine's stubs is one")
    exports = subprocess.run(["x86_64-w64-mingw32-objdump", "-p", KERNEL], capture_output=True, text=True, check=True).stdout
    known = set(re.findall(r"^\s+\[ *\d+\] (?:\+base\[ *\d+\]\s+[0-9a-f]+\s+)?(\w+)$", exports, re.M))
    ours = subprocess.run(["x86_64-w64-mingw32-objdump", "-p", f"{path}/fltmgr.sys"], capture_output=True, text=True, check=True).stdout
    ours = set(re.findall(r"^\s+\[ *\d+\] (?:\+base\[ *\d+\]\s+[0-9a-f]+\s+)?(\w+)$", ours, re.M))
    lacking = [n for n in imports["ntoskrnl.exe"] if n not in ours and (n in stubs or n not in known)]
    t.eq(lacking, [], "kernel functions that Wine has not")
    t.eq([n for n in imports["fltmgr.sys"] if n not in ours], [], "functions of the filter manager that the simulation has not")


@test(timeout=120)
def test_driver_loads_and_unloads(t):
    """five times: load, its device opens, unload, its device is gone, nothing is left"""
    w = wine.Session(t)
    for _ in range(5):
        t.eq(w.service("state", "inlay"), "running", "state")
        t.eq(w.run(r"C:\control.exe", "version", drive=False).text.split(), ["control", "1", "ring", "1"], "version")
        t.eq(w.health()[0]["filters"], 1, "filters")
        w.unload()
        t.eq(w.run(r"C:\control.exe", "version", drive=False).error(), 2, "opening the device of an unloaded driver")
        w.service("start", "inlay")


@test(timeout=120)
def test_driver_idle(t):
    """loaded, with no redirector, it changes nothing for programs"""
    w = wine.Session(t)
    w.must(r"C:\exercise.exe", r"I:", "2", "150", "2", timeout=100)
    counters = w.expect_clean()
    t.eq(counters["handles"], 0, "handles")


@test(timeout=120)
def test_driver_unload_waits_for_nobody(t):
    """unloaded while programs have files open on the drive and work: they go on"""
    w = wine.Session(t)
    worker = w.begin(r"C:\exercise.exe", r"I:", "2", "300", "3")
    for _ in range(3):
        wine.pause(0.3)
        w.unload()
        w.service("start", "inlay")
    done = worker.end(100)
    t.eq(done.code, 0, done.text[-500:])


@test(timeout=120)
def test_control_inputs(t):
    """the control device's calls with wrong sizes, versions, handles, numbers, names: each is refused by its own status"""
    w = wine.Session(t)
    w.op("mkdir", r"I:\inlay")
    w.must(r"C:\control.exe", "inputs")
    t.eq(w.run(r"C:\control.exe", "version", drive=False).code, 0, "the device afterwards")


@test(timeout=180)
def test_control_fuzz(t):
    """random calls to the control device, registered and not, by two processes: no crash, nothing left"""
    w = wine.Session(t)
    w.op("mkdir", r"I:\inlay")
    rounds = "3000" if t.quick else "20000"
    runs = [w.begin(r"C:\control.exe", "fuzz", rounds, str(seed)) for seed in (1, 2)]
    for running in runs:
        done = running.end(170)
        t.eq(done.code, 0, done.text[-500:])
    t.eq(w.run(r"C:\control.exe", "version", drive=False).code, 0, "the device afterwards")
