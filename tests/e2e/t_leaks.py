# What both ends hold after round upon round of faults: memory, descriptors and threads, looked at when all is calm, and judged by
# their trend. INLAY_SOAK_MINUTES makes it a soak; INLAY_SAMPLES names a file for what was seen.
# SPDX-License-Identifier: Apache-2.0
import os
import random
import statistics
import time

from harness import Failed, test
from storm import all_at_once, clerks
from t_fsx import exercise
from t_programs import sqlite_check
from t_storm import Site

MINUTES = float(os.environ.get("INLAY_SOAK_MINUTES", "0"))
CALM = 12 if MINUTES else 3  # seconds: what is kept for a while, spare threads for 10 s, is given back
KEPT = 16  # directories: of those that a session removed the server keeps the last ones, for who stands in them
NOISE = {"memory": 512, "descriptors": 0.9, "threads": 0.9}  # KiB, count, count: over a whole run


def held(pid):
    with open(f"/proc/{pid}/status") as f:
        fields = dict(line.split(":", 1) for line in f if ":" in line)
    return {"memory": int(fields["RssAnon"].split()[0]), "descriptors": len(os.listdir(f"/proc/{pid}/fd")),
            "threads": int(fields["Threads"])}


def growth(values):
    """By the median of all slopes between two samples, which no single peak moves; less the first third, that warms up."""
    values = values[len(values) // 3:]
    slopes = [(later - values[i]) / (j - i) for i in range(len(values)) for j, later in enumerate(values) if j > i]
    return statistics.median(slopes) * (len(values) - 1)


def leaks(samples):
    """[what grows], of a list of {end: {what: value}}."""
    found = []
    for end in samples[0]:
        for what, noise in NOISE.items():
            values = [sample[end][what] for sample in samples]
            grown = growth(values)
            if grown > max(noise, values[-1] * 0.02 if what == "memory" else 0):
                found.append(f"{end}'s {what} by {grown:.1f} in {len(values)} rounds: {values}")
    return found


def fill_what_is_kept(mounts):
    """So that every sample holds as much of it."""
    for mount in mounts:
        for number in range(KEPT):
            os.mkdir(f"{mount}/kept{number}")
            os.rmdir(f"{mount}/kept{number}")


def write_samples(samples):
    path = os.environ.get("INLAY_SAMPLES")
    if path:
        with open(path, "w") as f:
            for number, sample in enumerate(samples):
                for end, what in sample.items():
                    f.write(f"{number}\t{end}\t" + "\t".join(f"{what[name]}" for name in NOISE) + "\n")


@test(root=True)
def test_leaks_are_noticed(t):
    """the judge of the soak: what stays open on purpose is noticed on both ends, and of made-up series those alone that grow"""
    r = random.Random(1)
    series = {
        "flat": ([5000 + r.randrange(-200, 200) for _ in range(60)], False),
        "sawtooth": ([5000 + 300 * (i % 7) for i in range(60)], False),
        "warming up": ([5000 + 100 * min(i, 15) for i in range(60)], False),
        "one peak": ([5000 + 9000 * (i == 40) for i in range(60)], False),
        "slow leak": ([5000 + 16 * i + r.randrange(-100, 100) for i in range(60)], True),
        "late leak": ([5000 + max(0, i - 30) * 60 for i in range(60)], True),
    }
    for name, (values, wanted) in series.items():
        t.eq(growth(values) > NOISE["memory"], wanted, f"{name}: grows")
    t.eq((growth([20 + i // 10 for i in range(60)]) > NOISE["descriptors"], growth([20 + i % 2 for i in range(60)]) > NOISE["descriptors"]),
         (True, False), "descriptors: one more every tenth round; one more in every other")
    server = t.server()
    a = t.attach(server)
    pid, samples, kept = a.pid(), [], []
    t.file(f"{a.dir}/f", "x")
    for _ in range(12):
        kept += [os.open(f"{a.dir}/f", os.O_RDONLY) for _ in range(60)]
        time.sleep(0.1)
        samples.append({"server": held(server.proc.pid), "client": held(pid)})
    found = leaks(samples)
    t.true(any(line.startswith("server's descriptors") for line in found), f"60 files more open in each round: {found}")
    for fd in kept:
        os.close(fd)


@test(root=True, timeout=180 + 90 * MINUTES)
def test_leaks(t):
    """rounds of faults beneath programs at work, calm after each: descriptors are as before; in a soak, nothing at all has a trend"""
    # An allocator that keeps what each of many threads has once had free takes long to come to its most: here there is one heap.
    os.environ.update(MALLOC_ARENA_MAX="1", MALLOC_TRIM_THRESHOLD_="65536")
    site = Site(t)
    fsx, sqlite = site.directories("fsx"), site.directories("sqlite")
    samples, faults, operations, end = [], 0, 0, time.monotonic() + 60 * MINUTES

    def database():
        t.behind = f"{site.behind}/sqlite"
        sqlite_check(t, "delete", *sqlite)
        os.unlink(f"{t.behind}/test.db")

    def office():
        nonlocal operations
        name = f"office{len(samples)}-{time.monotonic_ns()}"
        site.directories(name)
        operations += clerks(t, site.mounts, f"{site.behind}/{name}", 4)
        t.must("rm", "-rf", f"{site.mounts[0]}/{name}")

    while len(samples) < (3 if MINUTES else 2) or time.monotonic() < end:
        with site.storm(40 if MINUTES else 4, kills=False, pause=0.3, seed=len(samples)) as storm:
            jobs = [lambda: exercise(t, 2000, 1, *fsx, options=["-r"]), office]
            all_at_once(storm, *jobs, *[database] * bool(MINUTES))
        faults += sum(storm.counts.values())
        site.calm()
        fill_what_is_kept(site.mounts)
        with open("/proc/sys/vm/drop_caches", "w") as f:
            f.write("2")  # the kernel remembers names, and so has the client remember nodes, as long as it has memory
        time.sleep(CALM)
        samples.append({"server": held(site.server_pid()), **{f"client {i}": held(pid) for i, pid in enumerate(site.pids)}})
        write_samples(samples)
    print(f"  {faults} faults, {len(samples)} rounds, {operations} operations of clerks; "
          + "; ".join(f"{end} {samples[0][end]} to {samples[-1][end]}" for end in samples[0]))
    found = leaks(samples) if MINUTES else [
        f"{end}'s descriptors: {[sample[end]['descriptors'] for sample in samples]}" for end in samples[0]
        if samples[-1][end]["descriptors"] > max(sample[end]["descriptors"] for sample in samples[:-1])]
    if found:
        raise Failed("; ".join(found))
