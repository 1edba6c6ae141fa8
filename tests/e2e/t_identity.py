# Whose word counts: a user of the server's host is who the kernel says, whatever he claims; root may speak for others.
# SPDX-License-Identifier: Apache-2.0
import fcntl
import json
import os
import socket
import stat
import struct

import wire
from harness import USER_GROUPS, USER_UID, Failed, test

def as_user(work):
    """What work() returns, done by a process of that user."""
    r, w = os.pipe()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            os.setgroups(USER_GROUPS)
            os.setresgid(USER_UID, USER_UID, USER_UID)
            os.setresuid(USER_UID, USER_UID, USER_UID)
            os.write(w, json.dumps(work()).encode())
            code = 0
        finally:
            os._exit(code)
    os.close(w)
    with os.fdopen(r) as f:
        text = f.read()
    if os.waitpid(child, 0)[1] or not text:
        raise Failed("the user's process failed")
    return json.loads(text)


def claim(address, name, source=None):
    """OPEN of a file of root's, its chmod and the making of another one, each claimed to be root's."""
    c = wire.Client(address, hello=False) if not source else From(address, source)
    c.hello()
    node = c.walk("roots")
    answers = [c.call("OPEN", node=node, flags=0)[0], c.call("SETATTR", node=node, valid=1, mode=0o666)[0],
               c.call("CREATE", dir=c.root, name=name, flags=2, mode=0o600)[0]]
    c.close()
    return answers


class From(wire.Client):
    """A client that calls from one certain address."""

    def __init__(self, address, source):
        host, port = address.rsplit(":", 1)
        wire.Stream.__init__(self, socket.create_connection((host, int(port)), 10, (source, 0)))
        self.cred, self.export, self.seqs = (0, 0, []), "e", {}


def secret(t):
    """An export where all may make files, with one of root's alone in it."""
    os.chmod(t.export(), 0o777)
    path = t.file(f"{t.export()}/roots", "secret")
    os.chmod(path, 0o600)
    return path


def add_address(text):
    """To the loopback device, which is this test's own."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        address = struct.pack("HH4s8x", socket.AF_INET, 0, socket.inet_aton(text))
        fcntl.ioctl(s, 0x8916, struct.pack("16s16s8x", b"lo:1", address))  # SIOCSIFADDR


@test(root=True)
def test_identity_of_host_users(t):
    """on loopback TCP and a Unix socket a user gets his own rights, whatever he claims; root may claim"""
    path = secret(t)
    port = t.free_port()
    mask = os.umask(0)
    server = t.server(listen=[f"127.0.0.1:{port}", f"[::1]:{port}", f"unix:{t.path('sock')}"])
    os.umask(mask)
    for n, address in enumerate(server.listen):
        t.eq(as_user(lambda at=address, n=n: claim(at, f"users{n}")), ["ACCES", "PERM", "OK"], f"a user by {address}")
        s = os.stat(f"{t.export()}/users{n}")
        t.eq((s.st_uid, s.st_gid), (USER_UID, USER_UID), "who made the file")
        t.eq(stat.S_IMODE(os.stat(path).st_mode), 0o600, "mode of root's file")
        t.eq(claim(address, f"roots{n}"), ["OK", "OK", "OK"], f"root by {address}")
        t.eq(os.stat(f"{t.export()}/roots{n}").st_uid, 0, "who made the file")
        os.chmod(path, 0o600)
    t.contains(server.log(), f"as user {USER_UID}")


@test(root=True)
def test_identity_from_own_addresses(t):
    """calling a loopback address from another one of the host's changes nothing"""
    secret(t)
    add_address("10.99.0.1")
    server = t.server()
    t.eq(as_user(lambda: claim(server.address, "users", source="10.99.0.1")), ["ACCES", "PERM", "OK"])
    t.eq(os.stat(f"{t.export()}/users").st_uid, USER_UID)
    t.eq(claim(server.address, "roots", source="10.99.0.1"), ["OK", "OK", "OK"])


@test(root=True)
def test_identity_of_who_is_gone(t):
    """a user who claims, asks and closes at once is not taken for root"""
    path = secret(t)
    server = t.server()
    node = wire.Client(server.address).walk("roots")
    hello = {"version_min": 1, "version_max": 1, "client": bytes(16), "slots": 16, "max_data": 1 << 20, "export": "e", "host": "t"}
    both = (wire.frame(wire.NUMBERS["HELLO"], body=wire.encode(wire.FIELDS["HELLO_REQ"], hello), seq=1) +
            wire.frame(wire.NUMBERS["SETATTR"], slot=0, seq=1, body=wire.encode(wire.FIELDS["SETATTR_REQ"], {
                "node": node, "valid": 1, "mode": 0o666})))

    def hit_and_run():
        for _ in range(200):
            s = socket.create_connection(("127.0.0.1", server.port))
            s.sendall(both)
            s.close()
        return True

    as_user(hit_and_run)
    client = wire.Client(server.address)
    t.true(client.alive(), "the server goes on")
    t.eq(stat.S_IMODE(os.stat(path).st_mode), 0o600, "mode of root's file")


@test(root=True)
def test_identity_of_programs(t):
    """inlay cat and cp as a user: his own files and groups, not root's; as root, all"""
    secret(t)
    for name, group, content in (("group", USER_GROUPS[0], "his group's"), ("other", USER_GROUPS[0] + 7, "not his")):
        t.file(f"{t.export()}/{name}", content)
        os.chown(f"{t.export()}/{name}", 0, group)
        os.chmod(f"{t.export()}/{name}", 0o640)
    server = t.server()
    at = f"{server.address}/e"
    t.eq(t.inlay("cat", f"{at}/roots").stdout, "secret")
    t.eq(t.inlay("cat", f"{at}/group", user=USER_UID).stdout, "his group's")
    t.eq(t.inlay("cat", f"{at}/group", user=USER_UID, groups=[]).stdout, "", "without that group")
    for name in ("roots", "other"):
        done = t.inlay("cat", f"{at}/{name}", user=USER_UID)
        t.eq(done.stdout, "")
        t.true(done.returncode != 0, f"a user reads {name}")
    mine = t.file(t.path("mine"), "mine")
    t.must(t.program("inlay"), "cp", mine, f"{at}/copy", user=USER_UID)
    t.eq(os.stat(f"{t.export()}/copy").st_uid, USER_UID)
    t.true(t.inlay("cp", mine, f"{at}/roots", user=USER_UID).returncode != 0, "a user writes root's file")
    t.eq(open(f"{t.export()}/roots").read(), "secret")


@test(root=True)
def test_identity_after_reconnecting(t):
    """root's attachment speaks for its users still when the server was away"""
    secret(t)
    server = t.server()
    a = t.attach(server, t.dir("m"), "--rule", "local l*")

    def use(name):
        t.must("bash", "-c", f"echo x > {a.dir}/l{name}; cat {a.dir}/l{name}; echo x > {a.dir}/{name}; ls {a.dir}", user=USER_UID)
        t.eq(os.stat(f"{t.export()}/{name}").st_uid, USER_UID, "the user's file")
        t.eq(t.must("cat", f"{a.dir}/roots").stdout, "secret", "root's file")

    os.chmod(a.dir, 0o777)
    use("before")
    # Whichever thread worked for a user last connects again: once in about ten rounds it is one of those.
    for number in range(20 if t.quick else 60):
        server.stop()
        server.start()
        use(f"after{number}")
    t.true("as user" not in server.log(), "a connection of root's attachment was taken for a user's")


@test(root=True)
def test_identity_umask_of_sockets(t):
    """the mode of a Unix socket is 0666 less the umask that inlayd was started with"""
    t.export()
    for mask, wanted in ((0o077, 0o600), (0o022, 0o644), (0, 0o666)):
        old = os.umask(mask)
        server = t.server(listen=[f"unix:{t.path('sock')}"])
        os.umask(old)
        t.eq(stat.S_IMODE(os.stat(t.path("sock")).st_mode), wanted, f"mode with umask {mask:o}")
        # What clients make still has the mode that they ask for.
        c = wire.Client(server.address)
        t.eq(c.call("CREATE", dir=c.root, name=f"f{mask}", flags=2, mode=0o666)[0], "OK")
        t.eq(stat.S_IMODE(os.stat(f"{t.export()}/f{mask}").st_mode), 0o666, "mode of a file")
        c.close()
        server.stop()
