# Two clients of one export, and programs on the server beside them: what one writes, the other reads at the very next
# operation; locks, appends and renames hold between them.
# SPDX-License-Identifier: Apache-2.0
import errno
import fcntl
import mmap
import os
import struct
import threading
import time

from harness import Failed, Skip, test, wait_for


def lock(fd, command, kind, start=0, length=0):
    return fcntl.fcntl(fd, command, struct.pack("hhqqi4x", kind, os.SEEK_SET, start, length, 0))


def conflict(function, *args):
    try:
        function(*args)
    except OSError as e:
        if e.errno in (errno.EAGAIN, errno.EACCES):
            return True
        raise
    return False


@test(subject=True, root=True)
def test_clients_visibility(t):
    """a write, size and mtime by A are seen by B at the next operation, and by the server, and back"""
    a, b = t.two_subjects()
    writers = [a, b, t.behind]
    t.file(f"{a}/f", "start")
    fds = {p: os.open(f"{p}/f", os.O_RDWR) for p in writers}
    for i in range(200):
        writer = writers[i % 3]
        text = f"round {i:05}" + "x" * (i * 37 % 9000)
        os.ftruncate(fds[writer], 0)
        os.pwrite(fds[writer], text.encode(), 0)
        size, when = os.fstat(fds[writer]).st_size, os.fstat(fds[writer]).st_mtime_ns
        for reader in writers:
            t.eq(os.pread(fds[reader], 20000, 0).decode(), text, f"round {i}, {writer} to {reader}, open descriptor")
            t.eq(os.stat(f"{reader}/f").st_size, size, f"round {i}: size")
            t.eq(os.fstat(fds[reader]).st_mtime_ns, when, f"round {i}: mtime")
            with open(f"{reader}/f") as f:
                t.eq(f.read(), text, f"round {i}: opened anew")


@test(subject=True, root=True)
def test_clients_names(t):
    """names made, removed and renamed by one are seen by the others at once"""
    a, b = t.two_subjects()
    everyone = [a, b, t.behind]
    for i in range(60):
        maker, name = everyone[i % 3], f"n{i}"
        for other in everyone:
            t.true(not os.path.exists(f"{other}/{name}"), f"{name} is there before its time")  # absence may be cached
        t.file(f"{maker}/{name}", name)
        for other in everyone:
            t.true(os.path.exists(f"{other}/{name}"), f"{name} made by {maker} is not seen by {other}")
            t.contains(os.listdir(other), name)
        mover = everyone[(i + 1) % 3]
        os.rename(f"{mover}/{name}", f"{mover}/{name}.moved")
        for other in everyone:
            t.true(not os.path.exists(f"{other}/{name}"), f"{name} renamed by {mover} is still seen by {other}")
            with open(f"{other}/{name}.moved") as f:
                t.eq(f.read(), name)
        os.unlink(f"{everyone[(i + 2) % 3]}/{name}.moved")
        for other in everyone:
            t.true(not os.path.exists(f"{other}/{name}.moved"), f"{name}.moved removed is still seen by {other}")
            t.eq(os.listdir(other), [])


@test(subject=True, root=True)
def test_clients_attributes(t):
    """permissions, owners, times, links and attributes changed by one are seen by the others"""
    a, b = t.two_subjects()
    everyone = [a, b, t.behind]
    t.file(f"{a}/f", "x")
    for i in range(30):
        writer = everyone[i % 3]
        mode, when = 0o600 + i % 8, 10**18 + i
        os.chmod(f"{writer}/f", mode)
        os.chown(f"{writer}/f", 1000 + i, 2000 + i)
        os.utime(f"{writer}/f", ns=(when, when + 7))
        os.setxattr(f"{writer}/f", "user.round", str(i).encode())
        os.link(f"{writer}/f", f"{writer}/l{i}")
        for other in everyone:
            s = os.stat(f"{other}/f")
            t.eq((s.st_mode & 0o7777, s.st_uid, s.st_gid, s.st_mtime_ns, s.st_nlink),
                 (mode, 1000 + i, 2000 + i, when + 7, 2 + i), f"round {i}")
            t.eq(os.getxattr(f"{other}/f", "user.round"), str(i).encode())
            t.eq(os.stat(f"{other}/l{i}").st_ino, s.st_ino)


@test(subject=True, root=True)
def test_clients_replaced_directory(t):
    """a directory replaced by another of the same name is the new one for everybody"""
    a, b = t.two_subjects()
    for i in range(20):
        os.mkdir(f"{a}/d")
        t.file(f"{a}/d/f", f"{i}")
        with open(f"{b}/d/f") as f:
            t.eq(f.read(), f"{i}")
        os.rename(f"{a}/d", f"{t.behind}/old{i}" if t.mode == "local" else f"{a}/old{i}")
        t.true(not os.path.exists(f"{b}/d/f"), "still there")


@test(subject=True, root=True)
def test_clients_mmap_follows(t):
    """a mapping opened after a change shows the change"""
    a, b = t.two_subjects()
    t.file(f"{a}/f", b"a" * 8192)
    for i in range(20):
        with open(f"{a}/f", "r+b") as f:
            f.seek(4000)
            f.write(f"{i:04}".encode() * 10)
        with open(f"{b}/f", "rb") as f, mmap.mmap(f.fileno(), 0, prot=mmap.PROT_READ) as m:
            t.eq(m[4000:4040], f"{i:04}".encode() * 10, f"round {i}")


@test(subject=True)
def test_clients_mmap_of_a_log(t):
    """what is changed through a map of a file that is open for appending stays in its place"""
    directory = t.subject()
    t.file(f"{directory}/log", b"x" * 8192)
    fd = os.open(f"{directory}/log", os.O_RDWR | os.O_APPEND)
    try:
        with mmap.mmap(fd, 0) as m:
            m[0:5] = b"first"
            m.flush()
        os.write(fd, b"last")
    finally:
        os.close(fd)
    with open(f"{directory}/log", "rb") as f:
        t.eq(f.read(), b"first" + b"x" * 8187 + b"last")


@test(subject=True, root=True, timeout=90)
def test_clients_append(t):
    """O_APPEND by several programs of two clients and the server: no line lost, none torn"""
    a, b = t.two_subjects()
    count, procs = 150 if t.quick else 600, []
    script = ("import os,sys\nfd = os.open(sys.argv[1], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)\n"
              "for i in range(int(sys.argv[3])):\n"
              "    line = f'{sys.argv[2]} {i} '.encode() + b'x' * (i % 700) + b'\\n'\n"
              "    assert os.write(fd, line) == len(line)\n")
    for k, directory in enumerate([a, a, b, b, t.behind]):
        procs.append(t.start("python3", "-c", script, f"{directory}/log", f"w{k}", str(count)))
    for p in procs:
        t.eq(p.wait(120), 0, "writer's exit code")
    following = {f"w{k}": 0 for k in range(5)}
    for line in open(f"{b}/log"):
        who, number, fill = line.rstrip("\n").split(" ")
        t.eq(int(number), following[who], f"line of {who}")
        t.eq(len(fill), int(number) % 700)
        following[who] += 1
    t.eq(set(following.values()), {count}, "lines of each writer")


@test(subject=True, root=True)
def test_clients_posix_locks(t):
    """record locks conflict between clients, by range and kind, and are released by close"""
    a, b = t.two_subjects()
    t.file(f"{a}/f", "x" * 100)
    script = ("import fcntl,os,sys,time,struct\nfd = os.open(sys.argv[1], os.O_RDWR)\n"
              "fcntl.lockf(fd, fcntl.LOCK_EX, 10, 20)\nprint('held', flush=True)\nsys.stdin.readline()\n")
    for mine, other in ((a, b), (b, a)):
        holder = t.start("python3", "-c", script, f"{mine}/f", stdin=-1, stdout=-1, text=True)
        t.eq(holder.stdout.readline(), "held\n")
        fd = os.open(f"{other}/f", os.O_RDWR)
        t.true(conflict(lock, fd, fcntl.F_SETLK, fcntl.F_WRLCK, 25, 1), "no conflict at byte 25")
        t.true(conflict(lock, fd, fcntl.F_SETLK, fcntl.F_RDLCK, 0, 0), "no conflict of a reader over all")
        lock(fd, fcntl.F_SETLK, fcntl.F_WRLCK, 30, 10)
        lock(fd, fcntl.F_SETLK, fcntl.F_WRLCK, 0, 20)
        kind, _, start, length, _ = struct.unpack("hhqqi4x", lock(fd, fcntl.F_GETLK, fcntl.F_WRLCK, 0, 0))
        t.eq((kind, start, length), (fcntl.F_WRLCK, 20, 10), "what F_GETLK tells")
        holder.stdin.write("\n")
        holder.stdin.close()
        t.eq(holder.wait(10), 0)
        lock(fd, fcntl.F_SETLK, fcntl.F_WRLCK, 0, 0)
        os.close(fd)


@test(subject=True, root=True)
def test_clients_flock(t):
    """flock conflicts between clients; a killed holder's lock is free at once"""
    a, b = t.two_subjects()
    t.file(f"{a}/f", "")
    script = ("import fcntl,os,sys,time\nfd = os.open(sys.argv[1], os.O_RDWR)\nfcntl.flock(fd, fcntl.LOCK_EX)\n"
              "print('held', flush=True)\ntime.sleep(100)\n")
    holder = t.start("python3", "-c", script, f"{a}/f", stdout=-1, text=True)
    t.eq(holder.stdout.readline(), "held\n")
    fd = os.open(f"{b}/f", os.O_RDONLY)
    t.true(conflict(fcntl.flock, fd, fcntl.LOCK_SH | fcntl.LOCK_NB), "shared lock beside an exclusive one")
    holder.kill()
    holder.wait()
    wait_for("the killed holder's lock", lambda: not conflict(fcntl.flock, fd, fcntl.LOCK_EX | fcntl.LOCK_NB), 5)


@test(subject=True, root=True)
def test_clients_lock_waits(t):
    """a lock that another client holds is waited for, and comes soon after it is free; waiting is interruptible"""
    a, b = t.two_subjects()
    t.file(f"{a}/f", "x")
    script = ("import fcntl,os,sys,time,signal\nfd = os.open(sys.argv[1], os.O_RDWR)\n"
              "signal.signal(signal.SIGUSR1, lambda *x: sys.exit(33))\nprint('waiting', flush=True)\n"
              "{'flock': fcntl.flock, 'posix': fcntl.lockf}[sys.argv[2]](fd, fcntl.LOCK_EX)\nprint('got', time.time(), flush=True)\n")
    for kind, take, drop in (("flock", lambda fd: fcntl.flock(fd, fcntl.LOCK_EX), lambda fd: fcntl.flock(fd, fcntl.LOCK_UN)),
                             ("posix", lambda fd: fcntl.lockf(fd, fcntl.LOCK_EX), lambda fd: fcntl.lockf(fd, fcntl.LOCK_UN))):
        fd = os.open(f"{a}/f", os.O_RDWR)
        take(fd)
        waiter = t.start("python3", "-c", script, f"{b}/f", kind, stdout=-1, text=True)
        t.eq(waiter.stdout.readline(), "waiting\n")
        time.sleep(0.3)
        released = time.time()
        drop(fd)
        line = waiter.stdout.readline().split()
        t.eq(line[:1], ["got"], f"{kind}: the waiter's word")
        t.true(0 <= float(line[1]) - released < 2, f"{kind}: came {float(line[1]) - released:.3f} s after the release")
        t.eq(waiter.wait(10), 0)
        take(fd)
        waiter = t.start("python3", "-c", script, f"{b}/f", kind, stdout=-1, text=True)
        t.eq(waiter.stdout.readline(), "waiting\n")
        time.sleep(0.3)
        waiter.send_signal(10)
        t.eq(waiter.wait(10), 33, f"{kind}: exit code of the interrupted waiter")
        drop(fd)
        other = os.open(f"{b}/f", os.O_RDWR)
        t.true(not conflict({"flock": fcntl.flock, "posix": fcntl.lockf}[kind], other, fcntl.LOCK_EX | fcntl.LOCK_NB),
               f"{kind}: the interrupted waiter left something behind")
        os.close(other)
        os.close(fd)


@test(subject=True, root=True)
def test_clients_deadlock(t):
    """two clients that wait for each other: exactly one is told EDEADLK"""
    a, b = t.two_subjects()
    t.file(f"{a}/f", "xx")
    script = ("import fcntl,os,sys,time\nfd = os.open(sys.argv[1], os.O_RDWR)\nmine = int(sys.argv[2])\n"
              "fcntl.lockf(fd, fcntl.LOCK_EX, 1, mine)\nprint('held', flush=True)\nsys.stdin.readline()\n"
              "try:\n    fcntl.lockf(fd, fcntl.LOCK_EX, 1, 1 - mine)\n    print('got', flush=True)\n"
              "except OSError as e:\n    print(e.errno, flush=True)\n")
    two = [t.start("python3", "-c", script, f"{d}/f", str(k), stdin=-1, stdout=-1, text=True) for k, d in enumerate((a, b))]
    for p in two:
        t.eq(p.stdout.readline(), "held\n")
    for p in two:
        p.stdin.write("\n")
        p.stdin.flush()
        time.sleep(0.2)
    t.eq(sorted(p.stdout.readline().strip() for p in two), sorted([str(errno.EDEADLK), "got"]), "what the two were told")
    for p in two:
        p.wait(10)


@test(subject=True, root=True)
def test_clients_counter(t):
    """programs of two clients count one file up under a lock: none is lost"""
    a, b = t.two_subjects()
    rounds = 60 if t.quick else 250
    t.file(f"{a}/n", "0")
    script = ("import fcntl,os,sys\nfor i in range(int(sys.argv[2])):\n    fd = os.open(sys.argv[1], os.O_RDWR)\n"
              "    {'flock': fcntl.flock, 'posix': fcntl.lockf}[sys.argv[3]](fd, fcntl.LOCK_EX)\n"
              "    n = int(os.pread(fd, 20, 0)) + 1\n    os.pwrite(fd, str(n).encode(), 0)\n    os.close(fd)\n")
    for kind in ("flock", "posix"):
        t.file(f"{a}/n", "0")
        procs = [t.start("python3", "-c", script, f"{d}/n", str(rounds), kind) for d in (a, b, a, b)]
        for p in procs:
            t.eq(p.wait(100), 0)
        with open(f"{b}/n") as f:
            t.eq(int(f.read()), 4 * rounds, f"{kind}: count")


@test(subject=True, root=True)
def test_clients_rename_race(t):
    """one replaces a file by rename, again and again; the other always reads a whole version"""
    a, b = t.two_subjects()
    t.file(f"{a}/f", b"0" * 5000)
    stop = threading.Event()
    error = []

    def replace():
        try:
            for i in range(150):
                t.file(f"{a}/f.new", str(i % 10).encode() * 5000)
                os.rename(f"{a}/f.new", f"{a}/f")
        except OSError as e:
            error.append(str(e))
        stop.set()

    thread = threading.Thread(target=replace)
    thread.start()
    reads = 0
    while not stop.is_set():
        with open(f"{b}/f", "rb") as f:
            content = f.read()
        if len(content) != 5000 or len(set(content)) != 1:
            error.append(f"torn: {len(content)} bytes, {set(content)}")
            break
        reads += 1
    thread.join()
    t.eq(error, [])
    t.true(reads > 5, f"{reads} reads only")


@test(subject=True, root=True)
def test_clients_open_unlinked(t):
    """a file that one client has open stays usable when the other, or the server, removes or renames it"""
    a, b = t.two_subjects()
    for remover in (b, t.behind):
        t.file(f"{a}/f", "content")
        fd = os.open(f"{a}/f", os.O_RDWR)
        os.rename(f"{remover}/f", f"{remover}/g")
        os.pwrite(fd, b"CON", 0)
        with open(f"{b}/g") as f:
            t.eq(f.read(), "CONtent")
        os.unlink(f"{remover}/g")
        t.eq(os.pread(fd, 100, 0), b"CONtent", "after the removal")
        os.pwrite(fd, b"more", 100)
        t.eq(os.fstat(fd).st_size, 104)
        t.eq(os.fstat(fd).st_nlink, 0, "links")
        os.fsync(fd)
        os.close(fd)


@test(subject=True, root=True)
def test_clients_excl(t):
    """O_EXCL, mkdir and link: of many that try, exactly one succeeds"""
    a, b = t.two_subjects()
    script = ("import os,sys\nwon = 0\nfor i in range(80):\n    try:\n        if i % 2:\n            os.mkdir(f'{sys.argv[1]}/x{i}')\n"
              "        else:\n            os.close(os.open(f'{sys.argv[1]}/x{i}', os.O_CREAT | os.O_EXCL | os.O_WRONLY))\n"
              "        won += 1\n    except FileExistsError:\n        pass\nprint(won)\n")
    procs = [t.start("python3", "-c", script, d, stdout=-1, text=True) for d in (a, b, a, b, t.behind)]
    t.eq(sum(int(p.communicate(timeout=60)[0]) for p in procs), 80, "winners")


@test(root=True, quick=False, timeout=120)
def test_clients_killed(t):
    """a client that is killed frees its locks and files within the lease time, its directory can be attached again"""
    server = t.server()
    first, second = t.attach(server, None, "--no-guardian"), t.attach(server)
    t.file(f"{first.dir}/f", "x")
    holder = t.start("python3", "-c", "import fcntl,os,sys,time\nfd = os.open(sys.argv[1], os.O_RDWR)\n"
                     "fcntl.flock(fd, fcntl.LOCK_EX)\nprint('held', flush=True)\ntime.sleep(100)\n", f"{first.dir}/f",
                     stdout=-1, text=True)
    t.eq(holder.stdout.readline(), "held\n")
    os.kill(first.pid(), 9)
    begin = time.monotonic()
    fd = os.open(f"{second.dir}/f", os.O_RDWR)
    wait_for("the killed client's lock", lambda: not conflict(fcntl.flock, fd, fcntl.LOCK_EX | fcntl.LOCK_NB), 60)
    t.true(time.monotonic() - begin < 60, "took too long")
    holder.kill()
    holder.wait()
    t.true(first.attached(), "the mount should still be there, dead")
    try:
        os.stat(f"{first.dir}/f")
        raise Failed("a dead attachment answers")
    except OSError as e:
        t.contains((errno.ENOTCONN, errno.ECONNABORTED, errno.EIO), e.errno)
    first.detach("--force")
    again = t.attach(server, first.dir)
    t.eq(open(f"{again.dir}/f").read(), "x")


@test(subject=True, root=True, timeout=90)
def test_clients_fsx_like(t):
    """random writes, truncations and reads of one file by both clients in turn, against a model"""
    import random
    a, b = t.two_subjects()
    r = random.Random(20)
    model = bytearray()
    fds = [os.open(f"{d}/f", os.O_RDWR | os.O_CREAT, 0o644) for d in (a, b, t.behind)]
    for step in range(300 if t.quick else 1500):
        fd = fds[r.randrange(3)]
        off, n = r.randrange(400000), r.randrange(1, 70000)
        what = r.randrange(5)
        if what < 2:
            data = r.randbytes(n)
            if len(model) < off:
                model.extend(bytes(off - len(model)))
            model[off:off + n] = data
            t.eq(os.pwrite(fd, data, off), n)
        elif what == 2:
            os.ftruncate(fd, off)
            model = model[:off] if off < len(model) else model + bytes(off - len(model))
        else:
            got = os.pread(fd, n, off)
            if got != bytes(model[off:off + n]):
                raise Failed(f"step {step}: {len(got)} bytes at {off} differ from the {len(model[off:off + n])} wanted")
        t.eq(os.fstat(fd).st_size, len(model), f"step {step}: size")
