# What a killed and restarted server means to programs that had something open.
# SPDX-License-Identifier: Apache-2.0
import json
import signal
import subprocess
import sys

from harness import test

# A program of its own: a process that is started while the server is away must have nothing to close there.
HOLDER = """
import errno, fcntl, json, os, sys
os.chdir(sys.argv[1])
held, locked = (os.open(name, os.O_RDWR | os.O_CREAT, 0o644) for name in ("held", "locked"))
os.write(held, b"content")
os.fsync(held)
fcntl.lockf(locked, fcntl.LOCK_EX)
print("ready", flush=True)
sys.stdin.readline()
def outcome(function, *arguments):
    try:
        return function(*arguments)
    except OSError as e:
        return errno.errorcode[e.errno]
said = {
    "read": outcome(os.pread, held, 10, 0), "write": outcome(os.pwrite, held, b"lost", 0), "sync": outcome(os.fsync, held),
    "lock": outcome(fcntl.lockf, locked, fcntl.LOCK_EX | fcntl.LOCK_NB), "size": os.fstat(held).st_size,
}
with open("held", "r+b") as f, open("locked", "r+b") as g:
    said["again"] = f.read().decode()
    said["lock again"] = outcome(fcntl.lockf, g, fcntl.LOCK_EX | fcntl.LOCK_NB)
    f.write(b" and more")
print(json.dumps(said), flush=True)
"""


@test(root=True)
def test_restart_open_files(t):
    """descriptors from before the restart are ESTALE, not taken for none at all; what is opened anew works, locks are free"""
    server = t.server()
    d = t.attach(server).dir
    holder = t.start(sys.executable, "-c", HOLDER, d, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    t.eq(holder.stdout.readline(), b"ready\n")
    server.stop(signal.SIGKILL)
    server.start()
    out, _ = holder.communicate(b"\n", timeout=30)
    t.eq(json.loads(out), {"read": "ESTALE", "write": "ESTALE", "sync": "ESTALE", "lock": "ESTALE", "size": 7,
                           "again": "content", "lock again": None})
    with open(f"{t.export()}/held", "rb") as f:
        t.eq(f.read(), b"content and more")
