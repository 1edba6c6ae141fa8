# Hostile bytes against either end, and names that try to lead out of an export. The server lives on and serves others;
# the client reports and lets its programs go.
# SPDX-License-Identifier: Apache-2.0
import errno
import glob
import os
import random
import re
import socket
import struct
import threading
import time

import wire
from harness import Attachment, Failed, connect, test
from wire import HEADER, NUMBERS, Client, frame


def closed(sock, seconds=15):
    """The other end ends the connection."""
    sock.settimeout(seconds)
    try:
        while sock.recv(65536):
            pass
        return True
    except (ConnectionResetError, BrokenPipeError):
        return True
    except socket.timeout:
        return False


def check_serving(t, server, attachment):
    t.true(server.alive(), f"inlayd has ended: {server.log()[-500:]}")
    t.file(f"{attachment.dir}/alive", "yes")
    with open(f"{t.behind}/alive") as f:
        t.eq(f.read(), "yes", "another client's write")
    c = Client(server.address)
    t.true(c.alive(), "a new raw client isn't served")
    c.close()


def serving(t):
    t.behind = t.export()
    server = t.server()
    return server, t.attach(server)


@test(root=True)
def test_hostile_raw_client_works(t):
    """the positive twin of all that follows: well-formed frames by hand are served"""
    server, _ = serving(t)
    t.file(f"{t.behind}/f", "content")
    c = Client(server.address)
    node = c.walk("f")
    t.true(isinstance(node, bytes), f"LOOKUP: {node}")
    status, opened, _ = c.call("OPEN", node=node, flags=0)
    t.eq(status, "OK", "OPEN")
    status, _, data = c.call("READ", handle=opened["handle"], len=100)
    t.eq((status, data), ("OK", b"content"), "READ")
    t.eq(c.call("BYE")[0], "OK", "BYE")


@test(root=True)
def test_hostile_random_bytes(t):
    """random bytes before and after HELLO end that connection alone"""
    server, attachment = serving(t)
    r = random.Random(1)
    for i in range(40 if t.quick else 300):
        c = Client(server.address, hello=i % 2 == 1)
        try:
            c.sock.sendall(r.randbytes(r.randrange(1, 5000)))
            c.sock.shutdown(socket.SHUT_WR)
        except OSError:
            pass
        t.true(closed(c.sock), "the connection stays open")
        c.close()
    check_serving(t, server, attachment)


def mutations(r, good):
    """Frames that are almost right."""
    header = list(HEADER.unpack(good[:HEADER.size]))
    rest = good[HEADER.size:]
    kind = r.randrange(8)
    if kind == 0:
        header[r.randrange(len(header))] = r.choice([0, 1, 2, 0x7F, 0xFF])
    elif kind == 1:
        header[0] = r.choice([0, 1, 31, 32, 33, 40, 0x7FFFFFFF, 0xFFFFFFFF, header[0] - 8, header[0] + 8])
    elif kind == 2:
        header[7] = r.choice([0, 1, 4, 7, header[7] + 8, 0xFFFFFFF8, 0xFFFFFFFF, max(0, header[7] - 8)])
    elif kind == 3:
        header[4] = r.choice([1 << 20, 0xFFFFFFFE, 0xFFFFFFFF, 16, 17, 255, 256])
    elif kind == 4:
        header[6] = r.choice([0, 2, 1 << 63, (1 << 64) - 1])
    elif kind == 5 and rest:
        rest = bytearray(rest)
        for _ in range(r.randrange(1, 6)):
            rest[r.randrange(len(rest))] = r.choice([0, 1, 0x7F, 0x80, 0xFF])
        rest = bytes(rest)
    elif kind == 6 and len(rest) >= 8:
        at = r.randrange(len(rest) // 4) * 4
        rest = rest[:at] + struct.pack("<I", r.choice([0, 255, 256, 16385, 0x7FFFFFFF, 0xFFFFFFFF])) + rest[at + 4:]
    else:
        rest = rest[:r.randrange(len(rest) + 1)]
    return HEADER.pack(*(v & (0xFF if i in (2, 3) else 0xFFFF if i == 1 else 0xFFFFFFFFFFFFFFFF if i == 6 else 0xFFFFFFFF)
                         for i, v in enumerate(header))) + rest


@test(root=True, timeout=120)
def test_hostile_mutated_frames(t):
    """every message with wrong sizes, slots, counts and contents"""
    server, attachment = serving(t)
    t.file(f"{t.behind}/f", "content")
    r = random.Random(2)
    for message in sorted(NUMBERS):
        for i in range(6 if t.quick else 40):
            c = Client(server.address)
            fields = wire.FIELDS[f"{message}_REQ"]
            node = c.walk("f") if i % 2 else c.root
            node = node if isinstance(node, bytes) else c.root  # a frame that was right after all has removed it
            values = {n: node if k == "NODE" else "f" if k in ("NAME", "STR") else r.choice([0, 1, 7, 4096, (1 << 32) - 1])
                      for k, n in fields if n != "pad" and k in ("NODE", "NAME", "STR", "U32", "U64")}
            good = frame(NUMBERS[message], slot=1, seq=1, body=wire.encode(fields, values))
            try:
                c.sock.sendall(mutations(r, good))
                c.sock.shutdown(socket.SHUT_WR)
            except OSError:
                pass
            t.true(closed(c.sock), f"{message}: the connection stays open after its end was sent")
            c.close()
    check_serving(t, server, attachment)


@test(root=True)
def test_hostile_sizes(t):
    """frames that claim to be huge take no memory and end the connection"""
    server, attachment = serving(t)
    before = server.memory_kib()
    held = []
    for size in (0xFFFFFFFF, 0x7FFFFFFF, 64 << 20, 0, 31):
        for i in range(10):
            c = Client(server.address, hello=i % 2 == 0)
            c.sock.sendall(frame(NUMBERS["GETATTR"], slot=0, seq=1, size=size, body_len=64))
            held.append(c)
    for c in held:
        t.true(closed(c.sock), "still open")
    t.true(server.memory_kib() - before < 100 << 10, f"memory grew by {server.memory_kib() - before} KiB")
    check_serving(t, server, attachment)


@test(root=True)
def test_hostile_wrong_slots(t):
    """slots beyond what was granted, sequences out of order, replies instead of requests"""
    server, attachment = serving(t)
    body = wire.encode(wire.FIELDS["GETATTR_REQ"], {})
    for bad in (frame(17, slot=100000, seq=1, body=body), frame(17, slot=0, seq=5, body=body),
                frame(17, slot=0, seq=0, body=body), frame(17, kind=wire.REPLY, slot=0, seq=1, body=body),
                frame(17, kind=wire.EVENT, slot=0, seq=1, body=body), frame(17, kind=9, slot=0, seq=1, body=body),
                frame(999, slot=0, seq=1, body=body), frame(17, flags=0xF0, slot=0, seq=1, body=body),
                frame(17, slot=0, seq=1, status=5, body=body), frame(17, slot=0, seq=1, lane=3, body=body),
                frame(17, slot=0, seq=1, body=body[:-8]), frame(17, slot=0, seq=1, body=body + bytes(8))):
        c = Client(server.address)
        c.sock.sendall(bad)
        t.true(closed(c.sock), f"the connection stays open after {HEADER.unpack(bad[:32])}")
        c.close()
    check_serving(t, server, attachment)


@test(root=True, alone=True)
def test_hostile_slow_and_silent(t):
    """clients that say nothing, or a byte at a time, or never read, hold up nobody"""
    server, attachment = serving(t)
    t.file(f"{t.behind}/big", os.urandom(1 << 20))
    quiet = [connect(server.address) for _ in range(50)]
    dribbling = Client(server.address)
    for byte in frame(NUMBERS["PING"], slot=0, seq=1)[:20]:
        dribbling.sock.sendall(bytes([byte]))
    deaf = Client(server.address)
    handle = deaf.call("OPEN", node=deaf.walk("big"), flags=0)[1]["handle"]
    deaf.sock.settimeout(2)
    before = server.memory_kib()
    try:
        for i in range(400):
            deaf.send("READ", slot=i % 16, handle=handle, len=1 << 20)
    except (OSError, Failed):
        pass
    begin = time.monotonic()
    check_serving(t, server, attachment)
    t.true(time.monotonic() - begin < 5, "others had to wait")
    t.true(server.memory_kib() - before < 200 << 10, f"memory grew by {server.memory_kib() - before} KiB for one that never reads")
    for s in quiet + [dribbling.sock, deaf.sock]:
        s.close()


@test(root=True)
def test_jail_names(t):
    """names that climb or cross are refused or not found; nothing outside is reached"""
    t.file(t.path("secret"), "secret")
    server, attachment = serving(t)
    os.mkdir(f"{t.behind}/d")
    for name in ("..", ".", "../secret", "/etc/passwd", "d/../../secret", "a/b", "", "x" * 256, b"a\0b", b"..\0"):
        for message, field in (("LOOKUP", "dir"), ("MKDIR", "dir"), ("UNLINK", "dir"), ("RMDIR", "dir")):
            c = Client(server.address)
            try:
                status = c.call(message, **{field: c.root}, name=name, mode=0o755)[0]
                t.true(status != "OK", f"{message} of {name!r} succeeded")
            except (EOFError, OSError):
                pass  # ended that session
            c.close()
    t.eq(open(t.path("secret")).read(), "secret")
    t.eq(sorted(os.listdir(t.behind)), ["d"])
    check_serving(t, server, attachment)


@test(root=True)
def test_jail_symlinks(t):
    """a symbolic link is never followed on the server, however it is asked for"""
    t.file(t.path("secret"), "secret")
    t.dir("outside")
    server, attachment = serving(t)
    os.symlink("../secret", f"{t.behind}/relative")
    os.symlink(t.path("secret"), f"{t.behind}/absolute")
    os.symlink("../outside", f"{t.behind}/folder")
    os.symlink("/proc/self/root", f"{t.behind}/proc")
    c = Client(server.address)
    for name in ("relative", "absolute", "folder", "proc"):
        node = c.walk(name)
        t.true(isinstance(node, bytes), f"LOOKUP of {name}: {node}")
        t.true(c.call("OPEN", node=node, flags=0)[0] != "OK", f"OPEN of link {name} succeeded")
        t.true(c.call("OPENDIR", node=node)[0] != "OK", f"OPENDIR of link {name} succeeded")
        t.true(c.call("LOOKUP", dir=node, name="secret")[0] != "OK", f"LOOKUP through {name} succeeded")
        t.true(c.call("CREATE", dir=node, name="made", flags=2, mode=0o644)[0] != "OK", f"CREATE through {name} succeeded")
        status = c.call("CREATE", dir=c.root, name=name, flags=2, mode=0o644)[0]
        t.true(status != "OK", f"CREATE over link {name} followed it")
        t.true(c.call("SETATTR", node=node, valid=8, size=0)[0] != "OK", f"truncation through {name} succeeded")
    t.eq(open(t.path("secret")).read(), "secret")
    t.eq(os.listdir(t.path("outside")), [])
    check_serving(t, server, attachment)


@test(root=True)
def test_jail_swapped_directory(t):
    """a directory swapped for a link, again and again, never leads a walk outside"""
    t.dir("outside")
    t.file(t.path("outside/f"), "outside")
    server, attachment = serving(t)
    os.mkdir(f"{t.behind}/real")
    t.file(f"{t.behind}/real/f", "inside")
    stop = threading.Event()

    def swap():
        while not stop.is_set():
            os.rename(f"{t.behind}/real", f"{t.behind}/was")
            os.symlink(t.path("outside"), f"{t.behind}/real")
            os.unlink(f"{t.behind}/real")
            os.rename(f"{t.behind}/was", f"{t.behind}/real")
            time.sleep(random.random() / 1000)

    thread = threading.Thread(target=swap)
    thread.start()
    try:
        c, good = Client(server.address), 0
        for i in range(500 if t.quick else 3000):
            node = c.walk("real", "f")
            if not isinstance(node, bytes):
                continue
            status, opened, _ = c.call("OPEN", node=node, flags=0)
            if status == "OK":
                data = c.call("READ", handle=opened["handle"], len=100)[2]
                t.eq(data, b"inside", f"walk {i}")
                c.call("CLOSE", handle=opened["handle"])
                good += 1
        t.true(good > 0, "no walk arrived at all")
    finally:
        stop.set()
        thread.join()
    check_serving(t, server, attachment)


@test(root=True)
def test_jail_moved_out(t):
    """a directory moved out of the export: its nodes no longer lead to what lies beside it"""
    t.dir("outside")
    t.file(t.path("outside/secret"), "secret")
    server, _ = serving(t)
    os.makedirs(f"{t.behind}/d/e")
    c = Client(server.address)
    node = c.walk("d", "e")
    os.rename(f"{t.behind}/d/e", t.path("outside/e"))
    for name in ("secret", "e"):
        t.true(c.call("LOOKUP", dir=node, name=name)[0] != "OK", f"{name} beside the moved directory is found")
    t.true(server.alive(), "inlayd has ended")


@test(root=True)
def test_jail_mount_points(t):
    """a mount point within the export is not entered"""
    t.need_root("mounting")
    server, attachment = serving(t)
    os.mkdir(f"{t.behind}/m")
    t.mount("-t", "tmpfs", "none", f"{t.behind}/m")
    t.file(f"{t.behind}/m/secret", "secret")
    c = Client(server.address)
    node = c.walk("m", "secret")
    t.true(not isinstance(node, bytes), "a file of another file system is reached")
    c.close()


@test(root=True)
def test_jail_forged_nodes(t):
    """node ids and handles that were never given out are refused"""
    server, attachment = serving(t)
    t.file(f"{t.behind}/f", "x")
    t.dir("export2")
    c = Client(server.address)
    node = c.walk("f")
    r = random.Random(3)
    for i in range(200):
        forged = bytearray(node)
        forged[r.randrange(40)] ^= 1 << r.randrange(8)
        t.true(c.call("GETATTR", node=bytes(forged))[0] != "OK", f"forged node {forged.hex()} is known")
    t.true(c.call("GETATTR", node=os.urandom(40))[0] != "OK", "a random node is known")
    t.true(c.call("GETATTR", node=bytes(40))[0] != "OK", "the node of zeros is known")
    for handle in (1, 2, 77, 1 << 40, (1 << 64) - 1):
        t.true(c.call("READ", handle=handle, len=10)[0] != "OK", f"handle {handle} is known")
    check_serving(t, server, attachment)


@test(root=True)
def test_jail_between_exports(t):
    """a node of one export means nothing in another"""
    one, two = t.dir("one"), t.dir("two")
    t.file(f"{one}/f", "x")
    server = t.server({"one": one, "two": two})
    a, b = Client(server.address, "one"), Client(server.address, "two")
    t.true(b.call("GETATTR", node=a.walk("f"))[0] != "OK", "a file of one export is reached through the other")
    t.true(b.call("LOOKUP", dir=a.root, name="f")[0] != "OK", "the root of one export is reached through the other")


@test(root=True)
def test_jail_readonly(t):
    """a read-only export refuses every change, also from one who doesn't care for its flag"""
    t.file(f"{t.export()}/f", "x")
    server = t.server({"e": f"{t.export()},ro,identity=client"})
    c = Client(server.address)
    node = c.walk("f")
    t.eq(c.call("OPEN", node=node, flags=0)[0], "OK", "OPEN for reading")
    for message, values in (("OPEN", {"node": node, "flags": 2}), ("OPEN", {"node": node, "flags": 8}),
                            ("CREATE", {"dir": c.root, "name": "g", "flags": 2, "mode": 0o644}),
                            ("MKDIR", {"dir": c.root, "name": "d", "mode": 0o755}), ("UNLINK", {"dir": c.root, "name": "f"}),
                            ("SETATTR", {"node": node, "valid": 1, "mode": 0}), ("SETATTR", {"node": node, "valid": 8}),
                            ("SYMLINK", {"dir": c.root, "name": "l", "target": "x"}),
                            ("RENAME", {"from_dir": c.root, "to_dir": c.root, "from": "f", "to": "g"}),
                            ("LINK", {"node": node, "dir": c.root, "name": "h"}), ("SETXATTR", {"node": node, "name": "user.a"}),
                            ("MKNOD", {"dir": c.root, "name": "p", "mode": 0o10644}), ("TMPFILE", {"dir": c.root, "flags": 2})):
        t.eq(c.call(message, **values)[0], "ROFS", message)
    t.eq(os.listdir(t.export()), ["f"])


# ---- an evil server ----


class EvilServer:
    """Does what `behave(stream, count)` says with each connection, until that returns."""

    def __init__(self, t, behave):
        self.listener = socket.create_server(("127.0.0.1", t.free_port()))
        self.address = f"127.0.0.1:{self.listener.getsockname()[1]}"
        self.behave, self.count = behave, 0
        threading.Thread(target=self.run, daemon=True).start()
        t.undo.append(self.listener.close)

    def run(self):
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            self.count += 1
            threading.Thread(target=self.one, args=(sock,), daemon=True).start()

    def one(self, sock):
        try:
            sock.settimeout(10)
            self.behave(sock, self.count)
        except (OSError, EOFError, struct.error, Failed):
            pass
        finally:
            sock.close()


def answers(t, behave):
    """attach against it must fail with one line within its time, and leave nothing."""
    evil = EvilServer(t, behave)
    directory = t.dir("evil")
    begin = time.monotonic()
    done = t.inlay("attach", f"{evil.address}/e", directory, "--timeout", "3", timeout=40)
    t.refused(done, 1)
    t.true(time.monotonic() - begin < 30, f"took {time.monotonic() - begin:.1f} s")
    t.eq(os.listdir(directory), [])
    t.true(evil.count > 0, "nobody called")


@test(root=True, timeout=200)
def test_evil_server_at_hello(t):
    """garbage, silence, wrong versions and huge frames in place of HELLO's answer: one line, exit 1, nothing mounted"""
    hello = NUMBERS["HELLO"]
    reply = wire.encode(wire.FIELDS["HELLO_REP"], {"version": 1, "slots": 16, "lanes": 4, "max_data": 1 << 20, "lease_ms": 45000,
                                                   "session": bytes(range(16)), "boot": bytes(range(16))})

    def say(data):
        def behave(sock, count):
            wire.Stream(sock).next()
            sock.sendall(data)
            sock.recv(1)
        return behave

    answers(t, lambda sock, count: sock.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n"))
    answers(t, lambda sock, count: sock.sendall(random.Random(1).randbytes(4000)))
    answers(t, lambda sock, count: None)
    answers(t, say(frame(hello, kind=wire.REPLY, seq=1, body=reply[:40])))
    answers(t, say(frame(hello, kind=wire.REPLY, seq=1, size=0xFFFFFFFF)))
    answers(t, say(frame(hello, kind=wire.REPLY, seq=1, body=reply.replace(struct.pack("<I", 1), struct.pack("<I", 99), 1))))
    answers(t, say(frame(hello, kind=wire.REPLY, seq=1, status=46)))
    answers(t, say(frame(hello, kind=wire.REPLY, seq=1, status=9999)))
    answers(t, say(frame(NUMBERS["READ"], kind=wire.REPLY, slot=3, seq=1)))
    answers(t, say(frame(NUMBERS["EVENT_LOCK"], kind=wire.EVENT, body=b"x" * 24)))


class Relay:
    """Stands between a client and its server; damages what the server says once told to."""

    def __init__(self, t, server, seed):
        self.r, self.damage = random.Random(seed), False
        self.target = server.address
        self.evil = EvilServer(t, self.behave)
        self.address = self.evil.address

    def behave(self, sock, count):
        other = connect(self.target)
        threading.Thread(target=self.pump, args=(sock, other, False), daemon=True).start()
        self.pump(other, sock, True)

    def pump(self, source, sink, damaging):
        try:
            while True:
                data = source.recv(65536)
                if not data:
                    break
                if damaging and self.damage and self.r.random() < 0.3:
                    data = bytearray(data)
                    for _ in range(self.r.randrange(1, 4)):
                        data[self.r.randrange(min(len(data), 200))] = self.r.randrange(256)
                sink.sendall(data)
        except OSError:
            pass
        for s in (source, sink):
            try:
                s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass


@test(root=True, timeout=600)
def test_evil_server_later(t):
    """answers damaged on an open session: the client lives, programs get results or errors, detach works"""
    t.behind = t.export()
    for i in range(20):
        t.file(f"{t.behind}/f{i}", os.urandom(5000))
    server = t.server()
    for seed in range(2 if t.quick else 8):
        relay = Relay(t, server, seed)
        directory = t.dir(f"relayed{seed}")
        a = Attachment(t, f"{relay.address}/e", directory, ["--timeout", "2"])
        pid = a.pid()
        t.true(len(os.listdir(directory)) >= 20, "the listing by way of the relay")
        relay.damage = True
        worker = t.start("python3", "-c", "import os,sys,random\nr = random.Random(1)\nfor i in range(150):\n    try:\n"
                         "        n = f'{sys.argv[1]}/f{r.randrange(25)}'\n        k = r.randrange(5)\n"
                         "        if k == 0: open(n, 'rb').read()\n        elif k == 1: os.listdir(sys.argv[1])\n"
                         "        elif k == 2: os.stat(n)\n        elif k == 3: open(n, 'wb').write(b'x' * 3000)\n"
                         "        else: os.statvfs(sys.argv[1])\n    except OSError:\n        pass\n", directory)
        try:
            worker.wait(40)
        except Exception:
            raise Failed("a program hangs on damaged answers") from None
        relay.damage = False
        t.true(os.path.exists(f"/proc/{pid}"), f"the client has ended: {a.log()[-1500:]}")
        a.detach("--force")
    t.true(server.alive(), "the server has ended")


@test(root=True, timeout=120)
def test_evil_server_falls_silent(t):
    """a frame whose rest never comes, silence after HELLO: with --timeout a program gets EIO when that is over, and no sooner"""
    t.behind = t.export()
    t.file(f"{t.behind}/f", "x")
    server = t.server()
    for how in ("silent", "half", "silent-after-hello"):
        worse = WorseServer(t, server, 0)
        directory = t.dir(f"falls-{how}")
        a = Attachment(t, f"{worse.address}/e", directory, ["--timeout", "4"])
        t.eq(os.listdir(directory), ["f"], "the listing by way of the relay")
        worse.damage = how
        for _ in range(2):
            begin = time.monotonic()
            t.raises(errno.EIO, os.stat, f"{directory}/f")
            took = time.monotonic() - begin
            t.true(3.9 < took < 6, f"{how}: EIO after {took:.1f} s of a time-out of 4 s")
        t.true(worse.evil.count < 40, f"{how}: {worse.evil.count} connections in 9 s")
        worse.damage = False
        deadline = time.monotonic() + 15
        while time.monotonic() < deadline:
            try:
                t.eq(os.listdir(directory), ["f"])
                break
            except OSError:
                pass
        else:
            raise Failed(f"{how}: the attachment doesn't come back")
        a.detach()


@test(root=True, timeout=60)
def test_evil_server_answers_late(t):
    """what a server opened for a program that --timeout has sent away is closed there when it is heard again"""
    for name in ("f", "d/g"):
        os.makedirs(os.path.dirname(f"{t.export()}/{name}"), exist_ok=True)
        t.file(f"{t.export()}/{name}", "x")
    server = t.server()
    worse = WorseServer(t, server, 0)
    directory = t.dir("late")
    a = Attachment(t, f"{worse.address}/e", directory, ["--timeout", "2", "--connections", "1"])

    def held():
        found = []
        for fd in glob.glob(f"/proc/{server.proc.pid}/fd/*"):
            try:
                flags = int(re.search(r"flags:\s*([0-7]+)", open(fd.replace("/fd/", "/fdinfo/")).read())[1], 8)
                path = os.readlink(fd)
            except (OSError, TypeError):
                continue
            if path.startswith(t.export() + "/") and not flags & os.O_PATH:
                found.append(path)
        return found

    fd = os.open(f"{directory}/f", os.O_RDONLY)
    worse.damage = "opens"
    for call, path in ((os.open, "d/g"), (os.open, "new")):
        t.raises(errno.EIO, call, f"{directory}/{path}", os.O_RDWR | os.O_CREAT)
        worse.damage = False  # the next one gets as far as that again
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            try:
                os.stat(f"{directory}/f")
                break
            except OSError:
                pass
        worse.damage = "opens"
    worse.damage = False
    deadline = time.monotonic() + 5
    while len(held()) > 1 and time.monotonic() < deadline:
        time.sleep(0.1)
    t.eq(held(), [f"{t.export()}/f"], "what the server has open")
    t.eq(os.pread(fd, 10, 0), b"x", "what was open stays so")
    os.close(fd)
    a.detach()


@test(root=True, timeout=60)
def test_evil_server_breaks_after_hello(t):
    """a server that takes each connection, answers HELLO and breaks is asked ever more rarely"""
    t.file(f"{t.export()}/f", "x")
    worse = WorseServer(t, t.server(), 0)
    directory = t.dir("breaks")
    a = Attachment(t, f"{worse.address}/e", directory, ["--connections", "1"])
    t.eq(os.listdir(directory), ["f"])
    worse.damage = "break"
    before = worse.evil.count
    reader = t.start("python3", "-c", "import os,sys; os.stat(sys.argv[1])", f"{directory}/f")
    time.sleep(8)
    t.true(3 <= worse.evil.count - before <= 16, f"{worse.evil.count - before} connections in 8 s")
    worse.damage = False
    t.eq(reader.wait(10), 0, "the program, once the server serves again")
    a.detach()


@test(root=True)
def test_evil_garbage_on_control_socket(t):
    """the control socket survives nonsense and tells nothing to strangers"""
    server, attachment = serving(t)
    found = glob.glob("/run/inlay/*.sock")
    t.eq(len(found), 1, "control sockets")
    for data in (b"\n", b"nonsense\n", os.urandom(3000), b"status " * 10000 + b"\n", b"explain " + b"../" * 3000 + b"\n", b"\0" * 100):
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(5)
            s.connect(found[0])
            try:
                s.sendall(data)
                s.shutdown(socket.SHUT_WR)
                s.recv(100000)
            except OSError:
                pass
    t.eq(attachment.status()["state"], "attached")
    t.eq(os.stat("/run/inlay").st_mode & 0o077, 0, "permissions of the folder")


@test(root=True, timeout=90)
def test_hostile_silent_on_control_socket(t):
    """who connects to the control socket and says nothing, or a byte at a time, is sent away in time for others"""
    server, attachment = serving(t)
    found = glob.glob("/run/inlay/*.sock")
    silent = []
    for i in range(50):  # more than are served at a time
        s = socket.socket(socket.AF_UNIX)
        s.connect(found[0])
        s.sendall(b"sta"[:i % 3])
        silent.append(s)
    begin = time.monotonic()
    while time.monotonic() - begin < 1:  # bytes that come don't make it longer
        silent[1].sendall(b"x")
        time.sleep(0.1)
    t.eq(attachment.status()["state"], "attached")
    t.true(time.monotonic() - begin < 10, f"status took {time.monotonic() - begin:.1f} s")
    for s in silent:
        t.true(closed(s, 6), "one that says nothing is kept")
    t.true(time.monotonic() - begin < 12, f"they were sent away after {time.monotonic() - begin:.1f} s")


def slowest(t, directory, seconds):
    """The longest time that one of a program's small requests takes meanwhile."""
    end, worst, i = time.monotonic() + seconds, 0.0, 0
    while time.monotonic() < end:
        begin = time.monotonic()
        t.file(f"{directory}/probe{i % 4}", "x" * 100)
        os.listdir(directory)
        os.unlink(f"{directory}/probe{i % 4}")
        worst, i = max(worst, time.monotonic() - begin), i + 1
    return worst


@test(root=True, timeout=120, alone=True)
def test_hostile_all_at_once(t):
    """floods, stalls, half frames, sessions and handles without end, all from one place: another's requests take under a second"""
    t.behind = t.export()
    there = f"unix:{t.path('sock')}"
    server = t.server(listen=[f"127.0.0.1:{t.free_port()}", there])
    attachment = t.attach(server)
    t.file(f"{t.behind}/big", os.urandom(1 << 20))
    before, stop, counts = server.memory_kib(), threading.Event(), {}

    def attack(name, one):
        def run():
            while not stop.is_set():
                try:
                    one()
                    counts[name] = counts.get(name, 0) + 1
                except (OSError, EOFError, Failed, struct.error, KeyError):
                    pass  # KeyError: it was refused
        threads.append(threading.Thread(target=run, daemon=True))

    held = []

    def connect_and_stay():
        if len(held) < 1000:
            held.append(connect(there))
        else:
            time.sleep(0.1)

    def half_frame():
        c = Client(there)
        c.sock.sendall(frame(NUMBERS["WRITE"], slot=0, seq=1, size=1 << 20, body_len=24) + bytes(300000))
        held.append(c)
        time.sleep(0.05)

    def deaf():
        c = Client(there)
        handle = c.call("OPEN", node=c.walk("big"), flags=0)[1]["handle"]
        c.sock.settimeout(1)
        held.append(c)
        for i in range(40):
            c.send("READ", slot=i % 16, handle=handle, len=1 << 20)

    def abandon():
        c = Client(there)
        c.walk("big")
        c.sock.close()

    def open_without_end():
        c = Client(there)
        node = c.walk("big")
        for _ in range(300):
            c.call("OPEN", node=node, flags=0)
        c.sock.close()

    threads = []
    for name, one in (("connections", connect_and_stay), ("half frames", half_frame), ("deaf", deaf), ("sessions", abandon),
                      ("handles", open_without_end)):
        attack(name, one)
    for thread in threads:
        thread.start()
    try:
        worst = slowest(t, attachment.dir, 4)
    finally:
        stop.set()
        for thread in threads:
            thread.join(15)
    grown = server.memory_kib() - before
    t.true(len(counts) >= 4, f"the attack was none: {counts}")
    t.true(worst < 1, f"a request took {worst:.2f} s while {counts}")
    t.true(grown < 2 << 20, f"memory, which INLAY_BUFFERS_MAX bounds, grew by {grown} KiB while {counts}")
    for c in held:
        (c.sock if isinstance(c, Client) else c).close()
    check_serving(t, server, attachment)


def from_elsewhere(server, source):
    """A client at another address of the loopback network: another place."""
    host, port = server.address.rsplit(":", 1)
    c = Client(server.address, hello=False)
    c.sock.close()
    c.sock = socket.create_connection((host, int(port)), 10, source_address=(source, 0))
    c.hello()
    return c


@test(root=True, timeout=120)
def test_hostile_opens_everything(t):
    """a client that opens as many files as it can, in many sessions, leaves others theirs: connecting, opening, listing"""
    import resource
    os.mkdir(f"{t.export()}/many")
    for i in range(300):
        t.file(f"{t.export()}/many/f{i}", "x")
    resource.setrlimit(resource.RLIMIT_NOFILE, (4000, 4000))
    server = t.server()
    attachment, attackers, opened, refused = t.attach(server), [], 0, 0
    for _ in range(14):
        try:
            c = from_elsewhere(server, "127.0.0.2")
        except (OSError, EOFError):
            continue  # not even that any more
        attackers.append(c)
        folder = c.walk("many")
        for i in range(300):
            status, reply, _ = c.call("LOOKUP", dir=folder, name=f"f{i}")
            t.eq(status, "OK", "LOOKUP")
            status = c.call("OPEN", node=reply["node"], flags=0)[0]
            t.true(status in ("OK", "MFILE"), f"OPEN: {status}")
            opened, refused = opened + (status == "OK"), refused + (status == "MFILE")
    t.true(opened > 1000 and refused > 1000, f"{opened} opened, {refused} refused")
    others = [Client(server.address) for _ in range(20)]
    held = [open(f"{attachment.dir}/many/f{i}") for i in range(20)]
    t.eq(len(os.listdir(f"{attachment.dir}/many")), 300)
    t.file(f"{attachment.dir}/new", "x")
    t.true("are refused" in server.log(), "nothing in the log")
    for c in attackers + others:
        c.sock.close()
    for f in held:
        f.close()


class WorseServer(Relay):
    """Real until told; then it answers READDIR with entries without end, floods events, or answers nothing any more."""

    def pump(self, source, sink, damaging):
        if not damaging:
            super().pump(source, sink, False)
            return
        stream = wire.Stream(source)
        try:
            while True:
                f = stream.next()
                status = f.status
                if self.damage == "opens" and f.type in (NUMBERS["OPEN"], NUMBERS["CREATE"]):
                    self.deaf = sink
                if self.damage == "opens" and self.deaf is sink:
                    continue  # all that this connection still says is lost
                if self.damage == "silent" or self.damage in ("half", "silent-after-hello", "break") and f.type != NUMBERS["HELLO"]:
                    if self.damage == "half":
                        sink.sendall(frame(f.type, kind=f.kind, slot=f.slot, seq=f.seq, size=1 << 20))
                    if self.damage == "break":
                        break
                    continue
                if self.damage == "events":
                    sink.sendall(frame(NUMBERS["EVENT_LOCK"], kind=wire.EVENT, body=struct.pack("<QQII", 0, 0, 0, 0)) * 500)
                if self.damage == "endless" and f.type == NUMBERS["READDIR"] and not status:
                    self.cookie += 400
                    entries = b"".join(self.entry(self.cookie + i) for i in range(400))
                    f.body, f.data = struct.pack("<II", 400, 0), entries
                sink.sendall(frame(f.type, kind=f.kind, flags=f.flags, slot=f.slot, status=status, seq=f.seq, body=f.body,
                                   data=f.data, lane=f.lane))
        except (OSError, EOFError, struct.error):
            pass
        for s in (source, sink):
            try:
                s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    cookie, deaf = 0, None

    def entry(self, n):
        name = f"{n:0130}".encode()
        head = struct.pack("<QQII", n, n, 0o100000, len(name)) + name
        return wire.pad(head)


def rss_kib(pid):
    return next(int(line.split()[1]) for line in open(f"/proc/{pid}/status") if line.startswith("VmRSS:"))


@test(root=True, timeout=120)
def test_evil_server_without_end(t):
    """listings without end, floods of events, silence: the client's memory is bounded, status and forced detaching work"""
    t.behind = t.export()
    t.file(f"{t.behind}/f", "x")
    server = t.server()
    for how in ("endless", "events", "silent"):
        worse = WorseServer(t, server, 0)
        directory = t.dir(f"worse-{how}")
        t.file(f"{directory}/local", "here")  # a merged directory: its listing is gathered
        a = Attachment(t, f"{worse.address}/e", directory, ["--timeout", "2"])
        pid = a.pid()
        t.true("f" in os.listdir(directory), "the listing by way of the relay")
        before = rss_kib(pid)
        worse.damage = how
        worker = t.start("python3", "-c", "import os,sys\nfor i in range(20):\n    try:\n        os.listdir(sys.argv[1])\n"
                         "        os.stat(sys.argv[1] + '/g%d' % i)\n    except OSError:\n        pass\n", directory)
        time.sleep(4)
        t.eq(a.status()["state"], "attached", f"{how}: status")
        grown = rss_kib(pid) - before
        kept = 256 << 10 if "ASAN_OPTIONS" in os.environ else 0  # what was freed, by the sanitizer
        t.true(grown < (400 << 10) + kept, f"{how}: the client grew by {grown} KiB")
        a.detach("--force")
        try:
            worker.wait(20)
        except Exception:
            raise Failed(f"{how}: a program hangs after the forced detach") from None
    t.true(server.alive(), "the server has ended")
