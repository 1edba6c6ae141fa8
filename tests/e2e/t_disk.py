# Disks that fail under an export: small, full, broken or read-only ones, real as far as the kernel can make them. What a program
# is told through an attachment is what the same disk tells a program on the server.
# SPDX-License-Identifier: Apache-2.0
import ctypes
import errno
import fcntl
import mmap
import os
import signal
import struct
import subprocess
import sys

from harness import Skip, test, wait_for

EXT4_SHUTDOWN = 0x8004587D  # EXT4_IOC_SHUTDOWN: every request to the disk fails from now on
MIB = 1 << 20
libc = ctypes.CDLL(None)


def outcome(function, *arguments):
    """What a call gave: its result, or the error's name."""
    try:
        return function(*arguments)
    except OSError as e:
        return errno.errorcode[e.errno]


class ThinDisk:
    """An ext4 that believes in 64 MiB, on a store of 4: its write-back fails, with ENOSPC as the kernel's loop device has it."""

    def __init__(self, t, name):
        below = t.dir(f"{name}-below")
        self.top, self.ballast = t.dir(name), f"{below}/ballast"
        t.mount("-t", "tmpfs", "-o", "size=4M", "none", below)
        t.shell(f"truncate -s 64M {below}/disk; mkfs.ext4 -q -F -O ^has_journal {below}/disk")
        t.mount("-o", "loop", f"{below}/disk", self.top)

    def fail(self):
        fd = os.open(self.top, os.O_RDONLY)
        libc.syncfs(fd)
        os.close(fd)
        with open(self.ballast, "wb", buffering=0) as f:
            while isinstance(outcome(f.write, bytes(4096)), int):
                pass

    def heal(self):
        os.unlink(self.ballast)


def small_disk(t, name, size, *options):
    """An ext4 of its own; returns its directory."""
    image, top = t.path(f"{name}.img"), t.dir(name)
    t.shell(f"truncate -s {size} {image}; mkfs.ext4 -q -F -m 0 -I 128 -O ^has_journal {image}")
    t.mount("-o", ",".join(("loop", *options)), image, top)
    return top


def fill(directory, leave=0):
    """Until nothing more fits but `leave` bytes."""
    fd = os.open(f"{directory}/.filler", os.O_WRONLY | os.O_CREAT)
    size = 0
    for step in (1 << 16, 1 << 10):
        while outcome(os.posix_fallocate, fd, size, step) is None:
            size += step
    os.ftruncate(fd, size - leave)
    os.fsync(fd)
    os.close(fd)


class FullDisk:
    """An ext4 that is full now and then."""

    def __init__(self, t, name):
        self.top = small_disk(t, name, "8M")

    def fail(self):
        fill(self.top)

    def heal(self):
        os.unlink(f"{self.top}/.filler")


def synced_by_turns(first, second):
    """Two open files of one name write, the disk fails their data, and each asks twice. What they were told."""
    fds = [os.open(f"{d}/f", os.O_RDWR | os.O_CREAT, 0o644) for d in (first, first, second)]
    os.pwrite(fds[0], b"a" * MIB, 0)
    os.pwrite(fds[2], b"b" * MIB, MIB)
    said = [outcome(os.fsync, fd) for fd in (fds[0], fds[0], fds[1], fds[2], fds[2], fds[1])]
    late = os.open(f"{second}/f", os.O_RDWR)
    said.append(outcome(os.fsync, late))
    for fd in (*fds, late):
        os.close(fd)
    return said


@test(root=True)
def test_disk_write_back(t):
    """a failed write-back is told by fsync once to each open file, of one client and of another, as on the server; then it is over"""
    disk, twin = ThinDisk(t, "disk"), ThinDisk(t, "twin")
    server = t.server({"e": f"{disk.top},identity=client"})
    mounts = [t.attach(server).dir for _ in range(2)]
    for d in (disk, twin):
        d.fail()
    wanted = ["ENOSPC", None, "ENOSPC", "ENOSPC", None, None, None]
    t.eq(synced_by_turns(twin.top, twin.top), wanted, "on the server's own disk")
    t.eq(synced_by_turns(*mounts), wanted, "through attachments")
    disk.heal()
    fd = os.open(f"{mounts[0]}/f", os.O_RDWR | os.O_TRUNC)
    data = os.urandom(MIB)
    t.eq((os.write(fd, data), outcome(os.fsync, fd), outcome(os.close, fd)), (MIB, None, None), "with room again")
    t.shell(f"echo 3 > /proc/sys/vm/drop_caches; sha256sum < {mounts[1]}/f")
    with open(f"{mounts[1]}/f", "rb") as f:
        t.true(f.read() == data, "what fsync acknowledged is not there")


@test(root=True)
def test_disk_write_back_and_removals(t):
    """the error stays an error when the server had room to give back: asked again, the disk would know of nothing"""
    disk = ThinDisk(t, "disk")
    a = t.attach(t.server({"e": f"{disk.top},identity=client"}))
    disk.fail()
    for how in (os.fsync, os.fdatasync):
        fd = os.open(f"{a.dir}/f", os.O_RDWR | os.O_CREAT, 0o644)
        os.write(fd, b"x" * MIB)
        t.file(f"{a.dir}/removed", b"y" * 4096)
        os.unlink(f"{a.dir}/removed")  # found by its identity for a moment longer, so that there is room to give back
        t.eq((outcome(how, fd), outcome(how, fd)), ("ENOSPC", None), how.__name__)
        os.close(fd)


@test(root=True)
def test_disk_synchronous_writes(t):
    """O_SYNC and O_DSYNC: the write itself is told, each one, and an append that failed so is not done twice"""
    disk, twin = ThinDisk(t, "disk"), ThinDisk(t, "twin")
    a = t.attach(t.server({"e": f"{disk.top},identity=client"}))

    def run(directory):
        said = []
        for number, flag in enumerate((os.O_SYNC, os.O_DSYNC)):
            fd = os.open(f"{directory}/{number}", os.O_WRONLY | os.O_CREAT | os.O_APPEND | flag, 0o644)
            t.file(f"{directory}/removed", b"y" * 4096)
            os.unlink(f"{directory}/removed")
            said += [outcome(os.write, fd, b"x" * 300000), os.fstat(fd).st_size, outcome(os.write, fd, b"x" * 5000)]
            said += [os.fstat(fd).st_size, outcome(os.fsync, fd)]
            os.close(fd)
        return said

    for d in (disk, twin):
        d.fail()
    wanted = run(twin.top)
    t.eq(wanted[:2], ["ENOSPC", 300000], "on the server's own disk")
    t.eq(run(a.dir), wanted, "through an attachment")


@test(root=True)
def test_disk_mapped(t):
    """mapped writes that the disk can't take, in whole or in part: msync says so, or fsync once they are unmapped, once"""
    top = small_disk(t, "disk", "8M")
    a = t.attach(t.server({"e": f"{top},identity=client"}))
    for leave in (40960, 65536 + 4096, 0):
        with open(f"{a.dir}/f", "w+b") as f:
            f.truncate(MIB)
            fill(top, leave)
            m = mmap.mmap(f.fileno(), MIB)
            m[:] = b"m" * MIB
            t.eq(outcome(m.flush), "ENOSPC", f"msync with room for {leave} of {MIB} bytes")
            m.close()
        with open(f"{a.dir}/f", "r+b", buffering=0) as f:
            m = mmap.mmap(f.fileno(), MIB)
            m[:] = b"n" * MIB
            m.close()
            t.eq((outcome(os.fsync, f.fileno()), outcome(os.fsync, f.fileno())), ("ENOSPC", None), f"fsync with room for {leave}")
        os.unlink(f"{top}/.filler")
        with open(f"{a.dir}/f", "r+b") as f:
            m = mmap.mmap(f.fileno(), MIB)
            m[:] = b"o" * MIB
            t.eq(outcome(m.flush), None, "msync with room again")
            m.close()
        with open(f"{top}/f", "rb") as f:
            t.true(f.read() == b"o" * MIB, "what msync acknowledged is not there")
        os.truncate(f"{a.dir}/f", 0)  # its room is given back at once, that of a removed file a moment later


@test(root=True)
def test_disk_full_of_names(t):
    """a full disk refuses what needs room, at that very call, and nothing of it is left; what needs none goes on"""
    top = small_disk(t, "disk", "1M")
    a = t.attach(t.server({"e": f"{top},identity=client"}))
    os.mkdir(f"{a.dir}/d")
    t.file(f"{a.dir}/f", b"x" * 5000)
    fd = os.open(f"{a.dir}/f", os.O_RDWR)
    fill(top)
    long = "n" * 200
    kept = os.listdir(top)
    for function, *arguments in ((os.mkdir, f"{a.dir}/new"), (os.symlink, "t" * 1000, f"{a.dir}/new"),
                                 (os.pwrite, fd, b"x" * 65536, 100000),
                                 (os.setxattr, f"{a.dir}/f", "user.big", b"v" * 2000)):
        t.eq(outcome(function, *arguments), "ENOSPC", function.__name__)
    t.eq(os.listdir(top), kept, "names afterwards")
    t.eq((os.fstat(fd).st_size, os.pread(fd, 10000, 0)), (5000, b"x" * 5000), "the file afterwards")
    t.eq(outcome(os.posix_fallocate, fd, 0, MIB), "ENOSPC", "posix_fallocate")
    # Until the directory's own block is full: then a name needs room, too.
    said = [outcome(os.link, f"{a.dir}/f", f"{a.dir}/d/{i}{long}") for i in range(30)]
    t.eq(said[-1], "ENOSPC", "link")
    for function, *arguments in ((os.rename, f"{a.dir}/f", f"{a.dir}/d/r{long}"), (os.mknod, f"{a.dir}/d/m{long}")):
        t.eq(outcome(function, *arguments), "ENOSPC", function.__name__)
    t.eq(sorted(os.listdir(top)), sorted(kept), "names afterwards")
    t.eq(outcome(os.ftruncate, fd, MIB), None, "a longer file with a hole")
    t.eq((outcome(os.pwrite, fd, b"y" * 1000, 0), outcome(os.fsync, fd)), (1000, None), "what has its blocks already")
    t.eq(outcome(os.ftruncate, fd, 0), None)
    os.unlink(f"{top}/.filler")
    t.eq((outcome(os.mkdir, f"{a.dir}/new"), outcome(os.rename, f"{a.dir}/f", f"{a.dir}/d/r{long}")), (None, None), "with room again")


@test(root=True)
def test_disk_breaks(t):
    """the server's disk fails for good: EIO, at each call, and the server serves others"""
    disk, twin = small_disk(t, "disk", "16M"), small_disk(t, "twin", "16M")
    server = t.server({"e": f"{disk},identity=client", "fine": f"{t.export()},identity=client"})
    a, fine = t.attach(server), t.attach(server, export="fine")

    def before(directory):
        fd = os.open(f"{directory}/f", os.O_RDWR | os.O_CREAT, 0o644)
        os.write(fd, b"x" * 100000)
        return fd

    def after(directory, fd):
        said = [outcome(os.fsync, fd), outcome(os.pwrite, fd, b"y", 0), outcome(os.mkdir, f"{directory}/d")]
        said += [outcome(os.unlink, f"{directory}/f"), outcome(os.ftruncate, fd, 0), outcome(os.close, fd)]
        return said

    fds = before(twin), before(a.dir)
    for directory in (twin, disk):
        fd = os.open(directory, os.O_RDONLY)
        fcntl.ioctl(fd, EXT4_SHUTDOWN, struct.pack("I", 2))  # without a flush
        os.close(fd)
    wanted = after(twin, fds[0])
    t.eq(wanted[:4], ["EIO"] * 4, "on the server's own disk")
    t.eq(after(a.dir, fds[1]), wanted, "through an attachment")
    t.file(f"{fine.dir}/f", "still serving")
    with open(f"{t.export()}/f") as f:
        t.eq(f.read(), "still serving")


@test(root=True)
def test_disk_turns_readonly(t):
    """a disk that the kernel makes read-only in mid-work: EROFS for changes, what is there can be read"""
    image, top = t.path("journaled.img"), t.dir("journaled")
    t.shell(f"truncate -s 16M {image}; mkfs.ext4 -q -F {image}")
    t.mount("-o", "loop", image, top)
    a = t.attach(t.server({"e": f"{top},identity=client"}))
    t.file(f"{a.dir}/f", "content")
    fd = os.open(f"{a.dir}/f", os.O_RDWR)
    os.fsync(fd)
    t.must("mount", "-o", "remount,abort", top)
    wait_for("the disk to be read-only", lambda: outcome(os.mkdir, f"{top}/d") == "EROFS")
    t.eq((outcome(os.mkdir, f"{a.dir}/d"), outcome(os.pwrite, fd, b"x", 0), outcome(os.open, f"{a.dir}/g", os.O_CREAT | os.O_WRONLY),
          outcome(os.unlink, f"{a.dir}/f"), outcome(os.ftruncate, fd, 0)), ("EROFS",) * 5, "changes")
    t.eq(os.pread(fd, 100, 0), b"content")


# Maps a file and reads what the disk can't give.
READER = """
import mmap, sys
with open(sys.argv[1], "rb") as f:
    m = mmap.mmap(f.fileno(), 0, prot=mmap.PROT_READ)
    print(m[int(sys.argv[2])], flush=True)
"""


@test(root=True)
def test_disk_unreadable(t):
    """bytes that can't be read: EIO there and not elsewhere, SIGBUS in a map; and they are read when the disk gives them again"""
    below, top = t.dir("below"), t.dir("disk")
    t.mount("-t", "tmpfs", "-o", "size=64M", "none", below)
    t.shell(f"truncate -s 32M {below}/image; mkfs.ext4 -q -F -O ^has_journal {below}/image")
    t.mount("-o", "loop", f"{below}/image", top)
    a = t.attach(t.server({"e": f"{top},identity=client"}))
    data = os.urandom(16 * MIB)
    t.file(f"{a.dir}/f", data)
    t.shell(f"sync; cp {below}/image {below}/copy; truncate -s 20M {below}/image; echo 3 > /proc/sys/vm/drop_caches")
    fd = os.open(f"{a.dir}/f", os.O_RDONLY)
    said = [outcome(os.pread, fd, 65536, at) for at in range(0, 16 * MIB, MIB)]
    bad = [at for at, got in enumerate(said) if got == "EIO"]
    t.true(3 < len(bad) < 16, f"{len(bad)} of 16 places can't be read")
    for at, got in enumerate(said):
        t.true(got == "EIO" or got == data[at * MIB:at * MIB + 65536], f"wrong bytes at {at} MiB")
    good = next(at for at, got in enumerate(said) if got != "EIO")
    t.eq(t.run(sys.executable, "-c", READER, f"{a.dir}/f", str(good * MIB)).stdout, f"{data[good * MIB]}\n", "a map of what can be read")
    mapped = t.run(sys.executable, "-c", READER, f"{a.dir}/f", str(bad[0] * MIB))
    t.eq(mapped.returncode, -signal.SIGBUS, f"a map of what can't be read: {mapped.stdout}{mapped.stderr}")
    t.shell(f"cat {below}/copy > {below}/image; echo 3 > /proc/sys/vm/drop_caches")
    with open(f"{a.dir}/f", "rb") as f:
        t.true(f.read() == data, "the disk is whole again, the file is not")


# inlayd under limits of the kernel's, as a shell's ulimit sets them.
LIMITED = """#!%s
import os, resource, signal, sys
signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))
os.execv(%r, [%r, *sys.argv[1:]])
"""


@test(root=True)
def test_disk_file_size_limit(t):
    """a limit on the size of files on the server: the write that reaches it is cut short, the next is EFBIG, the server lives"""
    script = t.file(t.path("limited"), LIMITED % (sys.executable, t.inlayd, t.inlayd))
    os.chmod(script, 0o755)
    server = t.server(binary=script)
    a = t.attach(server)
    fd = os.open(f"{a.dir}/f", os.O_RDWR | os.O_CREAT, 0o644)
    t.eq(os.pwrite(fd, b"x" * 5000, MIB - 3000), 3000, "bytes of the write that reaches the limit")
    for function, *arguments in ((os.pwrite, fd, b"x", MIB), (os.ftruncate, fd, MIB + 1), (os.posix_fallocate, fd, MIB, 10)):
        t.eq(outcome(function, *arguments), "EFBIG", function.__name__)
    t.true(server.alive(), "a client's write beyond the limit has ended the server")
    t.eq((os.fstat(fd).st_size, os.pread(fd, 10000, MIB - 3000)), (MIB, b"x" * 3000))


@test(root=True)
def test_disk_quota(t):
    """a quota on the server: EDQUOT at the write or fsync that exceeds it, and what was acknowledged is there"""
    if not os.path.exists("/sbin/mkfs.btrfs"):
        raise Skip("optional: mkfs.btrfs is not installed, and no other file system of this kernel has quotas")
    image, top = t.path("btrfs.img"), t.dir("btrfs")
    t.shell(f"truncate -s 256M {image}; mkfs.btrfs -q {image}")
    t.mount("-o", "loop", image, top)
    t.shell(f"btrfs subvolume create {top}/v; btrfs quota enable {top}; btrfs qgroup limit 4M {top}/v")
    a = t.attach(t.server({"e": f"{top}/v,identity=client"}))
    fd = os.open(f"{a.dir}/f", os.O_WRONLY | os.O_CREAT)
    written, told = 0, None
    while told is None and written < 32 * MIB:
        got = outcome(os.write, fd, os.urandom(100000))
        if isinstance(got, int):
            written += got
            told = outcome(os.fsync, fd)
        else:
            told = got
    t.eq(told, "EDQUOT", f"after {written} bytes")
    t.true(written > MIB, f"only {written} bytes fitted")
    t.eq(outcome(os.fsync, fd), None, "fsync of what was written")
    t.eq(os.stat(f"{top}/v/f").st_size, written, "what was acknowledged")
    os.close(fd)


# Not in the test's own process: what that starts anew, a server, would close the files on its way, and wait for itself.
HOLDER = """
import errno, fcntl, os, sys
def outcome(function, *arguments):
    try:
        return function(*arguments)
    except OSError as e:
        return errno.errorcode[e.errno]
plain, locked = (os.open(f"{sys.argv[1]}/{name}", os.O_RDWR | os.O_CREAT, 0o644) for name in ("plain", "locked"))
fcntl.lockf(locked, fcntl.LOCK_EX)
print(os.write(plain, b"one "), os.write(locked, b"one "), flush=True)
sys.stdin.readline()
print(*(outcome(os.write, fd, b"two") for fd in (plain, locked)), *(outcome(os.fsync, fd) for fd in (plain, locked)), flush=True)
"""


@test(root=True)
def test_disk_of_the_state_full(t):
    """no room for the server's own notes: it says so and serves; a restart loses no open file, and the locks, which it tells"""
    top = small_disk(t, "state", "256K")
    server = t.server()
    fill(top)
    a = t.attach(server)
    holder = t.start(sys.executable, "-c", HOLDER, a.dir, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    t.eq(holder.stdout.readline(), "4 4\n")
    server.stop(signal.SIGKILL)
    server.start()
    t.eq(holder.communicate("\n", timeout=30)[0], "3 ESTALE None ESTALE\n", "after the restart")
    t.contains(server.log(), "will be lost when this server restarts")
    with open(f"{t.export()}/plain") as f:
        t.eq(f.read(), "one two")
