"""The Wireshark dissector on a session captured from the wire."""
# SPDX-License-Identifier: Apache-2.0
import os
import signal
import subprocess

from harness import test, wait_for

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
LUA = f"{ROOT}/packaging/wireshark/inlay.lua"


def capture(t, port, path):
    # dumpcap gives up its rights before it writes: into a file that exists and that anyone may write.
    t.file(path, "")
    os.chmod(path, 0o666)
    p = t.start("dumpcap", "-q", "-i", "lo", "-f", f"tcp port {port}", "-w", path, stderr=subprocess.PIPE)
    wait_for("the capture to begin", lambda: b"File" in os.read(p.stderr.fileno(), 4096), 15)
    return p


def dissect(t, path, port):
    return t.must("tshark", "-n", "-X", f"lua_script:{LUA}", "-d", f"tcp.port=={port},inlay", "-r", path, "-2", "-V",
                  timeout=60).stdout


@test(root=True, timeout=120)
def test_dissector_on_a_session(t):
    """a real session through tshark: every message has its name, nothing is malformed, names and data lengths are right"""
    t.need("dumpcap", "tshark")
    os.mkdir(f"{t.export()}/dir")
    t.file(f"{t.export()}/dir/some-name", "content " * 1000)
    server = t.server()
    port = server.address.rsplit(":", 1)[1]
    path = t.path("session.pcapng")
    p = capture(t, port, path)
    a = t.attach(server, t.dir("mnt"))
    d = a.dir
    t.eq(open(f"{d}/dir/some-name").read(), "content " * 1000)
    with open(f"{d}/made", "w") as f:
        f.write("x" * 200000)
        f.flush()
        os.fsync(f.fileno())
    os.rename(f"{d}/made", f"{d}/moved")
    os.setxattr(f"{d}/moved", "user.a", b"value")
    t.eq(sorted(os.listdir(d)), ["dir", "moved"])
    os.unlink(f"{d}/moved")
    a.detach()
    wait_for("the capture to have it all", lambda: os.path.getsize(path) > 210000, 10)
    p.send_signal(signal.SIGINT)
    p.wait(10)
    text = dissect(t, path, port)
    for word in ("hello", "lookup", "open", "read", "create", "write", "commit", "close", "rename", "setxattr", "opendir",
                 "readdir", "unlink"):
        t.contains(text.lower(), word, "messages seen")
    for name in ("some-name", "made", "moved", "user.a"):
        t.contains(text, name, "names seen")
    t.true("Malformed" not in text, "a real session looks malformed")
    t.true("Lua Error" not in text, "the dissector failed")
