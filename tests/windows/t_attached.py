# End to end: Win32 programs on the simulated drive, inlay.sys, the ring, inlay.exe, TCP, the native inlayd and its file system.
# SPDX-License-Identifier: Apache-2.0
import contextlib
import hashlib
import os
import random
import sqlite3

import wine
from harness import Failed, Skip, test

DIR = "I:\\inlay"


def setup(t, *args, export=None):
    """(session, server, the export's folder)"""
    behind = export or t.export()
    server = t.server()
    w = wine.Session(t)
    w.attach(server, DIR, *args)
    return w, server, behind


def put(behind, name, content=b"", mode=0o644):
    path = os.path.join(behind, name)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as f:
        f.write(content)
    os.chmod(path, mode)
    return path


def get(behind, name):
    with open(os.path.join(behind, name), "rb") as f:
        return f.read()


def compare_manifest(t, path, behind):
    """What a program says it left, against what lies on the server: names, sizes, content, and nothing else."""
    wanted = {}
    for line in open(path, encoding="latin-1").read().splitlines():
        name, size, value = line.rsplit(" ", 2)
        wanted[name.replace("\\", "/")] = (int(size), value)
    seen = {}
    for folder, _, files in os.walk(behind):
        for name in files:
            full = os.path.join(folder, name)
            data = open(full, "rb").read()
            seen[os.path.relpath(full, behind)] = (len(data), wine.hash_of(data))
    t.true(wanted, "the manifest has lines")
    t.eq(sorted(seen), sorted(wanted), "names on the server")
    wrong = [name for name in wanted if seen[name] != wanted[name]]
    t.eq(wrong, [], "files whose content on the server is another")


def prefix_path(name):
    return os.path.join(os.environ["INLAY_WINE_PREFIX"], "drive_c", name)


def placeholders_of(w):
    return [line.rsplit(" ", 1)[0] for line in w.op("ls", DIR + r"\*").splitlines() if not line.endswith(" dir")]


@test(timeout=120)
def test_attach_and_detach(t):
    """a server's files appear, are read and written, and are gone from the directory after detach"""
    behind = t.export()
    put(behind, "hello.txt", b"from the server\n")
    put(behind, "sub/deep.txt", b"deep\n")
    w, _, _ = setup(t, export=behind)
    t.eq(w.op("cat", DIR + r"\hello.txt"), "from the server\n", "content")
    t.eq(w.op("cat", DIR + r"\sub\deep.txt"), "deep\n", "content below")
    w.op("put", DIR + r"\new.txt", "from Windows")
    t.eq(get(behind, "new.txt"), b"from Windows", "on the server")
    names = {line.split(" ")[0] for line in w.op("ls", DIR + r"\*").splitlines()} - {".", ".."}
    t.eq(names, {"hello.txt", "new.txt", "sub"}, "listing")
    w.detach(DIR)
    t.eq(placeholders_of(w), [], "what detach leaves in the directory")
    t.eq(sorted(os.listdir(behind)), ["hello.txt", "new.txt", "sub"], "the server's files after detach")


@test(timeout=120)
def test_local_files_stay_local(t):
    """what lies in the directory before is local, is seen beside the server's, is untouched by it and by detach"""
    behind = t.export()
    put(behind, "remote.txt", b"r")
    put(behind, "both.txt", b"the server's")
    server = t.server()
    w = wine.Session(t)
    w.op("mkdir", DIR)
    w.op("put", DIR + r"\local.txt", "l")
    w.op("put", DIR + r"\both.txt", "the local one")
    w.attach(server, DIR)
    t.eq(w.op("cat", DIR + r"\both.txt"), "the local one", "a name on both sides")
    names = {line.split(" ")[0] for line in w.op("ls", DIR + r"\*").splitlines()} - {".", ".."}
    t.eq(names, {"remote.txt", "local.txt", "both.txt"}, "listing")
    w.op("append", DIR + r"\local.txt", "more")
    t.true(not os.path.exists(os.path.join(behind, "local.txt")), "a local file stays away from the server")
    t.eq(get(behind, "both.txt"), b"the server's", "the server's own")
    w.detach(DIR)
    t.eq(sorted(placeholders_of(w)), ["both.txt", "local.txt"], "after detach")
    t.eq(w.op("cat", DIR + r"\local.txt"), "lmore", "after detach")


@test(timeout=120)
def test_command_interpreter(t):
    """cmd: dir, type, copy, ren, del, redirection, and a child's child"""
    w, _, behind = setup(t)
    put(behind, "in.txt", b"one\r\ntwo\r\n")
    done = w.cmd(rf"type {DIR}\in.txt")
    t.eq((done.code, done.text.split()), (0, ["one", "two"]), "type")
    t.eq(w.cmd(rf"copy {DIR}\in.txt {DIR}\copy.txt").code, 0, "copy")
    t.eq(get(behind, "copy.txt"), b"one\r\ntwo\r\n", "the copy on the server")
    t.eq(w.cmd(rf"echo word> {DIR}\echo.txt && cmd /c type {DIR}\echo.txt").text.split(), ["word"], "redirection")
    t.eq(get(behind, "echo.txt").split(), [b"word"], "redirection on the server")
    t.eq(w.cmd(rf"ren {DIR}\echo.txt renamed.txt").code, 0, "ren")
    t.eq(w.cmd(rf"del {DIR}\copy.txt").code, 0, "del")
    t.eq(w.cmd(rf"mkdir {DIR}\d && echo x> {DIR}\d\x && rmdir /s /q {DIR}\d").code, 0, "mkdir and rmdir")
    t.eq(sorted(os.listdir(behind)), ["in.txt", "renamed.txt"], "on the server")
    t.contains(w.cmd(rf"dir {DIR}").text, "renamed.txt", "dir")


@test(timeout=300)
def test_random_operations(t):
    """thousands of random operations by several threads, against a model; then the server's content against the same"""
    w, _, behind = setup(t)
    for seed in ("11", "12") if t.quick else ("11", "12", "13", "14", "15"):
        w.op("mkdir", rf"{DIR}\seed {seed}")
        w.must(r"C:\exercise.exe", rf"{DIR}\seed {seed}", "3", "400" if t.quick else "1000", seed, r"C:\manifest", timeout=280)
        compare_manifest(t, prefix_path("manifest"), os.path.join(behind, f"seed {seed}"))
        w.expect_clean()


@test()
def test_locked_ranges(t):
    """a locked range is refused to others that lock; a known limit: reads and writes of those who take no lock pass on remote files"""
    behind = t.export()
    put(behind, "f", b"x" * 200)
    w, _, _ = setup(t, export=behind)
    w.op("put", r"I:\plain", "x" * 200)
    t.eq(w.op("locks", r"I:\plain").strip(), "read 33 write 33 lock 33 beyond 0 after 0", "on the simulated NTFS")
    t.eq(w.op("locks", DIR + r"\f").strip(), "read 0 write 0 lock 33 beyond 0 after 0", "on a remote file")


@test(timeout=90)
def test_completion_port(t):
    """overlapped writes and reads of a remote file come back through a completion port, each once"""
    w, _, behind = setup(t)
    t.eq(w.op("port", DIR + r"\f").strip(), wine.hash_of(get(behind, "f")), "content on the server")


@test(timeout=90)
def test_mapped_view(t):
    """views and reads of a remote file agree, and what was written through a view reaches the server"""
    behind = t.export()
    data = bytearray(os.urandom(20000))
    put(behind, "f", bytes(data))
    w, _, _ = setup(t, export=behind)
    w.op("map", DIR + r"\f")
    after = get(behind, "f")
    t.eq(len(after), 20000, "size")
    t.eq(after[100:107], b"by view", "written through the view")
    t.eq(after[:100] + after[107:4096] + after[12288:], bytes(data[:100] + data[107:4096] + data[12288:]), "the rest")
    t.true(after[4096:8192] != data[4096:8192], "a page written through the view")


@test(timeout=180)
def test_sqlite(t):
    """sqlite3's shell: transactions, rollback, index, vacuum, two at once on one database; then sqlite on the server's file"""
    if not os.path.exists(prefix_path("sqlite3.exe")):
        raise Skip("optional: sqlite3 for Windows could not be built from Debian's source")
    w, _, behind = setup(t)
    db = "I:/inlay/t.db"
    script = ("PRAGMA journal_mode=delete; CREATE TABLE t(a INTEGER PRIMARY KEY, b TEXT, c BLOB);"
              "BEGIN; WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<3000)"
              " INSERT INTO t SELECT i, 'text '||i, randomblob(i%500) FROM n; COMMIT; CREATE INDEX x ON t(b);"
              "BEGIN; DELETE FROM t; ROLLBACK; DELETE FROM t WHERE a%3=0; UPDATE t SET b=b||'!' WHERE a%5=0; VACUUM;"
              "SELECT count(*), sum(length(c)) FROM t; PRAGMA integrity_check;")
    done = w.must(r"C:\sqlite3.exe", db, script, timeout=120)
    wanted = f"2000|{sum(max(i % 500, 1) for i in range(1, 3001) if i % 3)}"
    t.eq(done.text.split(), ["delete", wanted, "ok"], "what the shell said")
    both = [w.begin(r"C:\sqlite3.exe", "-cmd", ".timeout 60000", db,
                    "".join(f"INSERT INTO t(b) VALUES('{who} {i}');" for i in range(10))) for who in ("one", "two")]
    for running in both:
        done = running.end(100)
        t.eq((done.code, done.text), (0, ""), "one of two at once")
    with contextlib.closing(sqlite3.connect(f"file:{behind}/t.db?mode=ro", uri=True)) as there:
        t.eq(there.execute("PRAGMA integrity_check").fetchall(), [("ok",)], "integrity on the server")
        t.eq(there.execute("SELECT count(*) FROM t").fetchone()[0], 2020, "rows on the server")
    t.eq(sorted(os.listdir(behind)), ["t.db"], "no journal is left")


@test(timeout=300)
def test_large_listing(t):
    """10,000 entries: each shown once, with its size"""
    behind = t.export()
    os.mkdir(os.path.join(behind, "many"))
    for i in range(10000):
        put(behind, f"many/entry-{i:05}", b"x" * (i % 97))
    w, _, _ = setup(t, export=behind)
    seen = {}
    for line in w.op("ls", DIR + r"\many\*", timeout=250).splitlines():
        if not line.endswith(" dir"):
            name, size = line.rsplit(" ", 1)
            t.true(name not in seen, f"{name} is shown twice")
            seen[name] = int(size)
    t.eq(len(seen), 10000, "entries")
    t.eq([n for n, s in seen.items() if s != int(n[6:]) % 97], [], "wrong sizes")
    t.eq(len(w.op("ls", DIR + r"\many\entry-0001*", timeout=60).splitlines()), 10, "a pattern")


@test(timeout=300)
def test_disk_image(t):
    """a sparse image of 1 GiB, unbuffered and several requests at once; blocks and holes compared on the server"""
    w, _, behind = setup(t)
    size = 1 << 30
    w.must(r"C:\image.exe", DIR + r"\disk.img", str(size), "800" if t.quick else "4000", "5", r"C:\blocks", timeout=280)
    path = os.path.join(behind, "disk.img")
    t.eq(os.stat(path).st_size, size, "size on the server")
    t.true(os.stat(path).st_blocks * 512 < size // 4, "holes on the server")
    written = dict(line.split() for line in open(prefix_path("blocks")))
    t.true(written, "blocks were written")
    with open(path, "rb") as f:
        for block, value in written.items():
            f.seek(int(block) * 4096)
            if wine.hash_of(f.read(4096)) != value:
                raise Failed(f"block {block} on the server is another")
        pick = random.Random(1)
        for block in (pick.randrange(size // 4096) for _ in range(2000)):
            if str(block) not in written:
                f.seek(block * 4096)
                t.true(not any(f.read(4096)), f"block {block} was never written and is not zero")


@test(timeout=120)
def test_names(t):
    """case is kept and does not matter; letters beyond ASCII; two server names that differ in case alone; long paths"""
    behind = t.export()
    put(behind, "MixedCase.Txt", b"m")
    put(behind, "häuser/Straße.txt", b"umlauts")
    put(behind, "Two", b"first")
    put(behind, "two", b"second")
    put(behind, "with:colon", b"c")
    w, _, _ = setup(t, export=behind)
    t.eq(w.op("cat", DIR + r"\mixedcase.TXT"), "m", "another case")
    t.contains(w.op("ls", DIR + r"\mixed*"), "MixedCase.Txt 1", "case as on the server")
    t.eq(w.op("cat", DIR + r"\two"), "second", "the exact one of two")
    t.eq(w.op("cat", DIR + r"\Two"), "first", "the exact one of two")
    deep = DIR + "".join(rf"\{'d' * 40}{i}" for i in range(4))
    for i in range(1, 5):
        w.op("mkdir", "\\".join(deep.split("\\")[:2 + i]))
    w.op("put", deep + r"\file", "deep")
    t.eq(get(behind, "/".join(deep.split("\\")[2:]) + "/file"), b"deep", "a deep path")


@test(timeout=120)
def test_attributes_and_times(t):
    """read-only is the mode's; modification times both ways; index numbers stay over a rename"""
    behind = t.export()
    path = put(behind, "f", b"12345")
    os.utime(path, (1500000000, 1500000000))
    put(behind, "ro", b"x", 0o444)
    w, _, _ = setup(t, export=behind)
    t.contains(w.op("stat", DIR + r"\f"), "size 5", "stat")
    t.contains(w.op("stat", DIR + r"\f"), "written 1500000000", "stat")
    t.true(int(w.op("stat", DIR + r"\ro").split()[3], 16) & 1, "a file without w is read-only")
    t.eq(w.op_error("append", DIR + r"\ro", "y"), 5, "writing to it")
    w.op("touch", DIR + r"\f", "1600000000")
    t.eq(int(os.stat(path).st_mtime), 1600000000, "time set from Windows")
    w.op("attr", DIR + r"\f", "1")
    t.eq(os.stat(path).st_mode & 0o222, 0, "mode after read-only was set")
    w.op("attr", DIR + r"\f", "80")
    t.true(os.stat(path).st_mode & 0o200, "mode after it was taken back")
    before = w.op("info", DIR + r"\f").split()[-1]
    w.op("mv", DIR + r"\f", DIR + r"\g")
    t.eq(w.op("info", DIR + r"\g").split()[-1], before, "index after a rename")


@test(timeout=120)
def test_rename_across(t):
    """a rename between local and remote is refused as another device, and programs that may copy do; hard links are refused"""
    server = t.server({"e": f"{t.export()},identity=client"})
    w = wine.Session(t)
    w.op("mkdir", DIR)
    w.op("put", DIR + r"\local.txt", "local")
    w.attach(server, DIR, "--rule", "local *.txt", "--rule", "remote *.dat")
    w.op("put", DIR + r"\remote.bin", "remote")
    t.eq(w.op_error("mv", DIR + r"\local.txt", DIR + r"\remote.bin"), 17, "rename onto a remote file")
    t.eq(w.op_error("mv", DIR + r"\local.txt", DIR + r"\x.dat"), 17, "rename to a name that a rule makes remote")
    w.op("mv", DIR + r"\local.txt", DIR + r"\moved.bin")
    t.eq(w.op("cat", DIR + r"\moved.bin"), "local", "a local file keeps its side under a name that the server has not")
    t.eq(w.op_error("mv", DIR + r"\remote.bin", r"I:\outside"), 17, "rename out of the directory")
    w.op("mvcopy", DIR + r"\remote.bin", r"I:\outside")
    t.eq(w.op("cat", r"I:\outside"), "remote", "moved by copying")
    t.eq(os.listdir(t.export()), [], "the server's side afterwards")
    w.op("put", DIR + r"\again.bin", "x")
    t.true(w.op_error("link", DIR + r"\again.bin", DIR + r"\linked.bin") != 0, "a hard link of a remote file")


@test(timeout=120)
def test_rules(t):
    """--rule local and remote decide, and explain says so"""
    behind = t.export()
    server = t.server()
    w = wine.Session(t)
    w.attach(server, DIR, "--rule", "local *.tmp", "--rule", "local scratch/")
    w.op("put", DIR + r"\a.tmp", "x")
    w.op("put", DIR + r"\a.dat", "x")
    w.op("mkdir", DIR + r"\scratch")
    w.op("put", DIR + r"\scratch\inside", "x")
    t.eq(sorted(os.listdir(behind)), ["a.dat"], "on the server")
    t.contains(w.must(r"C:\inlay.exe", "explain", DIR + r"\a.tmp").text, "local", "explain")
    t.contains(w.must(r"C:\inlay.exe", "explain", DIR + r"\a.dat").text, "remote", "explain")


@test(timeout=180)
def test_two_clients(t):
    """a Windows client and a Linux attachment on the same files: each sees what the other has done, at once"""
    t.need_root("mounting")
    w, server, behind = setup(t)
    linux = t.attach(server).dir
    for i in range(8):
        w.op("put", rf"{DIR}\f", f"from Windows {i}")
        t.eq(open(f"{linux}/f").read(), f"from Windows {i}", "seen on Linux")
        with open(f"{linux}/f", "w") as f:
            f.write(f"from Linux, longer {i}")
        t.eq(w.op("cat", rf"{DIR}\f"), f"from Linux, longer {i}", "seen on Windows")
    holder = w.begin(r"C:\fileop.exe", "hold", rf"{DIR}\f", rf"{DIR}\go").until("held")
    with open(f"{linux}/f", "w") as f:
        f.write("through a handle that was open before")
    open(f"{linux}/go", "w").close()
    t.contains(holder.end().text, "through a handle that was open before", "an open handle")
    os.rename(f"{linux}/f", f"{linux}/g")
    t.eq(w.op_error("cat", rf"{DIR}\f"), 2, "renamed on Linux")
    t.eq(w.op("cat", rf"{DIR}\g"), "through a handle that was open before", "renamed on Linux")
    w.op("rm", rf"{DIR}\g")
    t.true(not os.path.exists(f"{linux}/g"), "removed on Windows")
    os.mkdir(f"{linux}/d")
    for name in ("a", "b", "c"):
        open(f"{linux}/d/{name}", "w").close()
    names = {line.split(" ")[0] for line in w.op("ls", rf"{DIR}\d\*").splitlines()} - {".", ".."}
    t.eq(names, {"a", "b", "c"}, "listing of what Linux made")


@test(timeout=240)
def test_two_clients_at_once(t):
    """both work in one tree at the same time, in folders of their own, and one appends to what the other reads"""
    t.need_root("mounting")
    w, server, behind = setup(t)
    linux = t.attach(server).dir
    w.op("mkdir", rf"{DIR}\win")
    running = w.begin(r"C:\exercise.exe", rf"{DIR}\win", "2", "300", "21", r"C:\manifest")
    rounds = 0
    while running.proc.poll() is None or rounds < 20:
        data = os.urandom(3000 + rounds)
        with open(f"{linux}/l{rounds % 7}", "wb") as f:
            f.write(data)
        t.eq(hashlib.sha256(get(behind, f"l{rounds % 7}")).digest(), hashlib.sha256(data).digest(), "Linux's file")
        for folder, _, files in os.walk(f"{linux}/win"):
            for name in files:
                try:
                    open(os.path.join(folder, name), "rb").read()
                except FileNotFoundError:
                    pass
        rounds += 1
        if rounds > 2000:
            break
    done = running.end(220)
    t.eq(done.code, 0, done.text[-800:])
    compare_manifest(t, prefix_path("manifest"), os.path.join(behind, "win"))


@test(timeout=90)
def test_notification(t):
    """a program that watches a directory hears of what is made in it"""
    w, _, behind = setup(t)
    w.op("ls", DIR + r"\*")
    watcher = w.begin(r"C:\fileop.exe", "watch", DIR, "30000").until("watching")
    w.op("put", DIR + r"\made.txt", "x")
    t.contains(watcher.end().text, "made.txt", "what the watcher heard")


@test(timeout=90)
def test_free_space(t):
    """in the directory the server's free space is shown, beside it NTFS's"""
    w, _, behind = setup(t)
    here = os.statvfs(behind)
    size, free = map(int, w.op("df", DIR).split())
    t.eq(size, here.f_blocks * here.f_frsize, "size")
    t.true(abs(free - here.f_bavail * here.f_frsize) < 256 << 20, f"free space {free}")
    t.true(w.op("df", "I:\\").split() != [str(size), str(free)], "the drive's own is another")
