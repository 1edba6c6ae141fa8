# What every end-to-end test gets: a folder of its own, servers, attachments, programs, assertions, and a clean-up that is
# checked. The directory under test is a parameter: the same test passes on a plain local directory, its twin.
# SPDX-License-Identifier: Apache-2.0
import contextlib
import hashlib
import json
import os
import re
import shutil
import signal
import socket
import stat
import subprocess
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
USER_UID = 12345
USER_GROUPS = [23451, 23452]
SLOW = 4 if os.environ.get("ASAN_OPTIONS") else 1
# What a program says when one of its own checks fails.
BROKEN = re.compile(rb"ERROR: AddressSanitizer|LeakSanitizer|runtime error:|ThreadSanitizer|ssertion|stack smashing|buffer overflow detected")

TESTS = []


class Skip(Exception):
    """The test can't run here. A reason that starts with "optional: " is one even where everything has to run."""


class Failed(Exception):
    pass


class Entry:
    def __init__(self, function, subject, timeout, root, quick, alone):
        self.name = function.__name__.removeprefix("test_").replace("_", "-")
        self.function, self.subject, self.timeout, self.root, self.quick = function, subject, timeout, root, quick
        self.alone = alone
        self.module = function.__module__
        self.doc = function.__doc__ or ""


def test(subject=False, timeout=60, root=False, quick=True, alone=False):
    """subject: needs no more than a directory, and so can run on a local one. root: needs real privileges. alone: no other beside it."""

    def add(function):
        TESTS.append(Entry(function, subject, timeout, root, quick, alone))
        return function

    return add


def wait_for(what, condition, seconds=10):
    deadline = time.monotonic() + seconds * SLOW
    while True:
        result = condition()
        if result:
            return result
        if time.monotonic() > deadline:
            raise Failed(f"waited {seconds * SLOW} s in vain for {what}")
        time.sleep(0.02)


def ended(pid):
    """For wait_for: whether the process is over. It may go while one looks."""
    def gone():
        try:
            return open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()[0] == "Z"
        except OSError:
            return True
    return gone


def mounts():
    """[(mount point, type, source)]"""
    rows = []
    for line in open("/proc/self/mountinfo", errors="surrogateescape"):
        before, after = line.rstrip("\n").split(" - ", 1)
        point = re.sub(r"\\([0-7]{3})", lambda m: chr(int(m[1], 8)), before.split()[4])
        rows.append((point, *after.split()[:2]))
    return rows


def is_mounted(path):
    return any(point == os.path.realpath(path) or point == path for point, *_ in mounts())


def manifest(top, times=True):
    """Everything there is to know about a tree, as one text: two trees are the same when their manifests are."""
    lines = []

    def add(path, name):
        s = os.lstat(path)
        kind = stat.S_IFMT(s.st_mode)
        data = ""
        if kind == stat.S_IFREG:
            with open(path, "rb") as f:
                data = hashlib.sha256(f.read()).hexdigest()
        elif kind == stat.S_IFLNK:
            data = os.readlink(path)
        with contextlib.suppress(OSError):
            for key in sorted(os.listxattr(path, follow_symlinks=False)):
                data += f" {key}={os.getxattr(path, key, follow_symlinks=False)!r}"
        when = s.st_mtime_ns if times else ""
        size = s.st_size if kind != stat.S_IFDIR else ""
        lines.append(f"{name!r} {s.st_mode:o} {s.st_uid}:{s.st_gid} {s.st_nlink} {s.st_rdev} {size} {when} {data}")
        if kind == stat.S_IFDIR:
            for entry in sorted(os.listdir(path)):
                add(os.path.join(path, entry), f"{name}/{entry}")

    add(top, ".")
    return "\n".join(lines)


class Server:
    def __init__(self, t, exports, listen=None, args=(), binary=None, env=None, user=None):
        self.t = t
        self.log_path = t.path(f"inlayd-{len(t.servers)}.log")
        self.port = t.free_port()
        self.listen = listen if listen is not None else [f"127.0.0.1:{self.port}"]
        self.address = self.listen[0] if self.listen else None
        self.args = [binary or t.inlayd]
        for name, target in exports.items():
            self.args += ["--export", f"{name}={target}"]
        for address in self.listen:
            self.args += ["--listen", address]
        self.args += ["--state-dir", t.dir("state"), *args]
        self.env, self.user = env, user
        t.servers.append(self)
        self.start()

    def start(self):
        log = open(self.log_path, "ab")
        extra = {"user": self.user, "group": self.user, "extra_groups": []} if self.user else {}
        self.proc = subprocess.Popen(self.args, stdout=log, stderr=log, stdin=subprocess.DEVNULL,
                                     env={**os.environ, **(self.env or {})}, **extra)
        log.close()
        if self.address:
            wait_for(f"{' '.join(self.args)} to listen", self.answers)

    def answers(self):
        if self.proc.poll() is not None:
            raise Failed(f"inlayd ended with {self.proc.returncode}: {self.log()[-800:]}")
        try:
            connect(self.address, 1).close()
            return True
        except OSError:
            return False

    def log(self):
        with open(self.log_path, errors="replace") as f:
            return f.read()

    def alive(self):
        return self.proc.poll() is None

    def stop(self, number=signal.SIGTERM, seconds=15):
        """Ends it and returns its exit code."""
        if self.alive():
            self.proc.send_signal(signal.SIGCONT)
            self.proc.send_signal(number)
        try:
            return self.proc.wait(seconds * SLOW)
        except subprocess.TimeoutExpired:
            raise Failed(f"inlayd goes on after signal {number}: {self.log()[-500:]}") from None

    def freeze(self):
        """Returns once it does nothing any more: each of its threads stops by itself, on a busy machine some time after the signal."""
        self.proc.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, self.proc.pid, os.WSTOPPED)

    def memory_kib(self):
        for line in open(f"/proc/{self.proc.pid}/status"):
            if line.startswith("VmRSS:"):
                return int(line.split()[1])
        return 0


def connect(address, timeout=10):
    if address.startswith("unix:"):
        s = socket.socket(socket.AF_UNIX)
        s.settimeout(timeout)
        s.connect(address[5:])
        return s
    host, port = address.rsplit(":", 1)
    return socket.create_connection((host.strip("[]"), int(port)), timeout)


class Attachment:
    def __init__(self, t, source, directory, args, user=None):
        self.t, self.dir, self.user = t, directory, user
        self.log_path = t.path(f"attach-{len(t.attachments)}.log")
        if user:
            open(self.log_path, "a").close()
            os.chmod(self.log_path, 0o666)
        t.attachments.append(self)
        done = t.run(t.program("inlay"), "attach", source, directory, "--log-file", self.log_path, *args, user=user)
        if done.returncode != 0:
            raise Failed(f"inlay attach {source}: exit {done.returncode}: {done.stderr.strip()} {self.log()[-500:]}")
        if not is_mounted(directory):
            raise Failed(f"inlay attach {source} succeeded, but nothing is mounted on {directory}")

    def log(self):
        if not os.path.exists(self.log_path):
            return ""
        with open(self.log_path, errors="replace") as f:
            return f.read()

    def attached(self):
        return is_mounted(self.dir)

    def detach(self, *args, user=None):
        done = self.t.run(self.t.program("inlay"), "detach", *args, self.dir, user=user or self.user, timeout=60)
        if done.returncode != 0:
            raise Failed(f"inlay detach {' '.join(args)}: exit {done.returncode}: {done.stderr.strip()} {self.log()[-500:]}")
        if self.attached():
            raise Failed("inlay detach succeeded, but the directory is still mounted")

    def status(self):
        done = self.t.must(self.t.program("inlay"), "status", "--json", self.dir, user=self.user)
        rows = json.loads(done.stdout)["attachments"]
        self.t.eq(len(rows), 1, "attachments in status")
        return rows[0]

    def pid(self):
        return self.status()["pid"]


class Test:
    """One test's world."""

    def __init__(self, tmp, build, mode, quick, privileged):
        self.tmp, self.build, self.mode, self.quick, self.privileged = tmp, build, mode, quick, privileged
        self.servers, self.attachments, self.undo, self.points, self.rows = [], [], [], [], []
        self.inlayd = self.program("inlayd") if mode != "local" else None
        self.port = 0

    # -- places and programs --

    def path(self, name):
        return os.path.join(self.tmp, name)

    def dir(self, name, mode=0o755):
        path = self.path(name)
        if not os.path.isdir(path):
            os.makedirs(path)
            os.chmod(path, mode)
        return path

    def file(self, path, content=b""):
        with open(path, "wb") as f:
            f.write(content if isinstance(content, bytes) else content.encode())
        return path

    def program(self, name):
        for path in (os.path.join(self.build, name), os.path.join(self.build, "src", name)):
            if os.path.exists(path):
                return os.path.abspath(path)
        raise Failed(f"{name} is not in {self.build}")

    def need(self, *programs):
        for name in programs:
            if not shutil.which(name, path=os.environ["PATH"] + ":/usr/sbin:/sbin"):
                raise Skip(f"{name} is not installed")

    def need_root(self, why):
        if not self.privileged:
            raise Skip(f"needs root: {why}")

    def free_port(self):
        """In a network namespace of our own every port is free; without one, ask."""
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            return s.getsockname()[1]

    def run(self, *command, timeout=60, user=None, env=None, cwd=None, stdin=None, text=True, group=None, groups=None):
        extra = {}
        if user:
            extra = {"user": user, "group": group or user, "extra_groups": USER_GROUPS if groups is None else groups}
        try:
            return subprocess.run(command, capture_output=True, timeout=timeout * SLOW, cwd=cwd or self.tmp,
                                  input=stdin, stdin=subprocess.DEVNULL if stdin is None else None, text=text,
                                  errors="replace" if text else None,
                                  env={**os.environ, "LC_ALL": "C", **(env or {})}, **extra)
        except subprocess.TimeoutExpired as e:
            raise Failed(f"{' '.join(map(str, command))[:200]}: no end after {timeout * SLOW} s; "
                         f"{(e.stderr or b'')[-300:]!r}") from None

    def must(self, *command, **options):
        done = self.run(*command, **options)
        if done.returncode != 0:
            raise Failed(f"{' '.join(map(str, command))[:300]}: exit {done.returncode}: "
                         f"{str(done.stderr)[-600:].strip()} {str(done.stdout)[-300:].strip()}")
        return done

    def shell(self, script, **options):
        return self.must("bash", "-euo", "pipefail", "-c", script, **options)

    def start(self, *command, **options):
        """A process beside the test; killed at its end if need be."""
        proc = subprocess.Popen(command, **{"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL,
                                            "stderr": subprocess.DEVNULL, "cwd": self.tmp, **options})

        def end():
            if proc.poll() is None:
                proc.kill()
            proc.wait()

        self.undo.append(end)
        return proc

    def mount(self, *args):
        self.must("mount", *args)
        self.points.append(args[-1])

    def unmount_all(self):
        """One lies within an attachment, another beneath a server: called before and after those have gone."""
        for point in reversed(self.points):
            if is_mounted(point):
                self.run("umount", point)

    def named_user(self):
        """Gives USER_UID a name, within this test; some programs want one. Returns it."""
        self.need_root("a user with a name")
        lines = open("/etc/passwd").read() + f"tester:x:{USER_UID}:{USER_UID}::{self.tmp}:/bin/sh\n"
        self.mount("--bind", self.file(self.path("passwd"), lines), "/etc/passwd")
        return "tester"

    # -- the product --

    def server(self, exports=None, **options):
        if exports is None:
            exports = {"e": f"{self.export()},identity=client"}
        return Server(self, exports, **options)

    def export(self):
        return self.dir("export")

    def attach(self, server, directory=None, *args, export="e", user=None):
        directory = directory or self.dir(f"mnt{len(self.attachments)}")
        return Attachment(self, f"{server.address}/{export}", directory, args, user)

    def inlay(self, *args, **options):
        return self.run(self.program("inlay"), *args, **options)

    def subject(self):
        """The directory under test: an attachment, or a plain directory. self.behind is where its files really lie."""
        if self.mode == "local":
            self.behind = self.dir("subject")
            return self.behind
        self.behind = self.export()
        return self.attach(self.server(), self.dir("subject")).dir

    def two_subjects(self):
        """The same files by two clients; locally, one directory by two names."""
        if self.mode == "local":
            self.behind = self.dir("subject")
            other = self.path("other")
            self.mount("--bind", self.behind, self.dir("other"))
            return self.behind, other
        self.behind = self.export()
        server = self.server()
        return self.attach(server).dir, self.attach(server).dir

    # -- assertions --

    def eq(self, got, wanted, what=""):
        if got != wanted:
            raise Failed(f"{what + ': ' if what else ''}{short(got)}, not {short(wanted)}")

    def true(self, condition, what):
        if not condition:
            raise Failed(what)

    def contains(self, text, part, what=""):
        if part not in text:
            raise Failed(f"{what + ': ' if what else ''}{short(part)} is not in {short(text)}")

    def raises(self, number, function, *args, **kwargs):
        try:
            function(*args, **kwargs)
        except OSError as e:
            if e.errno != number:
                raise Failed(f"{os.strerror(e.errno)}, not {os.strerror(number)}: {function.__name__}{args}") from None
            return
        raise Failed(f"no error, but should be {os.strerror(number)}: {function.__name__}{args}")

    def refused(self, done, code, *words):
        """A command failed as it should: that exit code, one line that holds all these words, nothing on stdout."""
        self.eq(done.returncode, code, f"exit code ({done.stderr.strip()!r})")
        lines = done.stderr.strip().splitlines()
        self.eq(len(lines), 1, f"lines on stderr {done.stderr!r}")
        self.eq(done.stdout, "", "stdout")
        for word in words:
            self.contains(lines[0].lower(), word.lower(), "message")

    def row(self, name, result, why=""):
        """One more result beneath this test."""
        self.rows.append((name, result, why))

    # -- the end --

    def finish(self):
        """Detaches and stops everything; returns what went wrong in that."""
        problems = []

        def attempt(what, function):
            try:
                function()
            except Exception as e:
                problems.append(f"{what}: {e}")

        close_files(self.tmp)
        for action in reversed(self.undo):
            attempt("clean-up", action)
        attempt("unmount", self.unmount_all)
        for a in self.attachments:
            if a.attached():
                attempt("detach", a.detach)
                if a.attached():
                    attempt("forced detach", lambda a=a: a.detach("--force"))
        for s in self.servers:
            if s.alive():
                attempt("stop", lambda s=s: self.eq(s.stop(), 0, "inlayd's exit code"))
            if s.alive():
                s.proc.kill()
                s.proc.wait()
        attempt("unmount", self.unmount_all)
        for path in [x.log_path for x in self.servers + self.attachments]:
            if os.path.exists(path):
                with open(path, "rb") as f:
                    found = BROKEN.search(log := f.read())
                if found:
                    problems.append(f"{os.path.basename(path)}: {log[found.start():found.start() + 1500].decode(errors='replace')}")
        return problems


def close_files(top):
    """What a test still has open beneath its folder would keep a directory busy."""
    for fd in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            if os.readlink(f"/proc/self/fd/{fd}").startswith(top):
                os.close(int(fd))


def short(value):
    text = repr(value)
    return text if len(text) <= 300 else text[:200] + " ... " + text[-80:]
