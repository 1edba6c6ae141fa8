# A redirector that is killed, and the one that takes over: programs see a stall.
# SPDX-License-Identifier: Apache-2.0
import contextlib
import os
import resource
import signal
import subprocess
import sys
import threading
import time

from harness import Failed, test, wait_for
from t_fsx import exercise
from t_programs import sqlite_check
from t_restart import HOLDER, THIEF, ask, killing, kills, program, supervised


def redirector(a):
    """The pid that serves the attachment; waits while there is none."""
    end = time.monotonic() + 10
    while time.monotonic() < end:
        with contextlib.suppress(Failed, OSError, KeyError, ValueError):
            return a.status()["pid"]
        time.sleep(0.01)
    raise Failed("nobody serves the attachment")


def redirector_kills(a, count, every):
    return killing(lambda: redirector(a), count, every)


@test(root=True, timeout=120)
def test_guardian_open_files(t):
    """what was open, locked and half listed when the redirector was killed goes on, also what was renamed, forbidden or removed"""
    server = t.server()
    a = t.attach(server)
    holder = program(t, HOLDER, a.dir)
    thief = program(t, THIEF, t.attach(server).dir)
    t.eq(a.status()["guarded"], True)
    os.kill(redirector(a), signal.SIGKILL)
    t.eq(ask(thief), ["refused", "refused", "got it"], "locks of others")
    t.eq(ask(holder), {"read": "content", "write": 9, "sync": None, "renamed": "content", "forbidden": "content",
                       "removed": "content", "append": 3, "size": 16, "entries": 3000, "unlock": None})
    t.eq(a.status()["takeovers"], 1)
    with open(f"{t.export()}/held", "rb") as f:
        t.eq(f.read(), b"content and more")
    for proc in (holder, thief):
        proc.communicate(b"\n", timeout=30)


@test(root=True, timeout=120, alone=True)
def test_guardian_stall(t):
    """a take-over is a stall of less than a second for a program that reads without a pause; nothing fails"""
    a = t.attach(t.server())
    t.file(f"{t.export()}/x", b"x" * 4096)
    worst, count, end = 0, 0, time.monotonic() + 6
    with open(f"{a.dir}/x", "rb", buffering=0) as f, redirector_kills(a, 5, 1) as killer:
        while killer.kills < killer.left or time.monotonic() < end:
            begin = time.monotonic()
            t.eq(len(os.pread(f.fileno(), 4096, 0)), 4096)
            os.stat(f"{a.dir}/x")
            worst, count = max(worst, time.monotonic() - begin), count + 1
    print(f"longest stall {worst * 1000:.0f} ms in {count} rounds and {killer.kills} kills")
    t.true(worst < 1, f"a stall of {worst:.2f} s")


@test(root=True, timeout=400)
def test_guardian_fsx(t):
    """random operations against a model while the redirector is killed again and again: each change happens once"""
    a = t.attach(t.server())
    with redirector_kills(a, 5 if t.quick else 20, 0.25) as killer:
        while killer.kills < killer.left and not killer.why:
            exercise(t, 3000, 1, a.dir, options=["-r"])


@test(root=True, timeout=400)
def test_guardian_fsx_local(t):
    """the same on the local side"""
    a = t.attach(t.server(), None, "--rule", "local **")
    with redirector_kills(a, 5 if t.quick else 20, 0.25) as killer:
        while killer.kills < killer.left and not killer.why:
            exercise(t, 3000, 1, a.dir)


@test(root=True, timeout=400)
def test_guardian_fsx_both_killed(t):
    """random operations while the server and the redirector are killed, each in its own time"""
    server = supervised(t)
    a = t.attach(server)
    with kills(t, server, 3 if t.quick else 8, 0.5) as other, redirector_kills(a, 4 if t.quick else 12, 0.3) as killer:
        while (killer.kills < killer.left or other.kills < other.left) and not killer.why:
            exercise(t, 3000, 1, a.dir, options=["-r"])


@test(root=True, timeout=400)
def test_guardian_sqlite(t):
    """SQLite, a writer on each of two clients, while both clients' redirectors are killed: no lock is lost, no row, none comes twice"""
    server = t.server()
    attachments = [t.attach(server) for _ in range(2)]
    t.behind = t.export()
    count = 3 if t.quick else 10
    with redirector_kills(attachments[0], count, 0.4) as first, redirector_kills(attachments[1], count, 0.5) as second:
        while (first.kills < count or second.kills < count) and not first.why and not second.why:
            sqlite_check(t, "delete", *(a.dir for a in attachments))
            os.unlink(f"{attachments[0].dir}/test.db")


# Says how many of its changes succeeded, each of a kind that must not be done twice.
CLERK = """
import os, sys
os.chdir(sys.argv[1])
who, rounds = sys.argv[2], int(sys.argv[3])
log = os.open("log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
for i in range(rounds):
    name = f"{who}-{i}"
    os.close(os.open(name, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
    os.write(log, f"{name}\\n".encode())
    os.mkdir(f"{name}.d")
    os.rename(name, f"{name}.d/x")
    os.link(f"{name}.d/x", f"{name}.l")
    os.symlink("x", f"{name}.s")
    os.unlink(f"{name}.l")
    os.unlink(f"{name}.s")
    os.unlink(f"{name}.d/x")
    os.rmdir(f"{name}.d")
print("done", flush=True)
"""


def clerks(t, directory, rounds, everything_done):
    procs = [t.start(sys.executable, "-c", CLERK, directory, f"c{n}", str(rounds), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
             for n in range(3)]
    for proc in procs:
        out, err = proc.communicate(timeout=180)
        t.eq(out, b"done\n", err.decode()[-300:])
    with open(f"{everything_done}/log") as f:
        lines = f.read().split("\n")
    t.eq(sorted(lines), sorted([""] + [f"c{n}-{i}" for n in range(3) for i in range(rounds)]), "the log")
    t.eq(os.listdir(everything_done), ["log"], "what is left")
    os.unlink(f"{everything_done}/log")


@test(root=True, timeout=300)
def test_guardian_exactly_once(t):
    """create O_EXCL, append, mkdir, rename, link, symlink, unlink, rmdir by three programs: none fails, none is done twice"""
    a = t.attach(t.server())
    with redirector_kills(a, 8 if t.quick else 30, 0.12) as killer:
        while killer.kills < killer.left and not killer.why:
            clerks(t, a.dir, 100, t.export())


@test(root=True, timeout=300)
def test_guardian_exactly_once_local(t):
    """the same on the local side, whose calls are cut in the middle"""
    d = t.dir("mnt")
    a = t.attach(t.server(), d, "--rule", "local **")
    behind = t.dir("behind")
    t.must("mount", "--bind", os.path.dirname(d), behind)  # what lies beneath the attachment
    with redirector_kills(a, 8 if t.quick else 30, 0.12) as killer:
        while killer.kills < killer.left and not killer.why:
            clerks(t, a.dir, 100, f"{behind}/{os.path.basename(d)}")
    t.must("umount", behind)


def guardians():
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError), open(f"/proc/{pid}/cmdline", "rb") as f:
            if f.read().split(b"\0")[:2] == [b"inlay", b"guard"]:
                found.append(int(pid))
    return found


@test(root=True, timeout=120)
def test_guardian_killed(t):
    """a guardian that is killed is replaced; both killed at once: the attachment is dead, and can be made again at once"""
    server = t.server()
    a = t.attach(server)
    t.file(f"{a.dir}/f", "x")
    with open(f"{a.dir}/f") as held:
        for _ in range(5):
            old = guardians()
            t.eq(len(old), 1, "guardians")
            os.kill(old[0], signal.SIGKILL)
            wait_for("another guardian", lambda: guardians() and guardians() != old)
            time.sleep(0.1)
            os.kill(redirector(a), signal.SIGKILL)
            t.eq(os.pread(held.fileno(), 1, 0), b"x")
    pid = redirector(a)
    for victim in (*guardians(), pid):
        os.kill(victim, signal.SIGSTOP)
    for victim in (*guardians(), pid):
        os.kill(victim, signal.SIGKILL)
    wait_for("the attachment to die", lambda: not guardians())
    t.raises(107, os.stat, f"{a.dir}/f")
    a.detach()
    t.eq(os.listdir("/run/inlay"), [], "left by both")
    b = t.attach(server, a.dir)
    with open(f"{b.dir}/f") as f:
        t.eq(f.read(), "x")


@test(root=True)
def test_guardian_dead_attached_again(t):
    """inlay attach on what a killed attachment left cleans that up itself, while programs still hold files of it; a live one is refused"""
    server = t.server()
    a = t.attach(server)
    t.file(f"{a.dir}/f", "x")
    held = os.open(f"{a.dir}/f", os.O_RDONLY)
    t.refused(t.inlay("attach", f"{server.address}/e", a.dir), 1, "attached already")
    victims = (*guardians(), redirector(a))
    for number in (signal.SIGSTOP, signal.SIGKILL):
        for victim in victims:
            os.kill(victim, number)
    wait_for("the attachment to die", lambda: not guardians())
    b = t.attach(server, a.dir)
    t.raises(107, os.pread, held, 1, 0)
    with contextlib.suppress(OSError):
        os.close(held)
    with open(f"{b.dir}/f") as f:
        t.eq(f.read(), "x")
    b.detach()
    t.true(not b.attached(), "still something mounted")
    t.eq(os.listdir("/run/inlay"), [])


@test(root=True)
def test_guardian_takes_its_time(t):
    """inlay status while another process takes over: it is waited for, not called dead"""
    a = t.attach(t.server())
    [guardian] = guardians()
    os.kill(guardian, signal.SIGSTOP)
    os.kill(redirector(a), signal.SIGKILL)
    later = threading.Timer(0.4, os.kill, (guardian, signal.SIGCONT))
    later.start()
    t.eq((a.status()["state"], a.status()["takeovers"]), ("attached", 1))
    later.join()


@test(root=True)
def test_guardian_log_names_the_export(t):
    """who took over says in its log which export it speaks of, also after it has started a guardian itself"""
    server = t.server()
    a = t.attach(server)
    pid = redirector(a)
    os.kill(pid, signal.SIGKILL)
    wait_for("another redirector", lambda: redirector(a) != pid)
    for _ in range(3):
        old = guardians()
        os.kill(old[0], signal.SIGKILL)
        wait_for("another guardian", lambda old=old: guardians() and guardians() != old)
        server.stop()
        server.start()
        os.stat(a.dir)
        wait_for("both connections", lambda: a.status()["health"] == "healthy")
    lines = [line for line in a.log().splitlines() if "connection" in line or "connect again" in line]
    t.true(lines, "no line about connections")
    t.eq([line for line in lines if not line.split(": ", 2)[2].startswith("e: ")], [], "lines that don't name the export")


@test(root=True)
def test_guardian_started_later(t):
    """a guardian that can't be started for want of descriptors is started once there are some again, and takes over then"""
    server = t.server()
    a = t.attach(server)
    t.file(f"{a.dir}/f", "x")
    pid, [old] = redirector(a), guardians()
    limits = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (8, limits[1]))
    os.kill(old, signal.SIGKILL)
    wait_for("the log to say so", lambda: "no guardian" in a.log())
    t.eq(guardians(), [], "guardians")
    resource.prlimit(pid, resource.RLIMIT_NOFILE, limits)
    wait_for("another guardian", guardians, 15)
    with open(f"{a.dir}/f") as held:
        os.kill(pid, signal.SIGKILL)
        t.eq(os.pread(held.fileno(), 1, 0), b"x")


@test(root=True, timeout=120)
def test_guardian_restart(t):
    """inlay restart: another process of the program as it lies there now; without a guardian it is refused, and says why"""
    server = t.server()
    program_copy = t.path("inlay")
    t.must("cp", t.program("inlay"), program_copy)
    t.must(program_copy, "attach", f"{server.address}/e", t.dir("mnt"), "--log-file", t.path("log"))
    directory = t.path("mnt")
    try:
        t.file(f"{directory}/f", "x")
        with open(f"{directory}/f") as held:
            t.must("cp", t.program("inlay"), program_copy + ".new")
            os.rename(program_copy + ".new", program_copy)  # an update
            done = t.must(program_copy, "restart", directory)
            new = int(done.stdout.split("process ")[1].split()[0])
            t.eq(os.readlink(f"/proc/{new}/exe"), program_copy)
            t.eq(os.pread(held.fileno(), 1, 0), b"x")
            # The same when another guardian has come after the update.
            t.must("cp", t.program("inlay"), program_copy + ".new")
            os.rename(program_copy + ".new", program_copy)
            old = guardians()
            os.kill(old[0], signal.SIGKILL)
            wait_for("another guardian", lambda: guardians() and guardians() != old)
            done = t.must(program_copy, "restart", directory)
            new = int(done.stdout.split("process ")[1].split()[0])
            t.eq(os.readlink(f"/proc/{new}/exe"), program_copy)
        t.eq(t.must(program_copy, "attach", f"{server.address}/e", directory).stderr.count("still attached"), 1)
    finally:
        t.must(program_copy, "detach", directory)
    wait_for("the guardian to end", lambda: not guardians())
    t.eq(os.listdir("/run/inlay"), [])
    b = t.attach(server, None, "--no-guardian")
    t.refused(t.inlay("restart", b.dir), 1, "no guardian")
    t.refused(t.inlay("restart", t.dir("other")), 1, "not attached")


def cpu_seconds(pid):
    with open(f"/proc/{pid}/stat") as f:
        fields = f.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@test(root=True, timeout=60)
def test_guardian_restart_while_detaching(t):
    """inlay restart of an attachment that waits for a program before it detaches: it waits on, and quietly"""
    a = t.attach(t.server())
    t.file(f"{a.dir}/f", "x")
    with open(f"{a.dir}/f"):
        pid = redirector(a)
        os.kill(pid, signal.SIGTERM)
        wait_for("the detaching to begin", lambda: "programs have" in a.log())
        asking = subprocess.Popen([t.program("inlay"), "restart", a.dir], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(0.5)
        before = cpu_seconds(pid)
        time.sleep(2)
        t.true(cpu_seconds(pid) - before < 0.3, f"{cpu_seconds(pid) - before} s of work in 2 s")
        asking.kill()
        asking.wait()
    wait_for("the detaching to end", lambda: not os.path.ismount(a.dir))
    wait_for("the guardian to end", lambda: not guardians())


@test(root=True, timeout=120)
def test_guardian_server_away(t):
    """killed while the server is away: the successor waits for it as its predecessor did, status and detach --force work"""
    server = t.server()
    a = t.attach(server)
    t.file(f"{a.dir}/f", "x")
    server.stop(signal.SIGKILL)
    waiting = t.start("cat", f"{a.dir}/f", stdout=subprocess.PIPE)
    time.sleep(0.3)
    os.kill(redirector(a), signal.SIGKILL)
    t.eq(redirector(a) > 0, True)
    t.contains(("reconnecting",), a.status()["health"])
    t.eq(waiting.poll(), None)
    server.start()
    t.eq(waiting.communicate(timeout=20)[0], b"x")
    server.stop(signal.SIGKILL)
    waiting = t.start("cat", f"{a.dir}/f", stderr=subprocess.DEVNULL)
    time.sleep(0.3)
    os.kill(redirector(a), signal.SIGKILL)
    a.detach("--force")
    t.true(waiting.wait(10) != 0, "the program that waited should have got an error")


@test(root=True, quick=False, timeout=120)
def test_guardian_gives_up(t):
    """where every successor dies at once the guardian ends, and programs get an error instead of waiting for ever"""
    program_copy, directory = t.path("inlay"), t.dir("mnt")
    t.must("cp", t.program("inlay"), program_copy)
    t.must(program_copy, "attach", f"{t.server().address}/e", directory, "--log-file", t.path("log"))
    t.must("cp", "/bin/false", program_copy + ".new")
    os.rename(program_copy + ".new", program_copy)
    begin = time.monotonic()
    os.kill(int(t.must("pgrep", "-f", f"attach.*{directory}").stdout.split()[0]), signal.SIGKILL)
    wait_for("the guardian to give up", lambda: not guardians(), 60)
    t.true(time.monotonic() - begin < 60, "took too long")
    t.raises(107, os.stat, f"{directory}/f")
    with open(t.path("log")) as f:
        t.contains(f.read(), "given up")
    t.must(t.program("inlay"), "detach", directory)
    t.eq(os.listdir("/run/inlay"), [])
