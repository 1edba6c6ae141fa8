# A Wine session of a test: its driver host with the simulated filter manager and inlay.sys, programs with the simulated
# drive I:, the redirector on it, and the end that must find everything released.
# SPDX-License-Identifier: Apache-2.0
import contextlib
import os
import re
import shutil
import signal
import subprocess
import time

import harness

LOADER = "/usr/lib/wine/wine64"
SERVER = "/usr/lib/wine/wineserver"
DRIVERS = "drive_c/windows/system32/drivers"
GONE = 1167  # ERROR_DEVICE_NOT_CONNECTED
OFFLINE = 4350  # ERROR_FILE_OFFLINE
OWN = ("with-drive.exe", "exercise.exe", "image.exe", "fileop.exe", "control.exe", "ringside.exe", "inlay.exe", "cmd.exe", "bench.exe", "sqlite3.exe")


def environment(prefix):
    """WINEDEBUG is that of the session's first process: what drivers print is in its log."""
    return {**os.environ, "WINEPREFIX": prefix, "WINEDEBUG": os.environ.get("INLAY_WINEDEBUG", "-all,err+all,warn+debugstr"),
            "WINEDLLOVERRIDES": "fltmgr.sys=n;mscoree,mshtml=", "DISPLAY": ""}


def simple(prefix, *args, timeout=60):
    with open(os.path.join(prefix, "make.log"), "ab") as log:
        subprocess.run([LOADER, *args], env=environment(prefix), stdin=subprocess.DEVNULL, stdout=log, stderr=log, timeout=timeout,
                       check=True)


def make_prefix(work, out, driver, redirector):
    """What every test of a run begins with: Windows' folders, our binaries, the two services."""
    prefix = os.path.join(work, "prefix")
    env = environment(prefix)
    os.mkdir(prefix)
    subprocess.run([SERVER, "-p"], env=env, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        simple(prefix, "wineboot", "-i", timeout=120)
        for name in os.listdir(out):
            if name.endswith((".exe", ".dll")):
                shutil.copy(os.path.join(out, name), os.path.join(prefix, "drive_c"))
        shutil.copy(os.path.join(out, "fltmgr.sys"), os.path.join(prefix, DRIVERS))
        for path, target in ((driver, DRIVERS), (redirector, "drive_c")):
            if os.path.exists(path):
                shutil.copy(path, os.path.join(prefix, target))
        for name in ("fltmgr", "inlay"):
            simple(prefix, r"C:\simctl.exe", "install", name, rf"C:\windows\system32\drivers\{name}.sys")
    finally:
        subprocess.run([SERVER, "-k"], env=env, check=False, timeout=30)
        subprocess.run([SERVER, "-w"], env=env, check=False, timeout=30)
    return prefix


def own_prefix(folder):
    """A copy of it for one test: links, which nobody may write into; but of the registry, which Wine does write into where it is linked."""
    common, own = os.environ["INLAY_WINE_PREFIX"], os.path.join(folder, "prefix")
    subprocess.run(["cp", "-al", common, own], check=True)
    for name in os.listdir(common):
        if name.endswith(".reg"):
            os.unlink(os.path.join(own, name))
            shutil.copy2(os.path.join(common, name), own)
    return own


class Done:
    def __init__(self, code, text):
        self.code, self.text = code, text
        self.lines = text.splitlines()

    def error(self):
        """The Windows error that a program of ours answered with, or 0."""
        found = re.search(r"^error (\d+)$", self.text, re.M)
        return int(found[1]) if found else 0


class Running:
    """A Windows program beside the test."""

    def __init__(self, session, command, name):
        self.session, self.name = session, name
        self.path = session.t.path(f"{len(session.started)}-{name}.log")
        with open(self.path, "wb") as log:
            self.proc = subprocess.Popen(command, env=session.env, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=session.t.tmp)

    def text(self):
        with open(self.path, errors="replace") as f:
            return f.read().replace("\r", "")

    def until(self, words, seconds=30):
        def there():
            if words in self.text():
                return True
            if self.proc.poll() is not None:
                raise harness.Failed(f"{self.name} ended with {self.proc.returncode} before {words!r}: {self.text()[-800:]}")
            return False
        harness.wait_for(f"{self.name} to say {words!r} (said: {self.text()[-300:]!r})", there, seconds)
        return self

    def end(self, seconds=60):
        try:
            code = self.proc.wait(seconds * harness.SLOW)
        except subprocess.TimeoutExpired:
            raise harness.Failed(f"{self.name} hangs: {self.text()[-800:]}") from None
        return Done(code, self.text())


class Session:
    """One driver host. filter=False: the simulated drive alone."""

    def __init__(self, t, filter=True):
        self.t, self.started, self.loaded = t, [], []
        self.prefix = os.environ["INLAY_WINE_PREFIX"]
        self.env = environment(self.prefix)
        self.open = False
        self.pool = 0  # allocations of filters that may be there
        if filter and not os.path.exists(os.path.join(self.prefix, DRIVERS, "inlay.sys")):
            raise harness.Failed("inlay.sys was not built")
        t.undo.append(self.finish)
        self.start()
        self.service("start", "fltmgr")
        if filter:
            self.service("start", "inlay")

    # -- processes --

    def start(self):
        subprocess.run([SERVER, "-p"], env=self.env, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                       stderr=subprocess.DEVNULL)
        self.open = True
        # the session's services inherit this one's output
        first = Running(self, [LOADER, r"C:\simctl.exe", "state", "fltmgr"], "session")
        self.started.append(first)
        done = first.end(60)
        if done.code != 0:
            raise harness.Failed(f"the session's first program: status {done.code}: {done.text[-500:].strip()}")

    def begin(self, *args, drive=True, name=None):
        command = [LOADER, *([r"C:\with-drive.exe"] if drive else []), *args]
        running = Running(self, command, name or args[0].split("\\")[-1])
        self.started.append(running)
        return running

    def run(self, *args, drive=True, timeout=60):
        return self.begin(*args, drive=drive).end(timeout)

    def must(self, *args, **options):
        done = self.run(*args, **options)
        if done.code != 0:
            raise harness.Failed(f"{' '.join(args)}: status {done.code}: {done.text[-1200:].strip()}")
        return done

    def op(self, *args, timeout=60):
        """fileop that has to succeed; its output."""
        return self.must(r"C:\fileop.exe", *args, timeout=timeout).text

    def op_error(self, *args, timeout=60):
        """fileop's error number; 0 when it succeeded."""
        done = self.run(r"C:\fileop.exe", *args, timeout=timeout)
        if done.code not in (0, 3):
            raise harness.Failed(f"fileop {' '.join(args)}: status {done.code}: {done.text[-500:]}")
        return done.error()

    def cmd(self, line, timeout=60):
        return self.run("cmd", "/c", line, timeout=timeout)

    def pids(self, program):
        """Unix process ids of a Windows program of this session, not of its launcher."""
        found = []
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                command = open(f"/proc/{pid}/cmdline", "rb").read().split(b"\0")
                ours = f"WINEPREFIX={self.prefix}".encode() in open(f"/proc/{pid}/environ", "rb").read().split(b"\0")
            except OSError:
                continue
            if ours and command[0].lower().endswith(program.lower().encode()):
                found.append(int(pid))
        return found

    def kill(self, program):
        pids = self.pids(program)
        if not pids:
            raise harness.Failed(f"{program} does not run")
        for pid in pids:
            os.kill(pid, signal.SIGKILL)

    # -- drivers --

    def service(self, verb, name, timeout=60):
        done = self.run(r"C:\simctl.exe", verb, name, drive=False, timeout=timeout)
        if done.code != 0:
            raise harness.Failed(f"{verb} of {name}: {done.text.strip()}; {self.log()[-1500:]}")
        if verb == "start":
            self.loaded.append(name)
        elif verb == "stop":
            self.loaded.remove(name)
        return done.text.strip()

    def log(self):
        """What drivers printed."""
        return self.started[0].text() if self.started else ""

    def health(self):
        """({counter: number}, [violation])"""
        done = self.run(r"C:\simctl.exe", "health", drive=False)
        counters, violations = {}, []
        for line in done.lines:
            found = re.fullmatch(r"(\w+) (\d+)", line)
            if found and not violations:
                counters[found[1]] = int(found[2])
            elif line:
                violations.append(line)
        if "violations" not in counters:
            raise harness.Failed(f"no health of the simulation: {done.text.strip()}; {self.log()[-1500:]}")
        return counters, violations

    def expect_clean(self):
        """Nothing violated; and with the filter gone nothing of it left."""
        counters, violations = self.health()
        if counters["violations"]:
            raise harness.Failed(f"{counters['violations']} violations: {'; '.join(violations[:8])}")
        return counters

    def unload(self, forgotten=0):
        """forgotten: handles of the control device that are open. Windows keeps the image until they are closed, Wine forgets them, and
        what the driver would free at their close (their registration, at most four pieces) stays."""
        self.service("stop", "inlay")
        counters = self.expect_clean()
        for _ in range(100):  # what programs do on the drive is no longer the filter's; what it has kept would never end
            if not counters["under_way"]:
                break
            counters = self.expect_clean()
        left = {name: counters[name] for name in ("filters", "contexts", "names", "under_way") if counters[name]}
        self.pool += 4 * forgotten
        if counters["pool"] > self.pool:
            left["pool"] = counters["pool"]
        if left:
            raise harness.Failed(f"left by the unloaded filter: {left}")
        return counters

    def finish(self):
        """The end of every test: processes gone, filter unloaded, nothing violated or left."""
        if not self.open:
            return
        try:
            self.end_programs()
            if "inlay" in self.loaded:
                self.unload()
            elif "fltmgr" in self.loaded:
                self.expect_clean()
            if "fltmgr" in self.loaded:
                self.service("stop", "fltmgr")
        finally:
            self.end_session()

    def end_programs(self):
        """Whatever a test left running; then until the driver host has heard of their handles."""
        pids = [pid for program in OWN for pid in self.pids(program)]
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if pids and "fltmgr" in self.loaded:
            harness.wait_for("the drive's handles to close", lambda: self.health()[0]["handles"] == 0)

    def end_session(self):
        self.open = False
        subprocess.run([SERVER, "-k"], env=self.env, check=False, timeout=60)
        subprocess.run([SERVER, "-w"], env=self.env, check=False, timeout=60)
        for running in self.started:
            if running.proc.poll() is None:
                running.proc.kill()
            running.proc.wait()

    # -- the product --

    def attach(self, server, directory="I:\\inlay", *args, export="e"):
        """inlay.exe on the simulated drive; returns when the directory is attached."""
        if not os.path.exists(os.path.join(self.prefix, "drive_c", "inlay.exe")):
            raise harness.Failed("inlay.exe was not built")
        self.run(r"C:\fileop.exe", "mkdir", directory)
        user = () if "--user" in args else ("--user", f"{os.geteuid()}:{os.getegid()}")
        running = self.begin(r"C:\inlay.exe", "attach", "--foreground", *user, f"{server.address}/{export}", directory, *args,
                             name=f"attach-{len(self.started)}")
        return running.until("attached")

    def detach(self, directory="I:\\inlay"):
        return self.must(r"C:\inlay.exe", "detach", directory)


def hash_of(data):
    """As the test programs compute it: FNV-1a of 64 bits."""
    value = 0xcbf29ce484222325
    for byte in data:
        value = ((value ^ byte) * 0x100000001b3) & 0xffffffffffffffff
    return f"{value:016x}"


def pause(seconds):
    time.sleep(seconds * harness.SLOW)
