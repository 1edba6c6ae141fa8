# The workloads. Each is a function of one side (local, inlay, sshfs) and one repetition, and gives {row: value}.
# SPDX-License-Identifier: Apache-2.0
import json
import os
import random
import shutil
import subprocess
import sys
import time

from world import Broken, cpu_seconds, memory_kib, must

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

# row: (rw, block, further arguments of fio). Direct and libaio but for the last ones.
DIRECT = ("--ioengine=libaio", "--direct=1")
FIO = {
    "4k randread depth 1": ("randread", "4k", *DIRECT, "--iodepth=1"),
    "4k randread depth 32": ("randread", "4k", *DIRECT, "--iodepth=32"),
    "4k randread 4 jobs": ("randread", "4k", *DIRECT, "--iodepth=1", "--numjobs=4"),
    "4k randwrite depth 1": ("randwrite", "4k", *DIRECT, "--iodepth=1"),
    "4k randwrite depth 32": ("randwrite", "4k", *DIRECT, "--iodepth=32"),
    "4k randwrite 4 jobs": ("randwrite", "4k", *DIRECT, "--iodepth=1", "--numjobs=4"),
    "4k write + fsync": ("randwrite", "4k", "--ioengine=psync", "--fsync=1"),
    "4k randwrite depth 32, large folios": ("randwrite", "4k", *DIRECT, "--iodepth=32"),
    "1M seqread depth 1": ("read", "1m", *DIRECT, "--iodepth=1"),
    "1M seqread depth 8": ("read", "1m", *DIRECT, "--iodepth=8"),
    "1M seqwrite depth 1": ("write", "1m", *DIRECT, "--iodepth=1"),
    "1M seqwrite depth 8": ("write", "1m", *DIRECT, "--iodepth=8"),
    "1M seqread buffered, server warm": ("read", "1m", "--ioengine=psync", "--invalidate=0"),
    "1M seqread buffered, all cold": ("read", "1m", "--ioengine=psync", "--invalidate=0"),
}


class Work:
    def __init__(self, world, quick):
        self.world, self.quick = world, quick
        self.seconds = 1 if quick else 2
        self.fio_mib = 256 if quick else 512
        self.files = 1000 if quick else 3000
        self.cached = {}  # {side: size of the writes that filled the server's cache with the file}
        self.later = []  # (side, function that gives more rows): what deletes runs last, see remove()
        self.cpu = {}  # {row: {side: [microseconds per operation]}}
        self.tar = self.make_tar()
        self.helper = f"{world.place}/smallfiles"
        must("cc", "-O2", "-Wall", "-Wextra", "-D_GNU_SOURCE", "-pthread", "-o", self.helper,
             os.path.join(ROOT, "bench/smallfiles.c"))

    def make_tar(self):
        """A source tree's likeness: many small files in folders, the same in every run."""
        r, top = random.Random(7), self.world.make("source")
        words = [bytes(r.choices(b"abcdefghijklmnopqrstuvwxyz", k=r.randrange(2, 12))) for _ in range(3000)]
        for i in range(1000 if self.quick else 3000):
            folder = f"{top}/d{i % 37}/e{i % 5}"
            os.makedirs(folder, exist_ok=True)
            with open(f"{folder}/f{i}.c", "wb") as f:
                f.write(b" ".join(r.choices(words, k=int(r.paretovariate(1.2) * 200) % 8000 + 20)))
        must("tar", "-C", top, "-cf", f"{self.world.place}/source.tar", ".")
        shutil.rmtree(top)
        return f"{self.world.place}/source.tar"

    # ---- fio ----

    def lay(self, side, piece):
        """Each side has a file of its own, so that none inherits another's cache. The server has it in memory, the page
        cache in the shape that writes of this size leave: single pages, as in a disk image in use, or large folios, as
        after a copy. On this kind of kernel that alone makes small writes several times cheaper or dearer."""
        if self.cached.get(side) != piece:
            fd = os.open(f"{self.world.tree}/fio-{side}", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
            try:
                os.fsync(fd)
                os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
                block = random.Random(side).randbytes(piece)
                for off in range(0, self.fio_mib << 20, piece):
                    os.pwrite(fd, block, off)
            finally:
                os.close(fd)
            self.cached[side] = piece
        os.sync()

    def forget(self, side):
        self.world.forget(side)
        self.cached.clear()

    def fio(self, row, side):
        rw, block, *args = FIO[row]
        cold = row.endswith("all cold")
        self.lay(side, 4096 if block == "4k" and "folios" not in row else 1 << 20)
        if cold:
            self.forget(side)
        timing = [] if cold else [f"--runtime={self.seconds}", "--time_based"]
        if row.endswith("server warm"):  # one pass: a second one would find the client's cache
            timing = []
        before = cpu_seconds(self.world.pids(side))
        out = must("fio", "--name=b", "--thread", f"--filename={self.world.dirs[side]}/fio-{side}",
                   f"--size={self.fio_mib}m", f"--rw={rw}", f"--bs={block}", "--randrepeat=1",
                   "--group_reporting", "--output-format=json", *timing, *args)
        used = cpu_seconds(self.world.pids(side)) - before
        self.world.check(side)
        job = json.loads(out[out.index("{"):])["jobs"][0]
        done = job["read"] if job["read"]["total_ios"] else job["write"]
        if job["error"] or not done["total_ios"]:
            raise Broken(f"fio, {row}, {side}: error {job['error']}, {done['total_ios']} operations")
        if block == "4k" and side != "local":
            self.cpu.setdefault(row, {}).setdefault(side, []).append(used / done["total_ios"] * 1e6)
        return {row: done["bw_bytes"] / 1e6 if block == "1m" else done["iops"]}

    # ---- small files ----

    def small_files(self, threads, side, repetition):
        top = f"{self.world.dirs[side]}/small-{side}-{threads}-{repetition}"
        os.mkdir(top)
        suffix = f", {threads} thread{'s' * (threads > 1)}"
        rows = {}

        def phase(name, row, repeat=""):
            out = must(self.helper, top, str(self.files), str(threads), name + repeat)
            rows[row + suffix] = float(out.split()[1])

        phase("create", "create")
        for name, text in (("stat", "stat"), ("read", "open+read+close"), ("list", "list"), ("walk", "list + stat")):
            self.forget(side)
            phase(name, f"{text}, cold")
            phase(name, f"{text}, warm", ":0.3")
        phase("rename", "rename")

        def unlink():
            rows.clear()
            phase("unlink", "unlink")
            return rows

        self.later.append((side, unlink))
        return dict(rows)

    # ---- programs ----

    def programs(self, side, repetition):
        def seconds(*command, code=0):
            begin = time.monotonic()
            done = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, check=False)
            if done.returncode != code:
                raise Broken(f"{' '.join(command)}: exit {done.returncode}: {done.stderr.strip()[-300:]}")
            return time.monotonic() - begin

        top, rows = f"{self.world.dirs[side]}/programs-{side}-{repetition}", {}
        os.makedirs(f"{top}/one")
        rows["untar"] = seconds("tar", "-C", f"{top}/one", "-xf", self.tar)
        self.forget(side)
        rows["grep -r, cold"] = seconds("grep", "-r", "no such words", f"{top}/one", code=1)
        rows["grep -r, warm"] = seconds("grep", "-r", "no such words", f"{top}/one", code=1)
        self.forget(side)
        rows["cp -r, cold"] = seconds("cp", "-r", f"{top}/one", f"{top}/two")
        self.later.append((side, lambda: {"rm -r": seconds("rm", "-r", f"{top}/two")}))
        return rows

    def remove(self):
        """ext4 avoids inodes deleted lately: creating after many were deleted measures that search. So deleting comes last."""
        for side, function in self.later:
            yield side, function()

    def groups(self):
        """(name, function of side and repetition, rows' names for --only)"""
        for row in FIO:
            yield row, lambda side, _, row=row: self.fio(row, side)
        for threads in (1, 4):
            yield f"small files, {threads}", lambda side, n, threads=threads: self.small_files(threads, side, n)
        yield "programs", self.programs


# ---- memory ----


def idle_sessions(world, wanted):
    """Sessions that said HELLO as `inlay` does and then nothing. Returns (sessions, KiB of the server per session)."""
    sys.path[1:1] = [os.path.join(ROOT, "tests/e2e/lib")]
    import wire  # noqa: PLC0415, the protocol as the tests speak it

    server, port = world.start_inlayd("state-idle")
    clients = []
    try:
        clients += [wire.Client(f"127.0.0.1:{port}", "b", hello=False) for _ in range(8)]
        for client in clients:
            client.hello(slots=128, max_data=1 << 20)
        before = memory_kib([server.pid], "Rss")
        for _ in range(wanted):
            clients.append(wire.Client(f"127.0.0.1:{port}", "b", hello=False))
            clients[-1].hello(slots=128, max_data=1 << 20)
        if not clients[0].alive() or not clients[-1].alive():
            raise Broken("idle sessions did not stay alive")
        return wanted, (memory_kib([server.pid], "Rss") - before) / wanted
    finally:
        for client in clients:
            client.close()
        world.stop(server)
