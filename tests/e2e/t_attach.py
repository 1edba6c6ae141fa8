# The commands about an attachment: attach, detach, status, mount(8), ls, cat, cp; addresses, users, signals, the daemon.
# SPDX-License-Identifier: Apache-2.0
import json
import os
import pty
import signal
import socket
import time

from harness import USER_UID, Attachment, Server, Skip, ended, is_mounted, test, wait_for


def read(path):
    with open(path) as f:
        return f.read()


@test(root=True)
def test_attach_and_detach(t):
    """the main way, ten times: nothing is left in between"""
    t.file(f"{t.export()}/f", "x")
    server, d = t.server(), t.dir("mnt")
    for _ in range(10):
        a = t.attach(server, d)
        t.eq(read(f"{d}/f"), "x")
        a.detach()
        t.eq(os.listdir(d), [])
        t.eq([n for _, _, names in os.walk("/run/inlay") for n in names], [], "control sockets left")


@test(root=True)
def test_attach_many(t):
    """several exports and several attachments at once"""
    exports = {f"e{i}": t.dir(f"x{i}") for i in range(3)}
    server = t.server(exports)
    all_ = [t.attach(server, export=f"e{i % 3}") for i in range(6)]
    for i, a in enumerate(all_):
        t.file(f"{a.dir}/f{i}", str(i))
    t.eq([sorted(os.listdir(f"{t.tmp}/x{i}")) for i in range(3)], [["f0", "f3"], ["f1", "f4"], ["f2", "f5"]])
    rows = json.loads(t.must(t.program("inlay"), "status", "--json").stdout)["attachments"]
    t.eq(sorted(r["dir"] for r in rows), sorted(a.dir for a in all_))
    for a in all_[::2]:
        a.detach()
    t.eq(sorted(os.listdir(all_[1].dir)), ["f1", "f4"], "the others go on")


@test(root=True)
def test_attach_addresses(t):
    """Unix socket, IPv4, IPv6, names; all of one server at once"""
    t.file(f"{t.export()}/f", "x")
    port = t.free_port()
    unix = f"unix:{t.path('sock')}"
    server = t.server(listen=[f"127.0.0.1:{port}", unix, f"[::1]:{port}"])
    for address in (f"127.0.0.1:{port}", unix, f"[::1]:{port}", f"localhost:{port}"):
        a = Attachment(t, f"{address}/e", t.dir("mnt"), [])
        t.eq(read(f"{a.dir}/f"), "x", address)
        a.detach()
    t.eq(server.stop(), 0, "exit code")
    t.true(not os.path.exists(t.path("sock")), "the socket is left behind")


@test(root=True)
def test_attach_stale_unix_socket(t):
    """a socket that a killed server left is taken over; one that is served is not"""
    t.export()
    unix = f"unix:{t.path('sock')}"
    server = t.server(listen=[unix])
    server.stop(signal.SIGKILL)
    t.true(os.path.exists(t.path("sock")), "the killed server's socket")
    server.start()
    done = t.run(t.inlayd, "--export", f"e={t.export()}", "--listen", unix)
    t.eq(done.returncode, 1)
    t.true(server.alive(), "the first server has ended")


@test(root=True)
def test_attach_readonly(t):
    """--ro, and an export that is read-only: every change is EROFS"""
    t.file(f"{t.export()}/f", "x")
    server = t.server({"e": f"{t.export()},identity=client", "r": f"{t.export()},ro"})
    for a in (t.attach(server, None, "--ro"), t.attach(server, export="r")):
        t.eq(read(f"{a.dir}/f"), "x")
        for action in (lambda: open(f"{a.dir}/f", "r+"), lambda: open(f"{a.dir}/g", "w"), lambda: os.unlink(f"{a.dir}/f"),
                       lambda: os.mkdir(f"{a.dir}/d"), lambda: os.chmod(f"{a.dir}/f", 0), lambda: os.truncate(f"{a.dir}/f", 0),
                       lambda: os.utime(f"{a.dir}/f")):
            t.raises(30, action)
        t.eq(a.status()["readonly"], True)


@test(root=True)
def test_attach_foreground(t):
    """--foreground stays, logs to stderr, and ends with the directory free on SIGTERM or SIGINT"""
    server, d = t.server(), t.dir("mnt")
    for number in (signal.SIGTERM, signal.SIGINT):
        p = t.start(t.program("inlay"), "attach", f"{server.address}/e", d, "--foreground")
        wait_for("the mount", lambda: is_mounted(d))
        t.file(f"{d}/f", "x")
        p.send_signal(number)
        t.eq(p.wait(20), 0, "exit code")
        t.true(not is_mounted(d), "still mounted")


@test(root=True)
def test_attach_umount_by_hand(t):
    """umount(8) ends the attachment in good order: its process goes"""
    a = t.attach(t.server())
    pid = a.pid()
    t.file(f"{a.dir}/f", "x")
    t.must("umount", a.dir)
    wait_for("the process to end", ended(pid))
    t.eq(read(f"{t.export()}/f"), "x")


@test(root=True)
def test_mount_helper(t):
    """mount -t inlay through the helper, with options, and umount; as fstab does"""
    helper = t.program("inlay")
    t.file(f"{t.export()}/f", "x")
    server, d = t.server(), t.dir("mnt")
    if os.path.exists("/sbin/mount.inlay"):
        raise Skip("a mount.inlay is installed already")
    t.shell(f"mkdir -p {t.tmp}/up {t.tmp}/work; mount -t overlay -o lowerdir=$(readlink -f /sbin),upperdir={t.tmp}/up,"
            f"workdir={t.tmp}/work none $(readlink -f /sbin); ln -s {helper} /sbin/mount.inlay")
    t.undo.append(lambda: t.must("umount", "-l", os.path.realpath("/sbin")))
    t.must("mount", "-t", "inlay", f"{server.address}/e", d)
    t.eq(read(f"{d}/f"), "x")
    t.file(f"{d}/g", "y")
    t.must("umount", d)
    t.must("mount", "-t", "inlay", "-o", "ro,timeout=5,rule=local *.o,nosuid,_netdev", f"{server.address}/e", d)
    t.raises(30, open, f"{d}/h", "w")
    t.must("umount", d)
    wait_for("processes to end", lambda: t.run("pgrep", "-f", "mount.inlay|inlay attach").returncode != 0)
    done = t.run("mount", "-t", "inlay", "-o", "nonsense=1", f"{server.address}/e", d)
    t.true(done.returncode != 0 and "nonsense" in done.stderr, f"a wrong option: {done.returncode} {done.stderr!r}")


@test(root=True)
def test_attach_as_user(t):
    """an ordinary user attaches through fusermount3, works, detaches; others stay out"""
    t.need("fusermount3")
    fuse = t.path("fuse")
    os.mknod(fuse, 0o20666, os.makedev(10, 229))
    os.chmod(fuse, 0o666)
    t.mount("--bind", fuse, "/dev/fuse")  # in this namespace alone
    t.named_user()
    os.chmod(t.export(), 0o777)
    t.file(f"{t.export()}/roots", "secret")
    os.chmod(f"{t.export()}/roots", 0o600)
    server, d = t.server(), t.dir("mnt")
    os.chown(d, USER_UID, USER_UID)
    t.file(f"{d}/mine", "local")
    os.chown(f"{d}/mine", USER_UID, USER_UID)
    home = t.dir("runtime", 0o700)
    os.chown(home, USER_UID, USER_UID)
    os.environ["XDG_RUNTIME_DIR"] = home
    a = t.attach(server, d, user=USER_UID)

    def user(script, **options):
        return t.must("bash", "-euc", script, user=USER_UID, cwd=t.tmp, **options).stdout

    t.eq(user(f"echo hello > {d}/f; cat {d}/f {d}/mine; ls {d} | sort | tr '\\n' ' '"), "hello\nlocalf mine roots ")
    t.eq(os.stat(f"{t.export()}/f").st_uid, USER_UID, "owner on the server")
    t.true(t.run("cat", f"{d}/roots", user=USER_UID).returncode != 0, "a user reads root's file")
    t.true(t.run("ls", d).returncode != 0, "another user enters without --allow-other")
    t.contains(t.must(t.program("inlay"), "status", user=USER_UID).stdout, d)
    a.detach(user=USER_UID)
    t.eq(os.listdir(d), ["mine"])
    t.eq([n for _, _, names in os.walk(home) for n in names], [], "files in the runtime folder")


@test(root=True)
def test_attach_no_permission_for_fuse(t):
    """without a usable /dev/fuse: one line, exit 1"""
    t.export()
    fuse = t.path("fuse")
    os.mknod(fuse, 0o20600, os.makedev(10, 229))
    t.mount("--bind", fuse, "/dev/fuse")
    server, d = t.server(), t.dir("mnt")
    os.chown(d, USER_UID, USER_UID)
    done = t.run(t.program("inlay"), "attach", f"{server.address}/e", d, user=USER_UID, env={"XDG_RUNTIME_DIR": ""})
    t.refused(done, 1, "fuse")
    t.run("rmdir", f"/tmp/inlay-{USER_UID}")


@test(root=True)
def test_detach_busy(t):
    """detach of a directory in use waits, names each holder by pid and program, and leaves it working"""
    a = t.attach(t.server())
    t.file(f"{a.dir}/f", "x")
    holders = [t.start("sleep", "1000", cwd=a.dir), t.start("tail", "-f", f"{a.dir}/f")]
    time.sleep(0.3)
    begin = time.monotonic()
    done = t.inlay("detach", "--timeout", "1", a.dir)
    took = time.monotonic() - begin
    t.eq(done.returncode, 1)
    t.true(took < 10, f"took {took:.1f} s")
    for p, name in zip(holders, ("sleep", "tail")):
        t.contains(done.stderr, str(p.pid))
        t.contains(done.stderr, name)
    t.eq(read(f"{a.dir}/f"), "x", "after a refused detach")
    for p in holders:
        p.kill()
        p.wait()
    a.detach()


@test(root=True)
def test_detach_when_holder_leaves(t):
    """detach succeeds as soon as the holder lets go"""
    a = t.attach(t.server())
    t.start("sleep", "1.5", cwd=a.dir)
    time.sleep(0.1)
    begin = time.monotonic()
    a.detach("--timeout", "10")
    t.true(time.monotonic() - begin < 8, "took too long")


@test(root=True)
def test_detach_writes_everything(t):
    """what was written before detach is on the server after it"""
    a = t.attach(t.server())
    data = os.urandom(20 << 20)
    t.file(f"{a.dir}/f", data)
    a.detach()
    with open(f"{t.export()}/f", "rb") as f:
        t.eq(f.read() == data, True, "content")


def force_in_time(t, a, seconds=15):
    begin = time.monotonic()
    a.detach("--force")
    t.true(time.monotonic() - begin < seconds, f"--force took {time.monotonic() - begin:.1f} s")


@test(root=True)
def test_detach_force_stopped_server(t):
    """--force with a server that is stopped: in time, and programs under way get an error"""
    server = t.server()
    a = t.attach(server)
    t.file(f"{a.dir}/f", "x")
    server.freeze()
    stuck = t.start("cat", f"{a.dir}/f")
    time.sleep(0.5)
    t.true(stuck.poll() is None, "a request of a stopped server ended by itself")
    force_in_time(t, a)
    t.true(stuck.wait(10) != 0, "the program that waited should have got an error")
    server.proc.send_signal(signal.SIGCONT)


@test(root=True)
def test_detach_force_stopped_client(t):
    """--force with the attachment's own process stopped or killed, and with programs in the directory"""
    server = t.server()
    for number, options in ((signal.SIGSTOP, []), (signal.SIGSTOP, ["--no-guardian"]), (signal.SIGKILL, ["--no-guardian"])):
        a = t.attach(server, None, *options)
        t.file(f"{a.dir}/f", "x")
        held = t.start("sleep", "1000", cwd=a.dir)
        pid = a.pid()
        os.kill(pid, number)
        force_in_time(t, a)
        wait_for("the process to end", ended(pid))
        held.kill()
        held.wait()


@test(root=True)
def test_detach_force_dying_client(t):
    """--force while the attachment's process is dying of a kill: nothing of it is left in the folder of sockets"""
    server = t.server()
    for number in range(10 if t.quick else 30):
        a = t.attach(server, None, *[["--no-guardian"], []][number % 2])
        t.start("kill", "-KILL", str(a.pid()))
        force_in_time(t, a)
        if number % 2 == 0:
            t.eq(os.listdir("/run/inlay"), [], f"round {number}: sockets")
        wait_for("the guardian to end", lambda: not os.listdir("/run/inlay"))


@test(root=True)
def test_status(t):
    """status tells server, health, operations by side, latency, bytes; --json is JSON; all counts grow"""
    t.file(f"{t.export()}/remote", b"x" * 100000)
    d = t.dir("mnt")
    t.file(f"{d}/local", b"y" * 1000)
    a = t.attach(t.server(), d)
    before = a.status()
    read(f"{d}/remote"), read(f"{d}/local")
    t.file(f"{d}/new", b"z" * 5000)
    s = a.status()
    t.eq((s["state"], s["health"], s["dir"]), ("attached", "healthy", d))
    operations = {o["name"]: o for o in s["operations"]}
    t.contains(operations, "lookup")
    t.eq(operations["read"]["remote"]["bytes"] >= 100000, True, "bytes read")
    t.eq(operations["write"]["remote"]["bytes"] >= 5000, True, "bytes written")
    t.true(operations["lookup"]["local"]["count"] > 0, "no local lookup counted")
    t.true(0 < operations["read"]["remote"]["p50_ns"] <= operations["read"]["remote"]["max_ns"], "latency of reads")
    t.true(s["uptime_ms"] >= before["uptime_ms"], "uptime")
    text = t.must(t.program("inlay"), "status").stdout
    for word in (d, "healthy", "read", "lookup", "local", "remote"):
        t.contains(text, word)
    a.detach()
    t.contains(t.must(t.program("inlay"), "status").stdout, "no attachments")
    t.refused(t.inlay("status", d), 1, "not attached")


@test(root=True)
def test_status_of_unhealthy(t):
    """a stopped server shows in status; a stopped or dead process too, without hanging"""
    server = t.server()
    a = t.attach(server, None, "--timeout", "1", "--no-guardian")
    server.stop(signal.SIGKILL)
    wait_for("health to change", lambda: a.status()["health"] != "healthy", 20)
    pid = a.pid()
    os.kill(pid, signal.SIGSTOP)
    begin = time.monotonic()
    done = t.inlay("status", a.dir)
    t.true(time.monotonic() - begin < 10, "status hangs")
    t.eq(done.returncode, 1)
    os.kill(pid, signal.SIGKILL)
    time.sleep(0.2)
    t.eq(t.inlay("status", a.dir).returncode, 1)
    force_in_time(t, a)


@test(root=True)
def test_timeout_without_server(t):
    """--timeout: requests fail after it when the server is gone, and work again when it is back"""
    t.file(f"{t.export()}/f", "x")
    server = t.server()
    a = t.attach(server, None, "--timeout", "1")
    t.eq(read(f"{a.dir}/f"), "x")
    server.stop(signal.SIGKILL)
    begin = time.monotonic()
    try:
        read(f"{a.dir}/f")
        t.true(False, "reading without a server succeeded")
    except OSError as e:
        t.contains((5, 110), e.errno, "errno")
    t.true(0.5 < time.monotonic() - begin < 10, f"failed after {time.monotonic() - begin:.1f} s")
    server.start()
    wait_for("the attachment to work again", lambda: t.run("cat", f"{a.dir}/f").stdout == "x", 20)


@test(root=True)
def test_waits_without_timeout(t):
    """by default a request waits for a server that comes back; programs see a pause"""
    t.file(f"{t.export()}/f", "x")
    server = t.server()
    a = t.attach(server)
    t.eq(read(f"{a.dir}/f"), "x")
    server.stop(signal.SIGKILL)
    waiting = t.start("cat", f"{a.dir}/f", stdout=-1)
    time.sleep(1.5)
    t.true(waiting.poll() is None, "the program did not wait")
    server.start()
    out, _ = waiting.communicate(timeout=30)
    t.eq((waiting.returncode, out), (0, b"x"))


@test(root=True)
def test_inlayd_drain(t):
    """SIGTERM under load: exit 0 soon, what was acknowledged is there"""
    server = t.server()
    a = t.attach(server, None, "--timeout", "1")
    writer = t.start("python3", "-c", "import os,sys\nfor i in range(100000):\n    f = open(f'{sys.argv[1]}/f{i}', 'w')\n"
                     "    f.write('x' * 5000)\n    f.close()\n    print(i, flush=True)\n", a.dir, stdout=-1)
    time.sleep(1)
    begin = time.monotonic()
    t.eq(server.stop(), 0, "exit code")
    t.true(time.monotonic() - begin < 12, f"took {time.monotonic() - begin:.1f} s")
    writer.kill()
    done = writer.communicate()[0].split()
    t.true(len(done) > 10, f"{len(done)} files only")
    for i in done[:-1]:
        t.eq(os.stat(f"{t.export()}/f{int(i)}").st_size, 5000, f"file {int(i)}")
    server.start()
    a.detach("--force")


@test(root=True)
def test_inlayd_reload(t):
    """SIGHUP reads the configuration again: exports come and go, the rest is undisturbed"""
    one, two = t.dir("one"), t.dir("two")
    t.file(f"{one}/f", "1")
    t.file(f"{two}/f", "2")
    port = t.free_port()
    config = t.file(t.path("inlayd.conf"), f"listen = {{\"127.0.0.1:{port}\"}}\nexport one {{ dir = \"{one}\" }}\n")
    help_ = t.must(t.inlayd, "--help").stdout
    t.contains(help_, "--config")
    server = Server(t, {}, listen=[f"127.0.0.1:{port}"], args=["--config", config])
    a = t.attach(server, export="one")
    fd = os.open(f"{a.dir}/f", os.O_RDONLY)
    t.refused(t.inlay("attach", f"{server.address}/two", t.dir("other")), 1, "two")
    t.file(config, f"listen = {{\"127.0.0.1:{port}\"}}\nexport one {{ dir = \"{one}\" }}\nexport two {{ dir = \"{two}\" }}\n")
    server.proc.send_signal(signal.SIGHUP)
    wait_for("the new export", lambda: t.inlay("attach", f"{server.address}/two", t.dir("other")).returncode == 0)
    t.eq(read(t.path("other/f")), "2")
    t.eq(os.pread(fd, 10, 0), b"1", "an open file of the other export")
    os.close(fd)
    t.file(config, "nonsense nonsense\n")
    server.proc.send_signal(signal.SIGHUP)
    time.sleep(0.5)
    t.true(server.alive(), "a wrong configuration at reload ended the server")
    t.eq(read(f"{a.dir}/f"), "1")
    t.must(t.program("inlay"), "detach", t.path("other"))


@test(root=True)
def test_inlayd_notify_and_activation(t):
    """systemd: READY=1 on the notify socket, STOPPING=1 at the end; a listening socket is inherited"""
    t.file(f"{t.export()}/f", "x")
    notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    notify.bind(t.path("notify"))
    notify.settimeout(10)
    server = t.server(env={"NOTIFY_SOCKET": t.path("notify")})
    t.contains(notify.recv(4096), b"READY=1")
    server.stop()
    said = b""
    while b"STOPPING=1" not in said:
        said += notify.recv(4096)
    listener = socket.create_server(("127.0.0.1", 0))
    listener.set_inheritable(True)
    port = listener.getsockname()[1]
    script = f"exec 3<&{listener.fileno()}; export LISTEN_FDS=1 LISTEN_PID=$$; exec {t.inlayd} --state-dir {t.dir('state')} --export e={t.export()}"
    p = t.start("bash", "-c", script, pass_fds=[listener.fileno()])
    a = Attachment(t, f"127.0.0.1:{port}/e", t.dir("mnt"), [])
    t.eq(read(f"{a.dir}/f"), "x")
    a.detach()
    p.terminate()
    t.eq(p.wait(10), 0)


@test(root=True)
def test_inlayd_killed_under_load(t):
    """the server killed and started again under load: what fsync acknowledged is there, and the attachment works again"""
    server = t.server()
    a = t.attach(server)
    writer = t.start("python3", "-c", "import os,sys\nfor i in range(300):\n    f = open(f'{sys.argv[1]}/f{i}', 'w')\n"
                     "    f.write('x' * 5000)\n    f.flush()\n    os.fsync(f.fileno())\n    f.close()\n    print(i, flush=True)\n",
                     a.dir, stdout=-1, stderr=-2)
    time.sleep(0.3)
    server.stop(signal.SIGKILL)
    server.start()
    out, _ = writer.communicate(timeout=60)
    done = [line for line in out.split() if line.isdigit()]
    t.true(done, "nothing was written")
    for i in done:
        t.eq(os.stat(f"{t.export()}/f{int(i)}").st_size, 5000, f"file {int(i)}")
    t.file(f"{a.dir}/again", "works")
    t.eq(read(f"{t.export()}/again"), "works")


@test(root=True)
def test_identity(t):
    """identity=client acts with the caller's numbers and groups; identity=USER makes everything one user's"""
    t.named_user()
    one, two = t.dir("one", 0o777), t.dir("two", 0o777)
    server = t.server({"one": f"{one},identity=client", "two": f"{two},identity=tester"})
    a, b = t.attach(server, export="one"), t.attach(server, export="two")
    for directory in (a.dir, b.dir):
        t.must("bash", "-c", f"echo x > {directory}/f; mkdir {directory}/d", user=USER_UID)
        t.file(f"{directory}/roots", "x")
    t.eq([os.stat(f"{one}/{n}").st_uid for n in ("f", "d", "roots")], [USER_UID, USER_UID, 0], "identity=client")
    t.eq([os.stat(f"{two}/{n}").st_uid for n in ("f", "d", "roots")], [USER_UID] * 3, "identity=USER")
    t.file(f"{one}/group", "x")
    os.chown(f"{one}/group", 0, 23452)
    os.chmod(f"{one}/group", 0o640)
    t.eq(t.must("cat", f"{a.dir}/group", user=USER_UID).stdout, "x", "by a supplementary group")
    t.true(t.run("cat", f"{a.dir}/group", user=USER_UID, groups=[]).returncode != 0, "without that group")
    t.true(t.run("bash", "-c", f"echo > {a.dir}/group", user=USER_UID).returncode != 0, "writing by a group that may read")


def on_terminal(*command):
    """What a terminal would have to show."""
    out = []

    def keep(fd):
        out.append(os.read(fd, 4096))
        return out[-1]

    pid, fd = pty.fork()
    if pid == 0:
        os.execv(command[0], command)
    try:
        while keep(fd):
            pass
    except OSError:
        pass
    os.waitpid(pid, 0)
    return b"".join(out).decode(errors="replace")


@test(root=True)
def test_commands_without_attaching(t):
    """inlay ls, cat and cp on SERVER/EXPORT/PATH, both ways, folders too"""
    remote = t.export()
    os.makedirs(f"{remote}/d/e")
    data = os.urandom(3 << 20)
    t.file(f"{remote}/d/big", data)
    t.file(f"{remote}/d/e/small", "small\n")
    t.file(f"{remote}/strange\nname", "")
    server = t.server()
    at = f"{server.address}/e"
    t.contains(t.must(t.program("inlay"), "ls", at).stdout, "d")
    t.true("strange\r\nname" not in on_terminal(t.program("inlay"), "ls", at), "a newline in a name reached the terminal")
    t.contains(t.must(t.program("inlay"), "ls", f"{at}/d").stdout, "big")
    t.eq(t.must(t.program("inlay"), "cat", f"{at}/d/e/small").stdout, "small\n")
    t.eq(t.must(t.program("inlay"), "cat", f"{at}/d/big", text=False).stdout == data, True, "cat of 3 MiB")
    t.must(t.program("inlay"), "cp", f"{at}/d/big", t.path("copy"))
    t.must("cmp", t.path("copy"), f"{remote}/d/big")
    t.must(t.program("inlay"), "cp", t.path("copy"), f"{at}/up")
    t.must("cmp", t.path("copy"), f"{remote}/up")
    t.contains(t.must(t.program("inlay"), "cp", "--help").stdout, "cp")
    t.refused(t.inlay("cat", f"{at}/missing"), 1, "missing")
    t.refused(t.inlay("ls", f"{at}/missing"), 1, "missing")
    t.refused(t.inlay("cp", f"{at}/missing", t.path("x")), 1, "missing")
    t.true(not os.path.exists(t.path("x")), "a failed copy left a file")


@test(root=True)
def test_insecure_is_refused(t):
    """plain TCP beyond this host is refused by both ends without --insecure"""
    t.export()
    for address in ("0.0.0.0:4652", "[::]:4652", ":4652"):
        done = t.run(t.inlayd, "--export", f"e={t.export()}", "--listen", address, timeout=10)
        t.true(done.returncode in (1, 2), f"listening on {address}: exit {done.returncode}")
        t.contains(done.stderr, "--insecure")
    done = t.inlay("attach", "192.0.2.1:4652/e", t.dir("mnt"), "--timeout", "2", timeout=20)
    t.refused(done, 1, "--insecure")
    server = t.server(listen=["127.0.0.1:4653", "0.0.0.0:4652"], args=["--insecure"])
    t.true(server.alive(), "not with --insecure either")


@test(root=True)
def test_strange_places(t):
    """attached over a directory with a strange name, a path with links, one below another attachment"""
    t.file(f"{t.export()}/f", "x")
    server = t.server()
    for name in ("with space", "new\nline", "back\\slash", "ümläut", "-dash", "x" * 200):
        a = t.attach(server, t.dir(name))
        t.eq(read(f"{a.dir}/f"), "x", repr(name))
        t.eq(a.status()["dir"], a.dir)
        a.detach()
    os.symlink(t.dir("real"), t.path("link"))
    done = t.inlay("attach", f"{server.address}/e", t.path("link"))
    t.eq(done.returncode, 0, done.stderr)
    t.eq(read(t.path("real/f")), "x")
    t.must(t.program("inlay"), "detach", t.path("link"))
    os.mkdir(f"{t.export()}/below")
    outer = t.attach(server, t.dir("outer"))
    inner = t.attach(server, f"{outer.dir}/below")
    t.eq(sorted(os.listdir(inner.dir)), ["below", "f"])
    inner.detach()
    outer.detach()
