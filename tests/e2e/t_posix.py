# The conformance exerciser on an attachment, as root and as an ordinary user; and on a plain directory, its twin.
# SPDX-License-Identifier: Apache-2.0
import glob
import os

from harness import ROOT, Failed, test


def build(t):
    program = t.path("posix")
    sources = sorted(glob.glob(os.path.join(ROOT, "tests/e2e/posix/*.c")))
    t.must("cc", "-std=gnu11", "-D_GNU_SOURCE", "-O1", "-g", "-Wall", "-Wextra", "-Wshadow", "-Wconversion", "-Werror", "-o",
           program, *sources, timeout=120)
    return program


def exercise(t, directory, *flags):
    """Every case is a row. At least as many must have run as there are."""
    program = build(t)
    listed = t.must(program, "-l", directory).stdout.splitlines()
    done = t.run(program, *flags, directory, timeout=900)
    rows = [line.split("\t") for line in done.stdout.splitlines() if "\t" in line and not line.startswith("total\t")]
    for name, result, why in rows:
        t.row(name, {"limit": "pass"}.get(result, result), f"optional: {why}" if result == "skip" else why)
    failed = [f"{name}: {why}" for name, result, why in rows if result == "fail"]
    if len(rows) < len(listed) * 0.8 or done.returncode not in (0, 1):
        raise Failed(f"{len(rows)} of {len(listed)} cases ran, exit {done.returncode}: {done.stderr[-500:]}")
    if failed or done.returncode:
        raise Failed(f"{len(failed)} cases failed, exit {done.returncode}")


@test(subject=True, timeout=400, root=True)
def test_posix_root(t):
    """every file operation and errno, as root"""
    exercise(t, t.subject())


@test(subject=True, timeout=400, root=True)
def test_posix_user(t):
    """the same as an ordinary user"""
    directory = t.subject()
    os.mkdir(f"{directory}/user")
    os.chmod(f"{directory}/user", 0o777)
    exercise(t, f"{directory}/user", "-u")


@test(timeout=400, root=True, quick=False)
def test_posix_local_twin(t):
    """the same on a plain local directory: what fails here is the test's fault, or the host's"""
    exercise(t, t.dir("plain"))
    exercise(t, t.dir("plain-user", 0o777), "-u")
