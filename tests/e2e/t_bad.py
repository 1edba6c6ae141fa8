# Bad input: one clear line that says what and where, the right exit code, nothing left mounted or running. Full and
# read-only stores: the right errno at the right call.
# SPDX-License-Identifier: Apache-2.0
import errno
import os
import socket
import time

from harness import is_mounted, test

# Options of `inlay attach`, the exit code, words of the one line.
ATTACH = [
    (["--nonsense"], 2, ["nonsense"]),
    (["--timeout"], 2, ["timeout"]),
    (["--timeout", "x"], 2, ["timeout", "x"]),
    (["--timeout", "-1"], 2, ["timeout"]),
    (["--connections", "0.5"], 2, ["connections"]),
    (["--connections", "100000"], 2, ["connections"]),
    (["--rule", "perhaps *.o"], 2, ["perhaps"]),
    (["--rule", "local ["], 2, ["["]),
    (["--rules-file", "/no/such/file"], 2, ["/no/such/file"]),
    (["extra"], 2, ["extra"]),
]
# Options of inlayd.
INLAYD = [
    ([], ["export"]),
    (["--nonsense"], ["nonsense"]),
    (["--export", "e"], ["e"]),
    (["--export", "=/tmp"], ["/tmp"]),
    (["--export", "a/b=/tmp"], ["a/b"]),
    (["--export", "e=/no/such/dir"], ["/no/such/dir"]),
    (["--export", "e=/etc/passwd"], ["/etc/passwd"]),
    (["--export", "e=relative"], ["relative"]),
    (["--export", "e=/tmp,nonsense"], ["nonsense"]),
    (["--export", "e=/tmp,identity=no-such-user"], ["no-such-user"]),
    (["--export", "e=/tmp", "--export", "e=/usr"], ["e"]),
    (["--export", "e=/tmp", "--listen", "127.0.0.1:99999"], ["99999"]),
    (["--export", "e=/tmp", "--listen", "no-such-host.invalid:1"], ["no-such-host"]),
    (["--export", "e=/tmp", "--listen", "unix:/no/such/dir/sock"], ["/no/such/dir/sock"]),
    (["--export", "e=/tmp", "--threads", "many"], ["threads"]),
    (["--export", "e=/tmp", "--log-level", "loud"], ["loud"]),
    (["--export", "e=/tmp", "--config", "/no/such/file"], ["/no/such/file"]),
    (["operand"], ["operand"]),
]


@test(root=True)
def test_bad_attach_options(t):
    """each wrong option of attach"""
    t.export()
    server, d = t.server(), t.dir("mnt")
    for options, code, words in ATTACH:
        t.refused(t.inlay("attach", f"{server.address}/e", d, *options), code, *words)
        t.true(not is_mounted(d), f"{options}: something is mounted")
    t.refused(t.inlay("attach"), 2)
    t.refused(t.inlay("attach", f"{server.address}/e"), 2)


@test(root=True)
def test_bad_commands(t):
    """no command, an unknown one, wrong operands of each"""
    t.refused(t.inlay("nonsense"), 2, "nonsense")
    t.true(t.inlay().returncode == 2, "without a command")
    for command in ("detach", "explain", "cat", "cp", "ls"):
        t.eq(t.inlay(command).returncode, 2, command)
        t.refused(t.inlay(command, "--nonsense"), 2, "nonsense")
    for command in ("attach", "detach", "status", "explain", "ls", "cat", "cp"):
        done = t.inlay(command, "--help")
        t.eq((done.returncode, done.stderr), (0, ""), f"{command} --help")
        t.contains(done.stdout, command)
    t.eq(t.inlay("--version").returncode, 0)
    t.refused(t.inlay("detach", t.dir("plain")), 1, "not attached")
    t.refused(t.inlay("detach", t.path("missing")), 1, "missing")
    t.refused(t.inlay("explain", t.path("plain")), 1, "plain")


@test(root=True)
def test_bad_servers(t):
    """missing export, nobody there, a name that isn't one, wrong protocol, addresses that are none"""
    t.export()
    server, d = t.server(), t.dir("mnt")
    t.refused(t.inlay("attach", f"{server.address}/missing", d), 1, "missing")
    t.refused(t.inlay("attach", "127.0.0.1:1/e", d), 1, "127.0.0.1:1")
    t.refused(t.inlay("attach", "no-such-host.invalid/e", d), 1, "no-such-host.invalid")
    t.refused(t.inlay("attach", f"unix:{t.path('no-sock')}/e", d), 2, "no-sock")
    for text in ("", "host", "/e", "host:/e", "host:99999/e", "host:x/e", "[::1/e", f"{server.address}/", f"{server.address}/e/path"):
        done = t.inlay("attach", text, d)
        t.true(done.returncode in (1, 2) and len(done.stderr.strip().splitlines()) == 1, f"{text!r}: {done.returncode} {done.stderr!r}")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        begin = time.monotonic()
        done = t.inlay("attach", f"127.0.0.1:{silent.getsockname()[1]}/e", d, "--timeout", "2", timeout=50)
        t.refused(done, 1)
        t.true(time.monotonic() - begin < 30, "a server that says nothing is waited for too long")
    t.eq(os.listdir(d), [])
    t.eq(os.listdir("/run/inlay") if os.path.exists("/run/inlay") else [], [])


@test(root=True)
def test_bad_directories(t):
    """not a directory, missing, attached already"""
    t.export()
    server, d = t.server(), t.dir("mnt")
    source = f"{server.address}/e"
    t.refused(t.inlay("attach", source, t.path("missing")), 1, "missing")
    t.refused(t.inlay("attach", source, t.file(t.path("file"))), 1, "not a directory")
    a = t.attach(server, d)
    t.refused(t.inlay("attach", source, d), 1, "attached already", d)
    t.file(f"{d}/f", "still works")
    a.detach()


@test(root=True)
def test_bad_inlayd_options(t):
    """each wrong option of inlayd: exit code 1 or 2, one line, nothing runs on; the same with --check"""
    for options, words in INLAYD:
        for check in ([], ["--check"]):
            done = t.run(t.inlayd, "--state-dir", t.dir("state"), *options, *check, timeout=10)
            if check and "unix:" in str(options) or check and "no-such-host" in str(options):
                continue  # what only listening can tell
            t.true(done.returncode in (1, 2), f"{options} {check}: exit {done.returncode} {done.stderr!r}")
            complaints = [line for line in done.stderr.splitlines() if ": info: " not in line]
            t.eq(len(complaints), 1, f"{options} {check}: lines of {done.stderr!r}")
            for word in words:
                t.contains(done.stderr, word, str(options))
    good = t.run(t.inlayd, "--export", f"e={t.export()}", "--check")
    t.eq((good.returncode, good.stderr), (0, ""), "a right one")


@test(root=True)
def test_bad_configuration(t):
    """wrong lines of the configuration file are told with their place"""
    for text in ("nonsense = 1\n", "export e { }\n", "export e {\n  dir = \"/no/such\"\n}\n", "listen = {\"x\n", "export e { dir = \"/tmp\" \n",
                 "threads = many\n", "export e { dir = \"/tmp\" identity = \"no-such-user\" }\n",
                 "export e { dir = \"/tmp\" }\nexport e { dir = \"/usr\" }\n"):
        config = t.file(t.path("bad.conf"), text)
        done = t.run(t.inlayd, "--config", config, "--check", timeout=10)
        t.true(done.returncode in (1, 2), f"{text!r}: exit {done.returncode}")
        t.eq(len(done.stderr.strip().splitlines()), 1, f"{text!r}: lines of {done.stderr!r}")
        t.true("bad.conf" in done.stderr or "export 'e'" in done.stderr, f"{text!r}: no place in {done.stderr!r}")


@test(root=True)
def test_port_in_use(t):
    """a port that another program has: one line, exit 1"""
    with socket.create_server(("127.0.0.1", 0)) as s:
        address = f"127.0.0.1:{s.getsockname()[1]}"
        done = t.run(t.inlayd, "--state-dir", t.dir("state"), "--export", f"e={t.export()}", "--listen", address, timeout=10)
        t.eq(done.returncode, 1)
        t.contains(done.stderr, address)


def small_store(t, *options):
    """An export on an ext4 of 8 MiB."""
    image, top = t.path("small.img"), t.dir("small")
    t.shell(f"truncate -s 8M {image}; mkfs.ext4 -q -F -m 0 -O ^has_journal {image}")
    t.mount("-o", ",".join(("loop",) + options), image, top)
    return t.attach(t.server({"e": f"{top},identity=client"})), top


@test(root=True)
def test_full_store(t):
    """ENOSPC comes at the write (or fsync) that didn't fit, what fitted is there, and room made is room again"""
    a, top = small_store(t)
    fd = os.open(f"{a.dir}/big", os.O_WRONLY | os.O_CREAT)
    written = 0
    try:
        while True:
            written += os.write(fd, b"x" * 100000)
            t.true(written < 16 << 20, "more than fits was written")
    except OSError as e:
        t.eq(e.errno, errno.ENOSPC)
    t.true(written > 4 << 20, f"only {written} bytes fitted")
    os.fsync(fd)
    t.eq(os.stat(f"{top}/big").st_size, written, "what was acknowledged")
    t.raises(errno.ENOSPC, os.posix_fallocate, fd, 0, 20 << 20)
    st = os.statvfs(a.dir)
    t.true(st.f_bavail * st.f_frsize < 1 << 20, "statfs says there is room")
    done = t.run("cp", "/bin/bash", f"{a.dir}/copy")
    t.true(done.returncode != 0 and "No space left" in done.stderr, f"cp: {done.returncode} {done.stderr!r}")
    os.close(fd)
    os.unlink(f"{a.dir}/copy")
    os.unlink(f"{a.dir}/big")
    t.file(f"{a.dir}/again", b"y" * (1 << 20))
    t.eq(os.stat(f"{top}/again").st_size, 1 << 20)
    count = 0
    try:
        while count < 100000:
            os.mkdir(f"{a.dir}/d{count}")
            count += 1
    except OSError as e:
        t.eq(e.errno, errno.ENOSPC)
    t.true(100 < count < 100000, f"{count} directories")


@test(root=True)
def test_full_store_mapped(t):
    """a mapped write that doesn't fit is told by msync, not dropped in silence"""
    import mmap
    a, top = small_store(t)
    with open(f"{a.dir}/sparse", "w+b") as f:
        f.truncate(32 << 20)
        m = mmap.mmap(f.fileno(), 32 << 20)
        told = []

        def fill():
            try:
                for at in range(0, 32 << 20, 4096):
                    m[at:at + 4] = b"data"
                m.flush()
            except OSError as e:
                told.append(e.errno)
            try:
                os.fsync(f.fileno())
            except OSError as e:
                told.append(e.errno)

        pid = os.fork()  # a SIGBUS is an answer, too
        if pid == 0:
            fill()
            os._exit(1 if errno.ENOSPC in told or errno.EIO in told else 0)
        _, status = os.waitpid(pid, 0)
        t.true(status != 0, "32 MiB fitted into 8 MiB: nobody was told")


@test(root=True)
def test_readonly_store(t):
    """an export on a file system that is mounted read-only: EROFS, reading works"""
    t.shell(f"truncate -s 8M {t.path('small.img')}; mkfs.ext4 -q -F {t.path('small.img')}")
    top = t.dir("small")
    t.mount("-o", "loop,ro", t.path("small.img"), top)
    a = t.attach(t.server({"e": top}))
    t.eq(os.listdir(a.dir), ["lost+found"])
    for action in (lambda: open(f"{a.dir}/f", "w"), lambda: os.mkdir(f"{a.dir}/d"), lambda: os.rmdir(f"{a.dir}/lost+found"),
                   lambda: os.chmod(f"{a.dir}/lost+found", 0o755)):
        t.raises(errno.EROFS, action)


@test(root=True)
def test_export_removed_beneath(t):
    """the exported directory is removed on the server: errors, no hang, and the server serves others"""
    t.file(f"{t.dir('gone')}/f", "x")
    server = t.server({"gone": t.path("gone"), "e": t.export()})
    a, b = t.attach(server, export="gone"), t.attach(server)
    t.must("rm", "-rf", t.path("gone"))
    done = t.run("ls", "-l", f"{a.dir}/f", timeout=10)
    t.true(done.returncode != 0, "a removed file is still there")
    t.run("touch", f"{a.dir}/new", timeout=10)
    t.file(f"{b.dir}/f", "fine")
    a.detach()
