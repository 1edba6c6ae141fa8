# inlay.exe as people meet it: attach, detach, status, explain and service; what is said when something is wrong; setup's files.
# SPDX-License-Identifier: Apache-2.0
import json
import os
import re
import subprocess
import time

import wine
from harness import test, wait_for

DIR = "I:\\inlay"
HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
INLAY = r"C:\inlay.exe"


def refused(t, w, code, *words, args):
    """One line to stderr, that code, those words."""
    done = w.run(INLAY, *args)
    t.eq(done.code, code, f"exit code of {' '.join(args)}: {done.text}")
    lines = [line for line in done.lines if line and not re.match(r"inlay: (error|warning|info): ", line)]  # a log's
    t.eq(len(lines), 1, f"lines of {' '.join(args)}: {done.text}")
    for word in words:
        t.contains(done.text, word, " ".join(args))


def attachments(w, *args):
    return json.loads(w.must(INLAY, "status", "--json", *args).text)["attachments"]


def listed(w, pattern=DIR + r"\*"):
    return sorted(line.rsplit(" ", 2)[0] if line.endswith(" dir") else line.rsplit(" ", 1)[0]
                  for line in w.op("ls", pattern).splitlines() if line and not line.startswith("."))


def rows_of_help(text):
    """[(option as in the document, what it does)]"""
    rows = []
    for line in text.splitlines():
        found = re.match(r"  (?:(-\w), |    )(--[a-z-]+)(?: ([^ ]+))?  +(.*)$", line)
        if found and found[2] not in ("--help", "--version"):
            letter = f"`{found[1]}`, " if found[1] else ""
            rows.append((f"{letter}`{found[2]}{' ' + found[3] if found[3] else ''}`", found[4]))
    return rows


@test(timeout=120)
def test_help(t):
    """the options of every command are those of docs/WINDOWS.md, word for word; other commands are not there"""
    w = wine.Session(t, filter=False)
    with open(os.path.join(ROOT, "docs", "WINDOWS.md"), encoding="utf-8") as f:
        sections = re.split(r"^#+ ", f.read(), flags=re.M)
    for command in ("attach", "detach", "status", "explain", "service"):
        text = w.must(INLAY, command, "--help", drive=False).text
        t.contains(text, f"Usage: inlay {command} ")
        section = next((s for s in sections if f"`inlay {command}`" in s.split("\n")[0]), None)
        t.true(section is not None, f"docs/WINDOWS.md has a section `inlay {command}`")
        told = set(re.findall(r"^\| (`.*?`(?:, `.*?`)?) \| (.*) \|$", section, re.M))
        known = set(rows_of_help(text))
        t.true(known, f"options of {command}")
        t.eq(sorted(known - told), [], f"options of inlay {command} that the document doesn't have so")
        if "explain" not in section.split("\n")[0]:
            t.eq(sorted(told - known), [], f"rows of the document that inlay {command} doesn't have so")
    text = w.must(INLAY, "--help", drive=False).text
    t.eq(re.findall(r"^  ([a-z]+) {2,}", text.split("Commands:")[1].split("Options:")[0], re.M),
         ["attach", "detach", "status", "explain", "service", "ls", "cat", "cp"], "commands")


@test()
def test_setup_inf(t):
    """the INF is whole, and its check finds what it should"""
    for args in ((), ("--self-test",)):
        done = subprocess.run([os.path.join(HERE, "check-inf"), *args], capture_output=True, text=True)
        t.eq((done.returncode, done.stderr), (0, ""), f"check-inf {' '.join(args)}")


@test(timeout=120)
def test_bad_options(t):
    """what is wrong on a command line, or with a directory, is said in one line; nothing is left"""
    w = wine.Session(t)
    server = t.server()
    s = f"{server.address}/e"
    w.op("mkdir", DIR)
    w.op("put", r"I:\file", "x")
    for args, code, words in (
            (("attach", s), 2, ("operand missing",)),
            (("attach", s, DIR, "more"), 2, ("too many operands",)),
            (("attach", "--user", "me", s, DIR), 2, ("not UID:GID",)),
            (("attach", "--user", "1:4294967295", s, DIR), 2, ("not UID:GID",)),
            (("attach", "--timeout", "x", s, DIR), 2, ("--timeout x",)),
            (("attach", "--rule", "lokal x", s, DIR), 2, ("--rule lokal x",)),
            (("attach", "--rules-file", r"Z:\nothing\here", s, DIR), 2, ("--rules-file",)),
            (("attach", "--connections", "65", s, DIR), 2, ("--connections 65",)),
            (("attach", "--frob", s, DIR), 2, ("--frob",)),
            (("attach", "-f", "--persistent", s, DIR), 2, ("--persistent",)),
            (("attach", "-f", f"{s}/path", DIR), 2, ("only a whole export",)),
            (("attach", "-f", "no-export", DIR), 2, ("SERVER[:PORT]/EXPORT",)),
            (("attach", "-f", s, r"I:\missing"), 1, ("no such directory", "missing")),
            (("attach", "-f", s, r"I:\file"), 1, ("directory",)),
            (("attach", "-f", s, "I:\\"), 1, ("a whole volume",)),
            (("attach", "-f", f"{server.address}/other", DIR), 1, ("no such export",)),
            (("attach", "-f", f"127.0.0.1:{t.free_port()}/e", DIR), 1, ("refused",)),
            (("attach", "-f", "10.99.99.99/e", DIR), 1, ("--insecure",)),
            (("attach", s, DIR), 1, ("the service does not run",)),
            (("detach", DIR), 1, ("not attached",)),
            (("detach", r"I:\missing"), 1, ("no such directory",)),
            (("status", DIR), 1, ("not attached",)),
            (("explain", DIR + r"\x"), 1, ("not in an attached directory",)),
            (("service", "frob"), 2, ("frob",)),
            (("service",), 2, ("operand missing",)),
            (("service", "start"), 1, ("not installed",)),
            (("service", "stop"), 1, ("not installed",)),
            (("service", "remove"), 1, ("not installed",))):
        refused(t, w, code, *words, args=args)
    t.eq(listed(w), [], "left in the directory")
    t.eq(attachments(w), [], "attachments")


@test(timeout=120)
def test_status_and_explain(t):
    """status has the members that it has on Linux, and counts; explain tells side and reason, also as JSON"""
    behind, server, w = t.export(), t.server(), wine.Session(t)
    t.file(f"{behind}/remote.txt", "remote")
    os.mkdir(f"{behind}/both")
    w.op("mkdir", DIR)
    w.op("put", DIR + r"\mine.txt", "mine")
    w.op("mkdir", DIR + r"\both")
    w.op("mkdir", DIR + r"\here")
    w.attach(server, DIR, "--rule", "local *.tmp", "--rule", "remote /forced/")
    native = t.attach(server)
    members = set(native.status())
    w.op("cat", DIR + r"\remote.txt")
    one = attachments(w, DIR)[0]
    t.eq(sorted(set(one) ^ members), [], "members that only one of the hosts has")
    t.eq((one["dir"], one["health"], one["transport"], one["state"]), (DIR, "healthy", "inlay.sys", "attached"), "facts")
    t.true(any(op["name"] == "read" and op["remote"]["bytes"] == 6 for op in one["operations"]), f"a read of 6 bytes: {one['operations']}")
    text = w.must(INLAY, "status").text
    t.contains(text, "not guarded: on Windows", "why nobody takes over")
    for words in (DIR, "healthy for", "inlay.sys", server.address):
        t.contains(text, words)
    told = w.must(INLAY, "explain", *(DIR + "\\" + n for n in ("mine.txt", "remote.txt", "new", "x.tmp", r"forced\y", "both", ""))).lines
    t.eq([line.split()[0] for line in told if line], ["local", "remote", "remote", "local", "remote", "local", "local"], "sides")
    t.contains(told[3], "rule 1: local *.tmp")
    t.contains(told[5], "both sides")
    for name, side in ((r"here\new", "local"), (r"both\new", "remote"), (r"absent\new", "remote")):
        t.eq(w.must(INLAY, "explain", DIR + "\\" + name).text.split()[0], side, f"explain of {name}")
        if name.startswith("absent"):
            continue
        w.op("put", DIR + "\\" + name, "new")
        t.eq("remote" if os.path.exists(f"{behind}/{name.replace(chr(92), '/')}") else "local", side, f"where {name} is made")
    row = json.loads(w.must(INLAY, "explain", "--json", DIR + r"\x.tmp").text)
    t.eq((row["path"], row["side"], row["merged"]), (DIR + r"\x.tmp", "local", False), "as JSON")
    refused(t, w, 1, "attached already", args=("attach", "-f", f"{server.address}/e", DIR))
    refused(t, w, 1, "within an attached directory", args=("attach", "-f", f"{server.address}/e", DIR + r"\both"))
    w.detach(DIR)
    t.eq(listed(w), ["both", "here", "mine.txt"], "after detach")
    t.eq(w.op("cat", DIR + r"\mine.txt"), "mine", "the local file")


@test(timeout=120)
def test_detach_leaves(t):
    """detach removes placeholders of all kinds, and only those: local files in remote directories stay, with these"""
    behind, server, w = t.export(), t.server(), wine.Session(t)
    for name in ("d/deep/er/f", "d/read-only", "d/umlaut ä €", "d/with:colon", "d/UPPER/x", "other/g"):
        os.makedirs(os.path.dirname(f"{behind}/{name}"), exist_ok=True)
        with open(f"{behind}/{name}", "w") as f:
            f.write(name)
    os.chmod(f"{behind}/d/read-only", 0o444)
    w.op("mkdir", DIR)
    before = w.op("stat", DIR)
    w.attach(server, DIR, "--rule", "local *.tmp")
    for folder in ("", r"\d", r"\d\deep", r"\d\deep\er", r"\d\UPPER", r"\other"):
        t.true(listed(w, DIR + folder + r"\*"), f"a listing of {folder}")
    w.op("put", DIR + r"\d\deep\mine.tmp", "mine")
    w.op("put", DIR + r"\top.tmp", "top")
    w.detach(DIR)
    found = sorted(line for line in w.cmd(rf"dir /b /s {DIR}").text.splitlines() if line)
    t.eq(found, [DIR + n for n in (r"\d", r"\d\deep", r"\d\deep\mine.tmp", r"\top.tmp")], "after detach")
    t.eq(w.op("cat", DIR + r"\d\deep\mine.tmp"), "mine", "the local file")
    t.eq(w.op("stat", DIR), before, "times and attributes of the directory")
    w.op("put", DIR + r"\d\deep\another", "x")
    t.true(not os.path.exists(f"{behind}/d/deep/another"), "the directory is local now")
    w.attach(server, DIR)
    t.contains(w.must(INLAY, "explain", DIR + r"\d\deep").text, "both sides")
    t.eq(w.op("cat", DIR + r"\d\deep\er\f"), "d/deep/er/f", "attached again")
    w.detach(DIR)


@test(timeout=120)
def test_detach_busy(t):
    """detach waits for open files, says how many there are, leaves all as it was; succeeds once they are closed"""
    behind, server, w = t.export(), t.server(), wine.Session(t)
    t.file(f"{behind}/f", "held")
    running = w.attach(server, DIR)
    holder = w.begin(r"C:\fileop.exe", "hold", DIR + r"\f", "60000")
    wait_for("a file is open", lambda: attachments(w, DIR)[0]["files"] == 1, 20)
    done = w.run(INLAY, "detach", "--timeout", "1", DIR)
    t.eq(done.code, 1, "exit code")
    t.contains(done.text, "1 of its files")
    t.contains(done.text, "still in use")
    t.eq(w.op("cat", DIR + r"\f"), "held", "it goes on working")
    t.true(running.proc.poll() is None, "the attachment lives")
    detach = w.begin(INLAY, "detach", "--timeout", "60", DIR)
    wine.pause(1)
    t.true(detach.proc.poll() is None, "detach waits")
    w.kill("fileop.exe")
    holder.end(20)
    t.eq(detach.end(30).code, 0, "detach afterwards")
    t.eq(running.end(30).code, 0, "the attachment's exit code")
    t.eq(listed(w), [], "the directory")


@test(timeout=120)
def test_detach_force(t):
    """--force while a program has a file open: done at once, the program gets errors; the placeholder it holds goes later"""
    behind, server, w = t.export(), t.server(), wine.Session(t)
    t.file(f"{behind}/f", "held")
    t.file(f"{behind}/g", "free")
    running = w.attach(server, DIR)
    holder = w.begin(r"C:\fileop.exe", "hold", DIR + r"\f", "60000")
    wait_for("a file is open", lambda: attachments(w, DIR)[0]["files"] == 1, 20)
    begin = time.monotonic()
    w.must(INLAY, "detach", "--force", DIR)
    t.true(time.monotonic() - begin < 15, "in time")
    running.end(30)
    t.eq(attachments(w), [], "attachments")
    t.true(set(listed(w)) <= {"f"}, f"left: {listed(w)}")
    w.kill("fileop.exe")
    holder.end(20)
    w.run(INLAY, "detach", "--force", DIR)
    t.eq(listed(w), [], "in the end")
    t.eq(open(f"{behind}/f").read(), "held", "on the server")


@test(timeout=180)
def test_leftover(t):
    """what a killed attachment leaves: seen as such, removed by detach, taken over by the same export, cleared for another one"""
    behind, server, w = t.export(), t.server(), wine.Session(t)
    t.file(f"{t.dir('export/d')}/f", "content")
    w.op("mkdir", DIR)
    w.op("put", DIR + r"\mine.txt", "mine")

    def kill():
        listed(w)
        listed(w, DIR + r"\d\*")
        w.kill("inlay.exe")
        wait_for("it is gone", lambda: not w.pids("inlay.exe"), 20)

    w.attach(server, DIR)
    kill()
    t.eq(attachments(w), [], "status after the kill")
    t.eq(listed(w), ["d", "mine.txt"], "left")
    t.eq(w.op_error("cat", DIR + r"\d\f"), wine.OFFLINE, "data of what is left")
    done = w.must(INLAY, "detach", DIR)
    t.contains(done.text, "its process is gone")
    t.eq(listed(w), ["mine.txt"], "after detach")
    refused(t, w, 1, "not attached", args=("detach", DIR))
    w.attach(server, DIR)
    kill()
    w.attach(server, DIR)
    t.eq(w.op("cat", DIR + r"\d\f"), "content", "taken over")
    kill()
    os.rename(f"{behind}/d", f"{t.dir('away')}/d")
    w.attach(t.server({"other": behind}), DIR, export="other")
    t.eq(listed(w), ["mine.txt"], "cleared for another export")
    w.detach(DIR)
    t.eq(listed(w), ["mine.txt"], "in the end")
    t.eq(w.op("cat", DIR + r"\mine.txt"), "mine", "the local file")


@test(timeout=120)
def test_service_life(t):
    """installed, started, stopped, removed, each with what it says when it was done before; its log; its events' source"""
    w = wine.Session(t, filter=False)

    def inlay(*args):
        return w.run(INLAY, *args, drive=False)
    log = os.path.join(w.prefix, "drive_c", "service.log")
    done = inlay("service", "install", "--manual", "--log-file", r"C:\service.log")
    t.eq((done.code, done.text), (0, ""), "install")
    t.undo.append(lambda: w.open and inlay("service", "remove"))
    t.contains(inlay("service", "install").text, "installed already")
    t.eq(inlay("service", "start").code, 0, "start")
    t.eq(inlay("service", "start").code, 0, "start again")
    done = inlay("attach", "127.0.0.1:1/e", r"C:\windows")
    t.eq(done.code, 1, "attach by a service without a driver")
    t.contains(done.text, "connection refused")
    done = inlay("service", "run", "-f")
    t.eq(done.code, 1, "a second one")
    t.contains(done.text, "another service runs")
    t.eq(inlay("service", "stop").code, 0, "stop")
    t.eq(inlay("service", "stop").code, 0, "stop again")
    t.contains(inlay("attach", "127.0.0.1:1/e", r"C:\windows").text, "the service does not run")
    key = r"HKLM\SYSTEM\CurrentControlSet\Services\EventLog\Application\Inlay"
    t.contains(w.run("reg", "query", key, drive=False).text, "inlay.exe")
    t.eq(inlay("service", "remove").code, 0, "remove")
    t.contains(inlay("service", "remove").text, "not installed")
    t.true(w.run("reg", "query", key, drive=False).code != 0, "the events' source is gone")
    text = open(log).read()
    for words in ("started, version", "stopped"):
        t.contains(text, words)
    os.unlink(log)


@test(timeout=240)
def test_service_attaches(t):
    """the service attaches, starts a killed process again, remembers what it should, detaches at its end, attaches that anew"""
    behind, server, w = t.export(), t.server(), wine.Session(t)
    t.file(f"{behind}/f", "content")
    other = r"I:\other"
    w.op("mkdir", DIR)
    w.op("mkdir", other)
    source, user = f"{server.address}/e", ("--user", f"{os.geteuid()}:{os.getegid()}")

    def begin():
        service = w.begin(INLAY, "service", "run", "-f", "--log-file", "Z:" + t.path("service.log").replace("/", "\\"), name="service")
        wait_for("the service listens", lambda: "started" in open(t.path("service.log")).read() if os.path.exists(t.path("service.log"))
                 else False, 20)
        return service

    def pid_of(directory):
        return next((a["pid"] for a in attachments(w) if a["dir"] == directory), None)

    service = begin()
    # Words that a command line must quote: they pass through two of them.
    w.must(INLAY, "attach", *user, "--persistent", "--rule", 'local a" b\\\\', "--rule", "local *.x y", source, DIR)
    w.must(INLAY, "attach", *user, source, other)
    t.eq(sorted(a["dir"] for a in attachments(w)), [DIR, other], "attached")
    t.eq(w.op("cat", DIR + r"\f"), "content", "a file")
    t.contains(w.must(INLAY, "explain", DIR + "\\a.x y").text, "rule 2: local *.x y")
    refused(t, w, 1, "attached already", args=("attach", *user, source, DIR))
    w.op("mkdir", r"I:\third")
    refused(t, w, 1, "no such export", args=("attach", *user, f"{server.address}/nothing", r"I:\third"))
    before = pid_of(DIR)
    w.must("taskkill", "/f", "/pid", str(before), drive=False)
    wait_for("it is attached again", lambda: pid_of(DIR) not in (None, before), 30)
    t.eq(w.op("cat", DIR + r"\f"), "content", "a file, after its process was killed")
    t.contains(open(t.path("service.log")).read(), "attaching again")
    # The end of the service: Wine has no Ctrl-C for it here, its process's end leaves the attachments.
    w.must(INLAY, "detach", other)
    t.eq([a["dir"] for a in attachments(w)], [DIR], "one is detached")
    service.proc.terminate()
    w.kill("inlay.exe")
    wait_for("all are gone", lambda: not w.pids("inlay.exe"), 20)
    os.unlink(t.path("service.log"))
    begin()
    wait_for("what was remembered is attached", lambda: pid_of(DIR) is not None, 30)
    t.eq(w.op("cat", DIR + r"\f"), "content", "a file, by the new service")
    w.must(INLAY, "detach", DIR)
    t.eq(listed(w), [], "after detach")
    w.kill("inlay.exe")
    os.unlink(t.path("service.log"))
    begin()
    wine.pause(2)
    t.eq(attachments(w), [], "it was forgotten")
