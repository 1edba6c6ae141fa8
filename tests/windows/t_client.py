# inlay.exe ls, cat and cp under Wine against a native inlayd: the same words, bytes and exit codes as the program on Linux. No driver
# takes part.
# SPDX-License-Identifier: Apache-2.0
import os
import pty
import re
import select
import signal
import socket
import subprocess
import threading
import time

import wine
from harness import ROOT, Failed, connect, test

MIB = 1 << 20


class Client:
    """Programs of one Wine session without drivers."""

    def __init__(self, t):
        self.t = t
        self.prefix = os.environ["INLAY_WINE_PREFIX"]
        self.env = {**wine.environment(self.prefix), "WINEDEBUG": "-all"}
        self.program = os.path.join(self.prefix, "drive_c", "inlay.exe")
        if not os.path.exists(self.program):
            raise Failed("inlay.exe was not built")
        subprocess.run([wine.SERVER, "-p"], env=self.env, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                       stderr=subprocess.DEVNULL)
        t.undo.append(self.end)

    def end(self):
        for option in ("-k", "-w"):
            subprocess.run([wine.SERVER, option], env=self.env, check=False, timeout=60)

    def start(self, *args):
        """A command as the user that this test is. Output goes to files: Wine's session would keep a pipe open."""
        if args and args[0] in ("ls", "cat", "cp"):
            args = (args[0], "--user", f"{os.geteuid()}:{os.getegid()}", *args[1:])
        return self.begin(*args)

    def begin(self, *args):
        out, err = (open(self.t.path(name), "wb") for name in ("out", "err"))
        with out, err:
            return self.t.start(wine.LOADER, self.program, *args, env=self.env, stdout=out, stderr=err)

    def result(self, proc, timeout=60):
        try:
            code = proc.wait(timeout)
        except subprocess.TimeoutExpired:
            raise Failed(f"no end after {timeout} s") from None
        return code, open(self.t.path("out"), "rb").read(), open(self.t.path("err"), "rb").read().decode(errors="replace")

    def run(self, *args, timeout=60):
        return self.result(self.start(*args), timeout)

    def must(self, *args, timeout=60):
        code, out, err = self.run(*args, timeout=timeout)
        if code != 0 or err:
            raise Failed(f"{' '.join(args)}: exit code {code}: {err.strip()}")
        return out


def there(path):
    """A path of this host as Windows' programs see it."""
    return "Z:" + path.replace("/", "\\")


def native(t, *args):
    done = t.run(t.program("inlay"), *args, text=False)
    return done.returncode, done.stdout, done.stderr.decode(errors="replace")


class Proxy:
    """Carries connections to the server. Once `limit` bytes have passed it stops and says so, until cut() ends what is under way; the
    next ones are let through. `pace`: seconds that each piece takes."""

    def __init__(self, t, server):
        self.target, self.moved, self.limit, self.made = server.address, 0, None, 0
        self.pace = 0
        self.reached, self.go_on = threading.Event(), threading.Event()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self.listener.getsockname()[1]}"
        self.open = []
        threading.Thread(target=self.accept, daemon=True).start()
        t.undo.append(self.close)

    def accept(self):
        while True:
            try:
                here, _ = self.listener.accept()
                far = connect(self.target)
            except OSError:
                return
            self.made += 1
            self.open += [here, far]
            for pair in ((here, far), (far, here)):
                threading.Thread(target=self.carry, args=pair, daemon=True).start()

    def carry(self, source, sink):
        try:
            while data := source.recv(65536):
                self.moved += len(data)
                time.sleep(self.pace)
                if self.limit is not None and self.moved >= self.limit:
                    self.limit = None
                    self.reached.set()
                    self.go_on.wait()
                sink.sendall(data)
        except OSError:
            pass
        for s in (source, sink):
            try:
                s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def cut(self):
        for s in self.open:
            try:
                s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        self.go_on.set()

    def close(self):
        self.listener.close()
        self.cut()


@test()
def test_client_list(t):
    """ls shows what ls on Linux shows: names of all kinds, details, a file, a link"""
    server, remote, w = t.server(), t.export(), Client(t)
    for name in ("plain", ".hidden", "grüße €", "con", "a:b*?", "two\nlines", "dot."):
        t.file(f"{remote}/{name}", "x" * len(name))
    os.mkdir(f"{remote}/d", 0o1750)
    os.symlink("plain", f"{remote}/link")
    os.utime(f"{remote}/plain", (981173106, 981173106))
    for args in (("ls", "e"), ("ls", "-a", "e"), ("ls", "-la", "e"), ("ls", "-l", "e/link"), ("ls", "e/d"), ("ls", "e/grüße €")):
        at = (*args[:-1], f"{server.address}/{args[-1]}")
        code, out, err = w.run(*at)
        t.eq((code, out.decode(errors="replace"), err), (0, native(t, *at)[1].decode(errors="replace"), ""), " ".join(args))
    t.contains(w.must("ls", f"{server.address}/e").decode(), "grüße €")


@test()
def test_client_refusals(t):
    """what can't be is said in the same words, with the same exit codes, as on Linux"""
    server, remote, w = t.server(), t.export(), Client(t)
    os.mkdir(f"{remote}/d")
    t.file(f"{remote}/f", "x")
    s = server.address
    nobody = f"127.0.0.1:{t.free_port()}"
    for args, code in ((("ls", f"{s}/e/missing"), 1), (("ls", f"{s}/missing"), 1), (("ls", f"{nobody}/e"), 1),
                       (("cat", f"{s}/e/d"), 1), (("cat", f"{s}/e/f/g"), 1), (("cat", "10.99.99.99/e/f"), 1),
                       (("cat", "unix:/nowhere/e"), 2), (("ls", "[::1/e"), 2), (("ls", "--timeout", "0", f"{s}/e"), 2),
                       (("ls", "--frob", f"{s}/e"), 2), (("ls",), 2), (("cp", f"{s}/e/f", f"{s}/e/g"), 2), (("cp", f"{s}/e/f"), 2),
                       (("cp", f"{s}/e/d", "copy"), 1), (("cp", "missing", f"{s}/e/x"), 1), (("frob",), 2)):
        wanted, got = native(t, *args), w.run(*args)
        t.eq(wanted[0], code, f"on Linux {args}")
        if args[0] == "frob": # there are other commands there
            wanted = (wanted[0], wanted[1], got[2] if got[2].startswith("inlay: unknown command: frob: ") else wanted[2])
        t.eq((got[0], got[1].decode(), got[2]), (wanted[0], wanted[1].decode(), wanted[2]), " ".join(args))


@test()
def test_client_user(t):
    """--user: nobody without it; only as much as that user may"""
    server, remote, w = t.server(), t.export(), Client(t)
    os.chmod(remote, 0o755)
    os.chmod(t.file(f"{remote}/mine", "x"), 0o600)

    def run(*args):
        return w.result(w.begin(*args))

    code, _, err = run("cat", f"{server.address}/e/mine")
    t.eq((code, "permission denied" in err), (1, True), f"as nobody: {err!r}")
    t.eq(run("cat", "--user", f"{os.geteuid()}:{os.getegid()}", f"{server.address}/e/mine"), (0, b"x", ""), "as its owner")
    for wrong in ("me", "1", "1:", ":1", "1:4294967295", "1:1:1", "1 :1"):
        code, out, err = run("ls", "--user", wrong, f"{server.address}/e")
        t.eq((code, out, "not UID:GID" in err), (2, b"", True), f"--user {wrong}: {err!r}")
    for command in ("ls", "cat", "cp"):
        wanted, got = native(t, command, "--help")[1].decode().splitlines(), run(command, "--help")[1].decode().splitlines()
        t.eq([line for line in got if "--user" not in line], [line for line in wanted], f"{command} --help")
        with open(os.path.join(ROOT, "docs", "WINDOWS.md"), encoding="utf-8") as f:
            t.contains(f.read(), "| `--user UID:GID` | who you are on the server; default 65534:65534, nobody |")


@test()
def test_client_cat(t):
    """cat gives the very bytes: none, text with both kinds of line ends, 20 MiB, a hole"""
    server, remote, w = t.server(), t.export(), Client(t)
    holed = bytearray(os.urandom(MIB) + bytes(6 * MIB) + os.urandom(77))
    for name, data in (("empty", b""), ("text", b"one\ntwo\r\nthree\x1a\n"), ("big", os.urandom(20 * MIB + 1)), ("holed", bytes(holed))):
        with open(t.file(f"{remote}/{name}"), "wb") as f:
            if name == "holed":
                f.write(data[:MIB])
                f.seek(7 * MIB)
                f.write(data[7 * MIB:])
            else:
                f.write(data)
        t.true(w.must("cat", f"{server.address}/e/{name}") == data, f"{name} differs")


@test(timeout=120)
def test_client_copy(t):
    """cp both ways: sizes around a request's, a big file, a holed one, onto what exists, into a directory, with times"""
    server, remote, w = t.server(), t.export(), Client(t)
    here = t.dir("here")
    for size in (0, 1, MIB - 1, MIB, MIB + 1, 96 * MIB + 4097):
        data = os.urandom(min(size, 3 * MIB)) * (size // (3 * MIB) + 1)
        t.file(f"{remote}/f", data[:size])
        w.must("cp", f"{server.address}/e/f", there(f"{here}/f"))
        t.true(open(f"{here}/f", "rb").read() == data[:size], f"{size} bytes from the server differ")
        w.must("cp", there(f"{here}/f"), f"{server.address}/e/back")
        t.true(open(f"{remote}/back", "rb").read() == data[:size], f"{size} bytes to the server differ")
    with open(f"{remote}/holed", "wb") as f:
        f.truncate(40 * MIB)
        f.seek(20 * MIB)
        f.write(b"island")
    w.must("cp", f"{server.address}/e/holed", there(here))
    t.true(open(f"{here}/holed", "rb").read() == open(f"{remote}/holed", "rb").read(), "the holed file differs")
    os.utime(f"{remote}/f", (1234567890, 1234567890))
    w.must("cp", "-p", f"{server.address}/e/f", there(f"{here}/times"))
    t.eq(int(os.stat(f"{here}/times").st_mtime), 1234567890, "time of the copy here")
    os.utime(f"{here}/times", (987654321, 987654321))
    w.must("cp", "-p", there(f"{here}/times"), f"{server.address}/e/times")
    t.eq(int(os.stat(f"{remote}/times").st_mtime), 987654321, "time of the copy there")
    code, _, err = w.run("cp", f"{server.address}/e/f", there(f"{here}/nowhere/f"))
    t.eq((code, "no such file or directory" in err), (1, True), f"into a folder that isn't there: {err!r}")


@test()
def test_client_trees(t):
    """cp -r there and back: names that Windows can't have get others here, and their own again there"""
    server, remote, w = t.server(), t.export(), Client(t)
    os.makedirs(f"{remote}/tree/deep/er")
    names = ("plain", "grüße €", "a:b*?<>|", "con", "NUL.txt", "dot.", "blank ", "back\\slash", "deep/er/x", "deep/\x01", "\U0001f600")
    for name in names:
        t.file(f"{remote}/tree/{name}", name)
    w.must("cp", "-r", f"{server.address}/e/tree", there(t.path("copy")))
    found = [name for _, _, files in os.walk(t.path("copy")) for name in files]
    t.eq(len(found), len(names), "files here")
    for name in found:
        t.true(not re.search(r'[\x01-\x1f:*?<>|\\]|[. ]$|^(?i:con|nul)(\.|$)', name), f"{name!r} is no name for Windows")
    w.must("cp", "-r", there(t.path("copy")), f"{server.address}/e/again")
    for name in names:
        with open(f"{remote}/again/{name}", "rb") as f:
            t.eq(f.read(), name.encode(), name)
    t.eq(sum(len(files) for _, _, files in os.walk(f"{remote}/again")), len(names), "files there")
    code, _, err = w.run("cp", f"{server.address}/e/tree", there(t.path("other")))
    t.eq((code, "without -r" in err), (1, True), f"a tree without -r: {err!r}")


@test(timeout=120)
def test_client_lost_connection(t):
    """a connection cut in mid-copy, both ways: it is made anew, the session goes on, every byte is right"""
    server, remote, w = t.server(), t.export(), Client(t)
    data = os.urandom(48 * MIB)
    t.file(f"{remote}/f", data)
    for source, target, copy in ((None, there(t.path("f")), t.path("f")), (there(t.path("f")), None, f"{remote}/g")):
        proxy = Proxy(t, server)
        proxy.limit = 20 * MIB
        proc = w.start("cp", source or f"{proxy.address}/e/f", target or f"{proxy.address}/e/g")
        t.true(proxy.reached.wait(60), "the copy doesn't get on")
        proxy.cut()
        code, _, err = w.result(proc)
        t.eq((code, err), (0, ""), "cp")
        t.true(proxy.made > 1, "the connection was not cut")
        t.true(open(copy, "rb").read() == data, f"{copy} differs")


@test(timeout=120)
def test_client_restarted_server(t):
    """the server killed in mid-copy and started again: the same end as on Linux, and the next copy is right"""
    server, remote, w = t.server(), t.export(), Client(t)
    data = os.urandom(48 * MIB)
    t.file(f"{remote}/f", data)

    def interrupted(begin, end, *args):
        proxy = Proxy(t, server)
        proxy.limit = 20 * MIB
        proc = begin("cp", *[f"{proxy.address}/e/{a[1:]}" if a[0] == "@" else a for a in args])
        t.true(proxy.reached.wait(60), "the copy doesn't get on")
        server.stop(signal.SIGKILL)
        proxy.cut()
        server.start()
        code, _, err = end(proc)
        return code, err.replace(proxy.address, "SERVER")

    def begin_native(*args):
        return t.start(t.program("inlay"), *args, stderr=open(t.path("native"), "wb"))

    def end_native(proc):
        return proc.wait(60), b"", open(t.path("native")).read()

    local, copy = t.file(t.path("local"), data), t.path("copy")
    for args in (("@f", copy), (local, "@g")):
        wanted = interrupted(begin_native, end_native, *args)
        got = interrupted(w.start, w.result, *[a if a[0] == "@" else there(a) for a in args])
        t.eq((got[0], got[1].replace(there(local), local)), wanted, f"cp {args}")
        t.eq(wanted[0], 1, "exit code")
        t.contains(wanted[1], "inlay: can't", "what it says")
    w.must("cp", there(local), f"{server.address}/e/g")
    t.true(open(f"{remote}/g", "rb").read() == data, "the next copy differs")


@test()
def test_client_timeout(t):
    """--timeout: a server that is gone for good ends the command, not before and not for ever"""
    server, remote, w = t.server(), t.export(), Client(t)
    t.file(f"{remote}/f", os.urandom(32 * MIB))
    proxy = Proxy(t, server)
    proxy.limit = 10 * MIB
    proc = w.start("cp", "--timeout", "2", f"{proxy.address}/e/f", there(t.path("f")))
    t.true(proxy.reached.wait(60), "the copy doesn't get on")
    server.stop(signal.SIGKILL)
    proxy.close()
    code, _, err = w.result(proc, 40)
    t.eq((code, "can't read" in err), (1, True), f"cp: {err!r}")


@test()
def test_client_on_console(t):
    """on a console: letters beyond ASCII come out whole, a long copy shows how far it is, and its line is gone at the end"""
    server, remote, w = t.server(), t.export(), Client(t)
    t.file(f"{remote}/grüße €", "x")
    t.file(f"{remote}/big", bytes(range(256)) * 4096 * 40)

    def shown(*args):
        main, end = pty.openpty()
        proc = t.start(wine.LOADER, w.program, args[0], "--user", f"{os.geteuid()}:{os.getegid()}", *args[1:],
                       env={**w.env, "TERM": "xterm"}, stdin=end, stdout=end, stderr=end, start_new_session=True)
        os.close(end)
        said = b""
        while True:
            if select.select([main], [], [], 0.2)[0]:
                try:
                    said += os.read(main, 65536)
                except OSError:
                    break
            elif proc.poll() is not None:
                break
        os.close(main)
        t.eq(proc.wait(30), 0, f"exit code of {args[0]} ({said[-300:]!r})")
        return said.decode(errors="replace")

    w.run("--version")  # Wine's own processes begin with the first program: not on this console
    t.contains(shown("ls", f"{server.address}/e"), "grüße €", "on the console")
    proxy = Proxy(t, server)
    proxy.pace = 0.004
    said = shown("cp", f"{proxy.address}/e/big", there(t.path("copy")))
    t.true(re.search(r"copy  \[#+ *\] +\d+ %", said), f"a bar was shown: {said[-300:]!r}")
    t.true("%" not in said[said.rindex("\r"):], f"the bar is gone: {said[-200:]!r}")


@test()
def test_client_imports(t):
    """inlay.exe needs no library but those of Windows, and is built to be placed anywhere, with no code in its data"""
    program = os.path.join(os.environ["INLAY_WINE_PREFIX"], "drive_c", "inlay.exe")
    dump = t.must("x86_64-w64-mingw32-objdump", "-p", program).stdout
    libraries = {name.lower() for name in re.findall(r"DLL Name: (\S+)", dump)}
    t.true(libraries and libraries <= {"advapi32.dll", "bcrypt.dll", "kernel32.dll", "msvcrt.dll", "ntdll.dll",
                                        "user32.dll", "ws2_32.dll"}, f"{libraries}")
    for flag in ("DYNAMIC_BASE", "HIGH_ENTROPY_VA", "NX_COMPAT"):
        t.contains(dump, flag, "how it is built")
    t.true(re.search(r"^Subsystem\s+0*3\b", dump, re.I | re.M), "a console program")
