# Many: entries in a directory, open files, clients, bytes.
# SPDX-License-Identifier: Apache-2.0
import os
import subprocess

from harness import Failed, Skip, connect, test
from wire import Client


@test(subject=True, root=True, timeout=300)
def test_big_directory(t):
    """a huge directory, listed while others add and remove: what stays is listed exactly once"""
    directory = t.subject()
    count = 100_000 if t.quick else 1_000_000
    os.mkdir(f"{t.behind}/big")
    fd = os.open(f"{t.behind}/big", os.O_RDONLY)
    for i in range(count):
        os.mknod(f"stay{i:07}", 0o644, dir_fd=fd)
    script = ("import os,sys,itertools\nfor i in itertools.count():\n    open(f'{sys.argv[1]}/come{i}', 'w').close()\n"
              "    if i > 5:\n        os.unlink(f'{sys.argv[1]}/come{i - 5}')\n")
    churners = [t.start("python3", "-c", script.replace("come", f"come{k}_"), f"{d}/big")
                for k, d in enumerate((directory, t.behind))]
    for attempt in range(2):
        seen = bytearray(count)
        with os.scandir(f"{directory}/big") as entries:
            for entry in entries:
                if entry.name.startswith("stay"):
                    number = int(entry.name[4:])
                    if seen[number]:
                        raise Failed(f"{entry.name} is listed twice")
                    seen[number] = 1
        t.eq(seen.count(0), 0, f"listing {attempt}: files that are missing")
        t.true(all(p.poll() is None for p in churners), "a program that adds and removes has failed")
    for p in churners:
        p.kill()
        p.wait()
    t.eq(os.stat(f"{directory}/big/stay{count - 1:07}").st_size, 0)


@test(subject=True, root=True)
def test_big_file(t):
    """a file of some hundred MiB, written, read back, copied; and one of 10 TiB with little in it"""
    directory = t.subject()
    size = 64 if t.quick else 512
    t.shell(f"head -c {size}M /dev/urandom > {directory}/big; sha256sum < {directory}/big > a; sha256sum < {t.behind}/big > b;"
            f"cmp a b; cp {directory}/big {directory}/copy; cmp {directory}/copy {t.behind}/big")
    with open(f"{directory}/sparse", "w+b") as f:
        f.truncate(10 << 40)
        f.seek(9 << 40)
        f.write(b"far away")
        f.flush()
        t.eq(os.stat(f"{t.behind}/sparse").st_size, 10 << 40)
        t.eq(os.pread(f.fileno(), 8, 9 << 40), b"far away")
        t.eq(os.lseek(f.fileno(), 0, os.SEEK_DATA) <= 9 << 40, True)
        t.true(os.lseek(f.fileno(), 0, os.SEEK_DATA) > 8 << 40, "holes are not seen")
    t.true(os.stat(f"{directory}/sparse").st_blocks < 1000, "no longer sparse")


@test(subject=True, root=True)
def test_many_open_files(t):
    """a thousand files open at once, each usable, then all closed"""
    directory = t.subject()
    fds = [os.open(f"{directory}/f{i}", os.O_RDWR | os.O_CREAT, 0o644) for i in range(1000)]
    for i, fd in enumerate(fds):
        os.write(fd, str(i).encode())
    for i, fd in enumerate(fds):
        t.eq(os.pread(fd, 20, 0), str(i).encode())
        os.unlink(f"{directory}/f{i}")
    for i, fd in enumerate(fds):
        t.eq(os.pread(fd, 20, 0), str(i).encode(), "unlinked")
        os.close(fd)
    t.eq(os.listdir(t.behind), [])


@test(subject=True, root=True)
def test_many_at_once(t):
    """many processes of many kinds of work in one directory at a time"""
    directory = t.subject()
    script = ("import os,random,sys\nr = random.Random(int(sys.argv[2]))\nd = sys.argv[1]\n"
              "for i in range(int(sys.argv[3])):\n    n = f'{d}/{r.randrange(40)}'\n    k = r.randrange(8)\n    try:\n"
              "        if k == 0:\n            open(n, 'w').write('x' * r.randrange(20000))\n"
              "        elif k == 1:\n            open(n).read()\n        elif k == 2:\n            os.unlink(n)\n"
              "        elif k == 3:\n            os.rename(n, f'{d}/{r.randrange(40)}')\n"
              "        elif k == 4:\n            os.listdir(d)\n        elif k == 5:\n            os.link(n, f'{d}/{r.randrange(40)}')\n"
              "        elif k == 6:\n            os.truncate(n, r.randrange(30000))\n        else:\n            os.stat(n)\n"
              "    except (FileNotFoundError, FileExistsError):\n        pass\n")
    procs = [t.start("python3", "-c", script, directory, str(k), "200" if t.quick else "1500", stderr=subprocess.PIPE)
             for k in range(12)]
    for p in procs:
        _, err = p.communicate(timeout=100)
        t.eq((p.returncode, err[-300:]), (0, b""), "a worker")
    for name in os.listdir(directory):
        with open(f"{directory}/{name}", "rb") as f, open(f"{t.behind}/{name}", "rb") as g:
            t.eq(f.read() == g.read(), True, f"{name} is the same on both sides")


@test(root=True)
def test_many_idle_connections(t):
    """a thousand idle connections cost little; what each costs is said"""
    import resource
    resource.setrlimit(resource.RLIMIT_NOFILE, (20000, 20000))
    server = t.server()
    a = t.attach(server)
    before = server.memory_kib()
    idle = [connect(server.address) for _ in range(1000)]
    t.file(f"{a.dir}/f", "still serving")
    with open(f"{a.dir}/f") as f:
        t.eq(f.read(), "still serving")
    each = (server.memory_kib() - before) / 1000
    print(f"  memory of an idle connection: {each:.1f} KiB")
    t.true(each < 64, f"{each:.1f} KiB for each idle connection")
    for s in idle:
        s.close()


def cost(t, count, make):
    """What each of count such things costs a server, in bytes of its memory."""
    server = t.server()
    for _ in range(20):  # what is made once is made
        Client(server.address).close()
    client = Client(server.address)
    before = server.memory_kib()
    made = make(server, client, count)
    each = (server.memory_kib() - before) * 1024 / count
    for s in made or ():
        s.close()
    client.close()
    server.stop()
    return each


@test(root=True, timeout=200)
def test_what_each_costs(t):
    """connections, sessions, open files and locks cost the server no more memory than docs/RELIABILITY.md reckons with"""
    if "ASAN_OPTIONS" in os.environ:
        raise Skip("optional: with a sanitizer each piece of memory costs more")
    os.mkdir(f"{t.export()}/d")
    for i in range(3000):
        t.file(f"{t.export()}/d/{i}", "x")

    def files(server, c, count):
        folder = c.walk("d")
        for i in range(count):
            node = c.call("LOOKUP", dir=folder, name=str(i))[1]["node"]
            t.eq(c.call("OPEN", node=node, flags=0)[0], "OK", "OPEN")

    def locks(server, c, count):
        handle = c.call("OPEN", node=c.walk("d", "0"), flags=2)[1]["handle"]
        for i in range(count):
            t.eq(c.call("LOCK", handle=handle, owner=1, start=4 * i, end=4 * i, kind=0, type=1)[0], "OK", "LOCK")

    for name, most, count, make in (
            ("an idle connection", 800, 4000, lambda server, c, n: [connect(server.address) for _ in range(n)]),
            ("a session with its connection", 4000, 1000, lambda server, c, n: [Client(server.address) for _ in range(n)]),
            ("an open file", 700, 3000, files), ("a lock", 160, 16000, locks)):
        each = cost(t, count, make)
        print(f"  memory of {name}: {each:.0f} bytes")
        t.true(each <= most, f"{name} costs {each:.0f} bytes, more than {most}")
