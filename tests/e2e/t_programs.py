# Real programs in the directory under test, each checked for its result.
# SPDX-License-Identifier: Apache-2.0
import glob
import os
import sqlite3
import subprocess

from harness import ROOT, Failed, Skip, manifest, test

PROGRAM = {
    "main.c": '#include "sum.h"\n#include <stdio.h>\nint main(void)\n{\n\tprintf("%d\\n", sum(40, 2));\n\treturn 0;\n}\n',
    "sum.c": '#include "sum.h"\nint sum(int a, int b)\n{\n\treturn a + b;\n}\n',
    "sum.h": "int sum(int a, int b);\n",
    "Makefile": "prog: main.o libsum.a\n\t$(CC) -o $@ $^\nlibsum.a: sum.o\n\t$(AR) rcs $@ $^\n%.o: %.c sum.h\n\t$(CC) -c -O1 -g -o $@ $<\n"
                "check: prog\n\ttest \"$$(./prog)\" = 42\nclean:\n\trm -f *.o *.a prog\n",
}


def git(t, *args, **options):
    return t.must("git", "-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "init.defaultBranch=main", *args,
                  env={"HOME": t.tmp, "GIT_CONFIG_NOSYSTEM": "1"}, **options)


def make_repository(t, path, commits=30):
    """A repository with some history: files, folders, links, deletions, renames."""
    os.mkdir(path)
    git(t, "init", "-q", path)
    for name, text in PROGRAM.items():
        t.file(f"{path}/{name}", text)
    for i in range(commits):
        os.makedirs(f"{path}/d{i % 7}/e{i % 3}", exist_ok=True)
        for k in range(6):
            t.file(f"{path}/d{i % 7}/e{i % 3}/f{k}.txt", f"commit {i} file {k}\n" * (i * k + 1))
        if i == 5:
            os.symlink("d1/e1", f"{path}/link")
        if i == 20:
            os.rename(f"{path}/d2", f"{path}/renamed")
        git(t, "add", "-A", cwd=path)
        git(t, "commit", "-q", "-m", f"commit {i}", cwd=path)


@test(subject=True, root=True, timeout=120)
def test_program_git(t):
    """git clone, status, branch, commit, gc, fsck; the clone equals its origin"""
    t.need("git")
    directory = t.subject()
    make_repository(t, t.path("origin"))
    git(t, "clone", "-q", "--no-hardlinks", t.path("origin"), f"{directory}/clone")
    clone = f"{directory}/clone"
    t.eq(git(t, "status", "--porcelain", cwd=clone).stdout, "", "status after clone")
    t.must("diff", "-r", "--no-dereference", "-x", ".git", t.path("origin"), clone)
    git(t, "checkout", "-q", "-b", "work", "HEAD~10", cwd=clone)
    t.file(f"{clone}/new.txt", "new")
    git(t, "add", "new.txt", cwd=clone)
    git(t, "commit", "-q", "-m", "work", cwd=clone)
    git(t, "rebase", "-q", "main", cwd=clone)
    git(t, "gc", "-q", cwd=clone)
    t.eq(git(t, "fsck", "--strict", "--no-dangling", cwd=clone).stderr, "", "fsck")
    t.eq(git(t, "rev-list", "--count", "HEAD", cwd=clone).stdout.strip(), "31", "commits")
    git(t, "clone", "-q", f"{directory}/clone", f"{directory}/second")  # hard links within
    t.eq(git(t, "rev-parse", "work", cwd=clone).stdout, git(t, "rev-parse", "HEAD", cwd=f"{directory}/second").stdout)
    t.eq(git(t, "status", "--porcelain", cwd=f"{directory}/second").stdout, "")


@test(subject=True, root=True, timeout=120)
def test_program_c_build(t):
    """a C project cloned into the directory, built with make -j2, run, touched and built again"""
    t.need("git", "gcc", "make")
    directory = t.subject()
    make_repository(t, t.path("origin"), 3)
    git(t, "clone", "-q", t.path("origin"), f"{directory}/p")
    project = f"{directory}/p"
    t.must("make", "-j2", "check", cwd=project)
    t.contains(t.must("make", "prog", cwd=project).stdout, "up to date", "second make")
    t.file(f"{project}/sum.c", PROGRAM["sum.c"].replace("a + b", "a + b + 1"))
    t.must("make", "-j2", "prog", cwd=project)
    t.eq(t.must(f"{project}/prog").stdout, "43\n", "rebuilt program")
    t.eq(t.must(f"{t.behind}/p/prog").stdout, "43\n", "the program on the server's side")
    t.must("make", "clean", cwd=project)
    t.eq(git(t, "status", "--porcelain", cwd=project).stdout, " M sum.c\n")


@test(subject=True, root=True)
def test_program_compile_link_run(t):
    """gcc compiles, links and runs; a shared library; a program that writes its own directory"""
    t.need("gcc")
    directory = t.subject()
    for name, text in PROGRAM.items():
        t.file(f"{directory}/{name}", text)
    t.shell("gcc -shared -fPIC -o libsum.so sum.c; gcc -flto -O2 -o prog main.c -L. -lsum -Wl,-rpath,'$ORIGIN'; ./prog > out;"
            "test $(cat out) = 42; gcc -static -o static main.c sum.c; test $(./static) = 42; strip static; ./static;"
            "cp prog prog2; ./prog2 & ./prog & wait; rm -f prog; test ! -e prog", cwd=directory)


def sqlite_writer(t, path, who, rounds, mode):
    script = ("import sqlite3,sys\nc = sqlite3.connect(sys.argv[1], timeout=60, isolation_level=None)\n"
              "for i in range(int(sys.argv[3])):\n    c.execute('begin immediate')\n"
              "    n = c.execute('select max(n) from t').fetchone()[0] or 0\n"
              "    c.execute('insert into t values (?, ?, ?)', (n + 1, sys.argv[2], 'x' * (i * 131 % 3000)))\n"
              "    if i % 10 == 9:\n        c.execute('rollback')\n    else:\n        c.execute('commit')\nc.close()\n")
    return t.start("python3", "-c", script, path, who, str(rounds), stderr=subprocess.PIPE)


def sqlite_check(t, mode, *directories):
    """Two writers; every committed row is there, once, in order."""
    path, rounds = f"{directories[0]}/test.db", 40 if t.quick else 200
    c = sqlite3.connect(path)
    got = c.execute(f"pragma journal_mode={mode}").fetchone()[0]
    if got != mode:
        raise Failed(f"journal_mode is {got}, not {mode}")
    c.execute("create table t (n integer primary key, who text, data blob)")
    c.commit()
    c.close()
    procs = [sqlite_writer(t, f"{d}/test.db", f"w{k}", rounds, mode) for k, d in enumerate((directories * 2)[:2])]
    for p in procs:
        _, err = p.communicate(timeout=150)
        t.eq((p.returncode, err[-400:]), (0, b""), "a writer")
    c = sqlite3.connect(f"{directories[-1]}/test.db")
    t.eq(c.execute("pragma integrity_check").fetchall(), [("ok",)], "integrity_check")
    rows = c.execute("select n, who from t order by n").fetchall()
    wanted = rounds * 9 // 10
    t.eq([n for n, _ in rows], list(range(1, 2 * wanted + 1)), "rows")
    t.eq([sum(who == w for _, who in rows) for w in ("w0", "w1")], [wanted, wanted], "rows of each writer")
    c.close()
    local = sqlite3.connect(f"{t.behind}/test.db")
    t.eq(local.execute("select count(*) from t").fetchone()[0], 2 * wanted, "rows seen on the server's side")
    local.close()


@test(subject=True, root=True, timeout=160)
def test_program_sqlite_delete(t):
    """SQLite with a rollback journal, two writer processes, integrity_check"""
    sqlite_check(t, "delete", t.subject())


@test(subject=True, root=True, timeout=160)
def test_program_sqlite_wal(t):
    """SQLite with a write-ahead log (shared mapped memory), two writer processes, integrity_check"""
    sqlite_check(t, "wal", t.subject())


@test(subject=True, root=True, timeout=160)
def test_program_sqlite_two_clients(t):
    """SQLite with a rollback journal, one writer on each of two clients"""
    sqlite_check(t, "delete", *t.two_subjects())


def dump(pg):
    """All data as text, without the random words that newer versions put in."""
    return [line for line in pg("pg_dump", "--no-comments").splitlines() if not line.startswith(("\\restrict", "\\unrestrict"))]


@test(subject=True, root=True, timeout=200)
def test_program_postgresql(t):
    """PostgreSQL: initdb, pgbench, a crash and recovery; what was committed is there, pg_dump says the same twice"""
    found = sorted(glob.glob("/usr/lib/postgresql/*/bin/initdb"))
    if not found:
        raise Skip("postgresql is not installed")
    binaries = os.path.dirname(found[-1])
    t.named_user()
    directory = t.subject()
    os.mkdir(f"{directory}/pg")
    os.chown(f"{directory}/pg", 12345, 12345)
    sockets = t.dir("sockets", 0o777)
    data, env = f"{directory}/pg/data", {"PGHOST": sockets, "PGUSER": "bench", "PGDATABASE": "postgres", "HOME": sockets}

    def pg(program, *args, **options):
        return t.must(f"{binaries}/{program}", *args, user=12345, env=env, timeout=120, cwd=sockets, **options).stdout

    def start():
        pg("pg_ctl", "-D", data, "-w", "-t", "60", "-l", f"{sockets}/log", "-o",
           f"-k {sockets} -c listen_addresses= -c shared_buffers=16MB -c max_connections=20", "start")

    pg("initdb", "-D", data, "-U", "bench", "-A", "trust", "--no-instructions")
    start()
    try:
        pg("pgbench", "-q", "-i", "-s", "2")
        pg("pgbench", "-c", "4", "-j", "2", "-n", "-t", "50" if t.quick else "500")
        history = int(pg("psql", "-Atc", "select count(*) from pgbench_history"))
        t.eq(history, 200 if t.quick else 2000, "transactions in the history")
        sums = "select (select sum(abalance) from pgbench_accounts) = (select sum(bbalance) from pgbench_branches)"
        t.eq(pg("psql", "-Atc", sums), "t\n", "sums agree")
        pg("psql", "-qAtc", "checkpoint", "-c", "create table late as select generate_series(1, 1000) as n")
        before = dump(pg)
        pg("pg_ctl", "-D", data, "-m", "immediate", "stop")
        start()
        t.eq(dump(pg) == before, True, "pg_dump after crash recovery equals the one before")
        t.eq(pg("psql", "-Atc", "select sum(n) from late"), "500500\n")
    finally:
        t.run(f"{binaries}/pg_ctl", "-D", data, "-m", "fast", "stop", user=12345, env=env, timeout=60)
    t.contains(t.must(f"{binaries}/pg_controldata", data).stdout, "shut down", "state of the cluster")


@test(subject=True, root=True, timeout=120)
def test_program_qemu_img(t):
    """qemu-img creates, converts, resizes, snapshots and checks; qemu-io writes patterns and reads them back"""
    t.need("qemu-img", "qemu-io")
    directory = t.subject()
    t.shell("""
        qemu-img create -q -f raw disk.raw 64M
        qemu-io -f raw -c 'write -P 0xaa 0 1M' -c 'write -P 0xbb 32M 64k' -c 'write -P 0xcc 67108352 512' -c flush disk.raw
        qemu-io -f raw -c 'read -P 0xaa 0 1M' -c 'read -P 0 1M 1M' -c 'read -P 0xbb 32M 64k' -c 'read -P 0xcc 67108352 512' disk.raw
        qemu-io -f raw -t none -c 'write -P 0x11 8M 4M' -c 'read -P 0x11 8M 4M' -c 'aio_write -P 0x22 20M 64k' -c 'aio_write -P 0x23 21M 64k' -c aio_flush disk.raw
        qemu-img convert -f raw -O qcow2 disk.raw disk.qcow2
        qemu-img compare disk.raw disk.qcow2
        qemu-img check -q disk.qcow2
        qemu-img snapshot -c first disk.qcow2
        qemu-io -c 'write -P 0x55 0 2M' -c 'discard 32M 1M' -c 'write -z 40M 1M' disk.qcow2
        qemu-img create -q -f qcow2 -b disk.qcow2 -F qcow2 top.qcow2
        qemu-io -c 'read -P 0x55 0 2M' -c 'write -P 0x66 1M 1M' top.qcow2
        qemu-img commit -q top.qcow2
        qemu-io -c 'read -P 0x66 1M 1M' -c 'read -P 0x55 0 1M' disk.qcow2
        qemu-img snapshot -a first disk.qcow2
        qemu-img compare disk.raw disk.qcow2
        qemu-img resize -q disk.qcow2 128M
        qemu-img check -q disk.qcow2
        qemu-img convert -O raw -S 4k disk.qcow2 back.raw
        qemu-img convert -O vmdk disk.raw disk.vmdk
        qemu-img compare disk.raw disk.vmdk
        """, cwd=directory, timeout=100)
    with open(f"{t.behind}/disk.raw", "rb") as f:
        t.eq(f.read(1 << 20), b"\xaa" * (1 << 20), "the image on the server's side")
    done = t.run("qemu-io", "-f", "raw", "-c", "read -P 0xab 0 4k", f"{directory}/disk.raw")
    t.contains(done.stdout, "Pattern verification failed", "the negative twin")


@test(subject=True, root=True, timeout=120)
def test_program_disk_image(t):
    """mkfs, loop mount and fsck of an image that lies in the directory; files in it survive"""
    t.need_root("loop devices")
    t.need("mkfs.ext4", "losetup", "e2fsck")
    directory = t.subject()
    inside = t.dir("inside")
    t.shell(f"truncate -s 128M {directory}/image; mkfs.ext4 -q -F {directory}/image")
    for attempt in range(2):
        t.mount("-o", "loop", f"{directory}/image", inside)
        if attempt == 0:
            t.shell(f"mkdir {inside}/d; head -c 20M /dev/urandom > {inside}/d/data; sha256sum < {inside}/d/data > sum;"
                    f"for i in $(seq 300); do echo $i > {inside}/d/f$i; done; ln -s data {inside}/d/link; sync -f {inside}")
        else:
            t.shell(f"sha256sum < {inside}/d/link | cmp - sum; test $(cat {inside}/d/f300) = 300; rm {inside}/d/f1*")
        t.must("umount", inside)
        t.must("e2fsck", "-fn", f"{directory}/image")
    t.must("e2fsck", "-fn", f"{t.behind}/image")
    if t.mode != "local":
        t.must("cmp", f"{directory}/image", f"{t.behind}/image")


@test(subject=True, root=True, timeout=120)
def test_program_tar(t):
    """a tree with everything in it through tar, into the directory and out again: the same manifest"""
    t.need("tar")
    directory = t.subject()
    source = make_tree(t)
    wanted = manifest(source)
    t.shell(f"tar --xattrs --acls --sparse -C {source} -cf one.tar .; mkdir {directory}/x;"
            f"tar --xattrs --xattrs-include='*' --acls -C {directory}/x -xpf one.tar")
    t.eq(first_difference(manifest(f"{directory}/x"), wanted), None, "what tar unpacked")
    t.eq(first_difference(manifest(f"{t.behind}/x"), wanted), None, "the same on the server's side")
    t.shell(f"tar --xattrs --acls --sparse -C {directory}/x -cf two.tar .; mkdir y;"
            "tar --xattrs --xattrs-include='*' --acls -C y -xpf two.tar")
    t.eq(first_difference(manifest(t.path("y")), wanted), None, "after the way back")
    t.must("tar", "-C", f"{directory}/x", "-df", "one.tar")


def first_difference(a, b):
    if a == b:
        return None
    for x, y in zip(a.splitlines(), b.splitlines()):
        if x != y:
            return x, y
    return f"{len(a.splitlines())} lines and {len(b.splitlines())}"


def make_tree(t):
    """Files of many sizes, modes, owners, times, links, holes, attributes, strange names."""
    top = t.dir("tree")
    for i in range(120):
        folder = f"{top}/d{i % 9}/e{i % 4}"
        os.makedirs(folder, exist_ok=True)
        t.file(f"{folder}/f{i}", os.urandom(i * i * 7 % 100000))
        os.chown(f"{folder}/f{i}", 1000 + i % 5, 2000 + i % 3)
        os.chmod(f"{folder}/f{i}", 0o400 + i)
    for name in ("a b", "tab\there", "new\nline", "\udcff\udcfe", "n" * 255, "-dash", "ä"):
        t.file(f"{top}/{name}", os.fsencode(name))
    os.symlink("d1/e1", f"{top}/link")
    os.symlink("nowhere" * 500, f"{top}/dangling")
    os.link(f"{top}/a b", f"{top}/d1/hard")
    os.mkfifo(f"{top}/fifo")
    os.mknod(f"{top}/null", 0o20666, os.makedev(1, 3))
    with open(f"{top}/sparse", "wb") as f:
        f.truncate(5 << 20)
        f.seek(3 << 20)
        f.write(b"data")
    os.setxattr(f"{top}/a b", "user.note", b"\0\1binary")
    t.run("setfacl", "-m", "u:54321:rw,g:23451:r", f"{top}/-dash")
    os.chmod(f"{top}/d2", 0o2775)
    os.chmod(f"{top}/d3", 0o1777)
    for folder, folders, files in os.walk(top, topdown=False):
        for k, name in enumerate(sorted(folders + files)):
            os.utime(f"{folder}/{name}", ns=(10**18 + k, 10**18 + 123456789 * k), follow_symlinks=False)
    os.utime(top, ns=(10**18, 10**18))
    return top


@test(subject=True, root=True, timeout=120)
def test_program_rsync(t):
    """rsync --checksum -aHAX in and out; a second run finds nothing to do"""
    t.need("rsync", "setfacl")
    directory = t.subject()
    source = make_tree(t)
    wanted = manifest(source)
    t.must("rsync", "--checksum", "-aHAX", f"{source}/", f"{directory}/copy/")
    t.eq(first_difference(manifest(f"{directory}/copy"), wanted), None, "what rsync made")
    t.eq(t.must("rsync", "--checksum", "-aHAXi", f"{source}/", f"{directory}/copy/").stdout, "", "second run")
    t.must("rsync", "--checksum", "-aHAX", "--inplace", f"{directory}/copy/", f"{t.path('back')}/")
    t.eq(first_difference(manifest(t.path("back")), wanted), None, "after the way back")
    t.file(f"{source}/a b", "changed")
    t.must("rsync", "-aHAX", "--delete", f"{source}/", f"{directory}/copy/")
    t.eq(first_difference(manifest(f"{directory}/copy"), manifest(source)), None, "after a change")


@test(subject=True, root=True, timeout=200)
def test_program_fio_verify(t):
    """fio writes patterns and verifies them: direct and buffered, mmap, several jobs, random and sequential"""
    t.need("fio")
    directory = t.subject()
    size = "8M" if t.quick else "64M"
    common = ["fio", "--name=v", f"--directory={directory}", f"--size={size}", "--verify=crc32c", "--verify_fatal=1",
              "--do_verify=1", "--end_fsync=1", "--randseed=7", "--output-format=terse", "--group_reporting"]
    kinds = {
        "direct-aio": ["--ioengine=libaio", "--direct=1", "--rw=randwrite", "--bs=4k", "--iodepth=32"],
        "direct-uring": ["--ioengine=io_uring", "--direct=1", "--rw=randwrite", "--bs=4k", "--iodepth=32"],
        "buffered": ["--ioengine=psync", "--rw=randwrite", "--bsrange=512-64k", "--numjobs=3"],
        "mmap": ["--ioengine=mmap", "--rw=randwrite", "--bs=4k"],
        "sequential": ["--ioengine=psync", "--rw=write", "--bs=1m"],
        "sync": ["--ioengine=psync", "--sync=1", "--rw=randwrite", "--bs=16k", "--io_size=2M"],
        "mixed": ["--ioengine=libaio", "--rw=randrw", "--bs=8k", "--iodepth=8", "--fsync=32"],
    }
    for name, args in kinds.items():
        done = t.run(*common, *args, timeout=150)
        t.eq((done.returncode, done.stderr.strip()[-300:]), (0, ""), name)
        for path in glob.glob(f"{directory}/v*"):
            os.unlink(path)


@test(subject=True, root=True)
def test_program_editors(t):
    """saving as editors do: write beside and rename, backup by rename or link, swap files; vi itself"""
    directory = t.subject()
    path = f"{directory}/text"
    t.file(path, "first\n")
    os.chmod(path, 0o640)
    for i in range(20):
        fd = os.open(f"{directory}/.text.tmp", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)  # most editors
        os.write(fd, f"version {i}\n".encode())
        os.fchmod(fd, os.stat(path).st_mode & 0o7777)
        os.fsync(fd)
        os.close(fd)
        os.rename(f"{directory}/.text.tmp", path)
        t.eq(open(path).read(), f"version {i}\n")
        t.eq(os.stat(path).st_mode & 0o7777, 0o640)
    for i in range(20):
        os.rename(path, f"{path}~")  # emacs: the old one becomes the backup
        t.file(path, f"emacs {i}\n")
        t.eq((open(path).read(), open(f"{path}~").read()[:5]), (f"emacs {i}\n", "versi" if i == 0 else "emacs"))
    os.symlink(f"user@host.{os.getpid()}:1", f"{directory}/.#text")  # emacs' lock: a dangling link
    t.true(os.path.islink(f"{directory}/.#text"), "lock link")
    os.unlink(f"{directory}/.#text")
    editor = next((e for e in ("/usr/bin/vim.tiny", "/usr/bin/vim.basic", "/usr/bin/vim") if os.path.exists(e)), None)
    if editor:
        for option in ("backupcopy=no", "backupcopy=yes"):
            t.must(editor, "-u", "NONE", "-es", "-c", f"set {option} writebackup", "-c", "normal ggOsaved by vi", "-c", "wq", path,
                   env={"HOME": t.tmp, "TERM": "dumb"})
            t.contains(open(path).read(), "saved by vi\n")
        t.eq(open(f"{t.behind}/text").read(), open(path).read())
    t.eq(sorted(os.listdir(directory)), ["text", "text~"], "what is left")
    t.must("sed", "-i", "s/emacs/sed/", path)
    t.contains(open(path).read(), "sed 19")


@test(subject=True, root=True)
def test_program_shell_tools(t):
    """cp -a, mv, ln, find, du, grep, sort -o, install, dd, split, tail -f: as anywhere"""
    directory = t.subject()
    t.shell("""
        mkdir -p a/b/c; for i in $(seq 50); do echo "line $i" > a/b/c/$i; done
        cp -a a copy; diff -r a copy; mv copy moved; ln moved/b/c/1 hard; ln -s moved/b soft
        test $(find . -type f | wc -l) = 101; test $(find moved -name '4*' | wc -l) = 11; test $(grep -rl 'line 7' a | wc -l) = 1
        cat soft/c/* | sort -o sorted; test $(wc -l < sorted) = 50
        install -m 750 sorted installed; test $(stat -c %a installed) = 750
        dd if=/dev/zero of=zeros bs=64k count=16 conv=fsync status=none; split -b 100k zeros part.; cat part.* | cmp - zeros
        : > log; (for i in 1 2 3; do echo $i; sleep 0.2; done >> log) & timeout 5 tail -n +1 --pid=$! -f log > tailed; wait; cmp log tailed
        touch -d '2001-02-03 04:05:06.789' dated; test $(stat -c %y dated | cut -c1-23 | tr ' ' T) = 2001-02-03T04:05:06.789
        cp --sparse=always zeros sparse; test $(stat -c %b sparse) = 0; cmp sparse zeros
        cp --reflink=auto sorted reflinked; cmp sorted reflinked
        echo appended >> sorted; test $(tail -n 1 sorted) = appended; : > sorted; test ! -s sorted
        mkdir -p deep/$(seq -s / 40); rm -r deep a moved
        flock log -c 'echo locked' > out; grep -q locked out; mkfifo p; (echo through > p &) ; test $(cat p) = through
        """, cwd=directory)


@test(subject=True, root=True)
def test_program_python(t):
    """python imports from the directory, writes its caches; zip, shelve, tempfile"""
    directory = t.subject()
    t.file(f"{directory}/module.py", "value = 42\n")
    env = {"PYTHONDONTWRITEBYTECODE": ""}
    t.eq(t.must("python3", "-c", "import module; print(module.value)", cwd=directory, env=env).stdout, "42\n")
    t.true(os.listdir(f"{directory}/__pycache__"), "no cache written")
    t.file(f"{directory}/module.py", "value = 4343\n")
    t.eq(t.must("python3", "-c", "import module; print(module.value)", cwd=directory, env=env).stdout, "4343\n")
    t.must("python3", "-c", "import shelve, tempfile, zipfile, os\nwith shelve.open('s') as s:\n    s['a'] = list(range(1000))\n"
           "with shelve.open('s') as s:\n    assert s['a'][-1] == 999\n"
           "with zipfile.ZipFile('z.zip', 'w') as z:\n    z.writestr('x', 'y' * 10000)\n"
           "assert zipfile.ZipFile('z.zip').testzip() is None\n"
           "with tempfile.TemporaryFile(dir='.') as f:\n    f.write(b'x'); f.seek(0); assert f.read() == b'x'\n", cwd=directory)
