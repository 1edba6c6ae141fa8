# Random operations on files against a model: alone, by two clients in turn, on local files, while connections are cut.
# SPDX-License-Identifier: Apache-2.0
import os
import random
import socket
import struct
import threading
import time

from harness import ROOT, USER_UID, Attachment, test


def exercise(t, count, seeds, *directories, user=None, options=()):
    """count operations for each seed, a quarter of that in a quick run."""
    program = t.path("fsx")
    t.must("cc", "-std=gnu11", "-D_GNU_SOURCE", "-O1", "-g", "-Wall", "-Wextra", "-Wshadow", "-Wconversion", "-Werror", "-o", program,
           os.path.join(ROOT, "tests/e2e/fsx.c"), timeout=120)
    first = int(os.environ.get("INLAY_SEED", "1"))  # a soak goes on where its last round ended
    for seed in range(first, first + (1 if t.quick else seeds)):
        done = t.must(program, "-s", str(seed), "-n", str(count // 4 if t.quick else count), *options, *directories,
                      timeout=180, user=user)
        t.contains(done.stdout, "as the model has it")
        t.shell(f"rm -f {directories[0]}/[fl]*", user=user)


@test(subject=True, root=True, timeout=300)
def test_fsx(t):
    """random operations on four files, each checked against a model in memory"""
    exercise(t, 10000, 3, t.subject())


@test(subject=True, root=True, timeout=300)
def test_fsx_two_clients(t):
    """the same by two clients in turn, with descriptors that stay open: each sees what the other has just done"""
    exercise(t, 6000, 3, *t.two_subjects())


@test(root=True, timeout=300)
def test_fsx_local_side(t):
    """the same on local files, with passthrough where the kernel has it"""
    a = t.attach(t.server(), None, "--rule", "local **")
    exercise(t, 20000, 3, a.dir)
    t.eq(os.listdir(t.export()), [], "files on the server")


@test(root=True, timeout=300)
def test_fsx_local_side_as_user(t):
    """the same for an ordinary user, to whom the kernel grants no passthrough, as status says: local files are forwarded"""
    t.need("fusermount3")
    t.named_user()
    fuse, directory = t.path("fuse"), t.dir("mine")
    os.mknod(fuse, 0o20666, os.makedev(10, 229))
    os.chmod(fuse, 0o666)
    t.mount("--bind", fuse, "/dev/fuse")
    home = os.environ["XDG_RUNTIME_DIR"] = t.dir("runtime", 0o700)
    for path in (directory, home):
        os.chown(path, USER_UID, USER_UID)
    a = t.attach(t.server(), directory, "--rule", "local **", user=USER_UID)
    try:
        t.eq(a.status()["passthrough"], False, "passthrough")
        exercise(t, 10000, 2, a.dir, user=USER_UID)
    finally:
        a.detach()


class Cutter:
    """Forwards connections to the server and, once it is told to begin, resets them, some or all at a time, again and again."""

    def __init__(self, address, cuts, every):
        host, port = address.rsplit(":", 1)
        self.target, self.left, self.every, self.cuts = (host, int(port)), cuts, every, 0
        self.pairs, self.lock = set(), threading.Lock()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self.listener.getsockname()[1]}"
        threading.Thread(target=self.accept, daemon=True).start()

    def begin(self):
        threading.Thread(target=self.cut, daemon=True).start()

    def end(self, pair):
        with self.lock:
            if pair not in self.pairs:
                return False
            self.pairs.discard(pair)
        for s in pair:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            try:
                s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            s.close()
        return True

    def pump(self, source, to, pair):
        try:
            while data := source.recv(1 << 16):
                to.sendall(data)
        except OSError:
            pass
        self.end(pair)

    def accept(self):
        while True:
            client = self.listener.accept()[0]
            pair = (client, socket.create_connection(self.target))
            for s in pair:
                s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self.lock:
                self.pairs.add(pair)
            for ends in (pair, pair[::-1]):
                threading.Thread(target=self.pump, args=(*ends, pair), daemon=True).start()

    def cut(self):
        while self.cuts < self.left:
            time.sleep(self.every * random.uniform(0.3, 1.7))
            with self.lock:
                pairs = random.sample(sorted(self.pairs, key=id), len(self.pairs))
            for pair in pairs[:random.choice((1, len(pairs) or 1))]:
                self.cuts += self.end(pair)


@test(root=True, timeout=300)
def test_fsx_cuts(t):
    """the same while connections are cut 200 times: O_EXCL, appends, renames happen exactly once"""
    server = t.server()
    cutter = Cutter(server.address, 40 if t.quick else 200, 0.03)
    mount = t.dir("mnt")
    Attachment(t, f"{cutter.address}/e", mount, ())
    cutter.begin()
    while cutter.cuts < cutter.left:
        exercise(t, 4000, 1, mount)
