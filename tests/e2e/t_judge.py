# Local or remote: rules, merged directories, what may not cross, and the underlying directory afterwards.
# SPDX-License-Identifier: Apache-2.0
import errno
import json
import os
import time

from harness import Skip, manifest, test


def two_sides(t, *rules, args=()):
    """A server's tree and a local one that overlap, attached with rules."""
    remote, local = t.export(), t.dir("local")
    for side, top in (("remote", remote), ("local", local)):
        os.makedirs(f"{top}/both/deep", exist_ok=True)
        os.makedirs(f"{top}/{side}-dir/sub", exist_ok=True)
        t.file(f"{top}/{side}-file", side)
        t.file(f"{top}/both-file", f"{side}'s")
        t.file(f"{top}/both/{side}-in-both", side)
        t.file(f"{top}/both/clash", side)
        t.file(f"{top}/both/deep/{side}-deep", side)
        t.file(f"{top}/{side}-dir/sub/f", side)
        t.file(f"{top}/build.o", side)
        os.symlink(f"{side}-file", f"{top}/{side}-link")
    os.chmod(f"{local}/local-file", 0o640)
    t.before = manifest(local)
    flags = [word for rule in rules for word in ("--rule", rule)]
    return t.attach(t.server(), local, *flags, *args), remote, local


def explain(t, path):
    done = t.must(t.program("inlay"), "explain", "--json", path)
    row = json.loads(done.stdout)
    return row["side"], row["merged"], row["why"]


def read(path):
    with open(path) as f:
        return f.read()


@test(root=True)
def test_judge_without_rules(t):
    """what lies in the local directory is local, all else and everything new is remote; listings show each name once"""
    a, remote, d = two_sides(t)
    t.eq(sorted(os.listdir(d)), ["both", "both-file", "build.o", "local-dir", "local-file", "local-link", "remote-dir",
                                 "remote-file", "remote-link"])
    t.eq(sorted(os.listdir(f"{d}/both")), ["clash", "deep", "local-in-both", "remote-in-both"])
    t.eq(sorted(os.listdir(f"{d}/both/deep")), ["local-deep", "remote-deep"])
    t.eq(read(f"{d}/local-file"), "local")
    t.eq(read(f"{d}/remote-file"), "remote")
    t.eq(read(f"{d}/both-file"), "local's")
    t.eq(read(f"{d}/both/clash"), "local")
    t.eq(read(f"{d}/both/remote-in-both"), "remote")
    t.eq(read(f"{d}/both/deep/remote-deep"), "remote")
    t.eq(read(f"{d}/local-link"), "local")
    t.eq(read(f"{d}/remote-dir/sub/f"), "remote")
    t.file(f"{d}/new", "new")
    t.eq(read(f"{remote}/new"), "new", "a new file is the server's")
    t.file(f"{d}/both/new", "new")
    t.eq(read(f"{remote}/both/new"), "new")
    os.mkdir(f"{d}/newdir")
    t.true(os.path.isdir(f"{remote}/newdir"), "a new directory is the server's")
    t.eq(os.stat(f"{d}/local-file").st_mode & 0o7777, 0o640)
    a.detach()
    t.eq(manifest(d), t.before, "the underlying directory after detach")


@test(root=True)
def test_judge_rules(t):
    """the first rule that matches decides, for what exists and for what is new"""
    a, remote, d = two_sides(t, "local *.o", "remote /both/clash", "local /scratch/", "local **/cache/**")
    t.eq(read(f"{d}/build.o"), "local")
    t.eq(read(f"{d}/both/clash"), "remote")
    t.file(f"{d}/new.o", "object")
    t.true(not os.path.exists(f"{remote}/new.o"), "a file that a rule calls local came to the server")
    t.file(f"{d}/remote-dir/sub/x.txt", "text")
    t.eq(read(f"{remote}/remote-dir/sub/x.txt"), "text")
    os.mkdir(f"{d}/scratch")
    t.file(f"{d}/scratch/file", "mine")
    t.true(not os.path.exists(f"{remote}/scratch"), "scratch/ came to the server")
    t.eq(sorted(os.listdir(d)), ["both", "both-file", "build.o", "local-dir", "local-file", "local-link", "new.o", "remote-dir",
                                 "remote-file", "remote-link", "scratch"])
    a.detach()
    t.eq(read(f"{d}/new.o"), "object", "the local file after detach")
    t.eq(read(f"{d}/scratch/file"), "mine")
    t.true(not os.path.exists(f"{d}/remote-file"), "a remote file is seen after detach")


@test(root=True)
def test_judge_remote_wins(t):
    """with `remote **` the local files are hidden, and untouched afterwards"""
    a, remote, d = two_sides(t, "remote **")
    t.eq(sorted(os.listdir(d)), sorted(os.listdir(remote)))
    t.eq(read(f"{d}/both-file"), "remote's")
    t.true(not os.path.exists(f"{d}/local-file"), "a local file shows through")
    t.file(f"{d}/both-file", "changed")
    os.unlink(f"{d}/build.o")
    t.file(f"{d}/local-file", "another")
    t.eq(read(f"{remote}/local-file"), "another")
    a.detach()
    t.eq(manifest(d), t.before, "the underlying directory after detach")


@test(root=True)
def test_judge_explain(t):
    """explain says the side and the reason, for names that exist and that don't"""
    a, remote, d = two_sides(t, "local *.o", "remote /both/clash")
    side, merged, why = explain(t, f"{d}/x/y.o")
    t.eq(side, "local")
    t.contains(why, "local *.o")
    t.eq(explain(t, f"{d}/both/clash")[0], "remote")
    t.contains(explain(t, f"{d}/both/clash")[2], "remote /both/clash")
    t.eq(explain(t, f"{d}/local-file")[0], "local")
    t.eq(explain(t, f"{d}/remote-file")[0], "remote")
    t.eq(explain(t, f"{d}/nothing")[0], "remote")
    t.eq(explain(t, f"{d}/both")[1], True, "merged")
    t.eq(explain(t, f"{d}/remote-dir")[1], False, "merged")
    text = t.must(t.program("inlay"), "explain", f"{d}/local-file", f"{d}/remote-file").stdout.splitlines()
    t.eq([line.split()[0] for line in text], ["local", "remote"])
    t.refused(t.inlay("explain", t.path("elsewhere")), 1, "not in an attached directory")


@test(root=True)
def test_judge_crossing(t):
    """rename and link across the sides give EXDEV, so that mv and cp do it by copying"""
    a, remote, d = two_sides(t, "local *.o", "remote *.r")
    t.raises(errno.EXDEV, os.rename, f"{d}/local-file", f"{d}/remote-dir/moved")
    t.raises(errno.EXDEV, os.rename, f"{d}/local-file", f"{d}/moved.r")
    t.raises(errno.EXDEV, os.rename, f"{d}/remote-file", f"{d}/remote.o")
    t.raises(errno.EXDEV, os.link, f"{d}/remote-file", f"{d}/linked.o")
    t.raises(errno.EXDEV, os.link, f"{d}/local-file", f"{d}/linked.r")
    t.raises(errno.EXDEV, os.link, f"{d}/local-file", f"{d}/remote-dir/linked")
    os.link(f"{d}/local-file", f"{d}/linked")  # without a rule a new name keeps its file's side
    t.true(not os.path.exists(f"{remote}/linked"), "a local file's new name came to the server")
    t.must("mv", f"{d}/remote-file", f"{d}/moved.o")
    t.eq(read(f"{d}/moved.o"), "remote")
    t.true(not os.path.exists(f"{remote}/remote-file"), "the source of mv is still there")
    t.must("mv", f"{d}/moved.o", f"{d}/back.r")
    t.eq(read(f"{remote}/back.r"), "remote")
    t.must("cp", "-a", f"{d}/both", f"{d}/copy")
    t.eq(sorted(os.listdir(f"{remote}/copy")), ["clash", "deep", "local-in-both", "remote-in-both"])
    os.rename(f"{d}/remote-dir", f"{d}/renamed")
    t.eq(read(f"{remote}/renamed/sub/f"), "remote")
    os.rename(f"{d}/build.o", f"{d}/other.o")
    t.eq(read(f"{d}/other.o"), "local", "a rename among local names")


@test(root=True)
def test_judge_merged_directory_changes(t):
    """removing and renaming in merged directories: what belongs to both is not torn"""
    a, remote, d = two_sides(t)
    t.raises(errno.ENOTEMPTY, os.rmdir, f"{d}/both")
    try:
        os.rename(f"{d}/both", f"{d}/both2")
        t.true(False, "a merged directory was renamed")
    except OSError as e:
        t.contains((errno.EXDEV, errno.EBUSY), e.errno)
    t.must("rm", "-r", f"{d}/both/deep/remote-deep")
    t.true(not os.path.exists(f"{remote}/both/deep/remote-deep"), "not removed on the server")
    t.eq(os.listdir(f"{d}/both/deep"), ["local-deep"])
    a.detach()
    t.eq(manifest(d), t.before, "the underlying directory after detach")


@test(root=True)
def test_judge_local_files_work(t):
    """local files beneath: opened, written, mapped, locked, renamed, removed, executed; the server never sees it"""
    a, remote, d = two_sides(t, "local /local-dir/**")
    before = manifest(remote)
    t.shell("echo hello > f; echo more >> f; test $(wc -l < f) = 2; cp f g; mv g h; ln h i; rm h; chmod 700 i; mkdir -p x/y;"
            "printf '#!/bin/sh\\necho ran\\n' > s; chmod +x s; test $(./s) = ran; touch -d 2001-01-01 f; flock f true;"
            "dd if=/dev/zero of=big bs=1M count=8 status=none oflag=direct; dd if=big of=/dev/null bs=1M iflag=direct status=none;"
            "truncate -s 3000 big; test $(stat -c %s big) = 3000; setfattr -n user.a -v b f; getfattr -n user.a f > /dev/null",
            cwd=f"{d}/local-dir")
    t.eq(manifest(remote), before, "the server's tree")
    a.detach()
    t.eq(sorted(os.listdir(f"{d}/local-dir")), ["big", "f", "i", "s", "sub", "x"])
    t.eq(os.stat(f"{d}/local-dir/big").st_size, 3000)


@test(root=True)
def test_judge_posix_on_local_side(t):
    """the conformance exerciser beneath a local rule: the local side behaves as the plain directory does"""
    import t_posix
    remote, d = t.export(), t.dir("local")
    os.mkdir(f"{d}/work")
    a = t.attach(t.server(), d, "--rule", "local /work/**")
    t_posix.exercise(t, f"{d}/work")
    a.detach()
    t.eq(os.listdir(remote), [])
    t.eq(os.listdir(f"{d}/work"), [])


@test(root=True)
def test_judge_passthrough(t):
    """status says whether local files go through the kernel alone, or why not; they are as fast as they should be"""
    a, remote, d = two_sides(t)
    status = a.status()
    t.contains(status, "passthrough")
    if not status["passthrough"]:
        t.true(status["passthrough_why"], "no passthrough, and no reason given")
        raise Skip(f"optional: this kernel has no passthrough: {status['passthrough_why']}")
    t.file(f"{t.path('plain')}", os.urandom(32 << 20))
    t.shell(f"cp {t.path('plain')} {d}/local-file")

    def seconds(path):
        best = 9e9
        for _ in range(5):
            begin = time.monotonic()
            with open(path, "rb", buffering=0) as f:
                while f.read(1 << 20):
                    pass
            best = min(best, time.monotonic() - begin)
        return best

    plain, ours = seconds(t.path("plain")), seconds(f"{d}/local-file")
    print(f"  32 MiB read: plain {plain * 1000:.1f} ms, local side {ours * 1000:.1f} ms")
    t.true(ours < plain * 2 + 0.01, f"the local side takes {ours / plain:.1f} times as long")


@test(root=True)
def test_judge_underlying_is_untouched(t):
    """much work in an attachment without local rules: the underlying directory is as it was, byte for byte"""
    a, remote, d = two_sides(t)
    t.shell("for i in $(seq 100); do echo $i > n$i; done; mkdir -p a/b; mv n1 a/b; rm n2*; ln -s n3 l; cp -r both-file c;"
            "find . > /dev/null; cat local-file > /dev/null; touch remote-file; chmod 600 remote-file; tar cf all.tar a", cwd=d)
    a.detach()
    t.eq(manifest(d), t.before, "the underlying directory after detach")


@test(root=True)
def test_judge_bad_rules(t):
    """rules that are none: one line, exit code 2, nothing mounted"""
    t.export()
    server, d = t.server(), t.dir("mnt")
    for rule in ("", "loca *.o", "local", "local ", "local [a", "local a\\", "remote a**b", "*.o"):
        done = t.inlay("attach", f"{server.address}/e", d, "--rule", rule)
        t.refused(done, 2, "rule")
