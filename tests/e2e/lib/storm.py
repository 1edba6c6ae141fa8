# Faults without end: a thread that breaks things, one after the other, as a seed has it, while programs work; and what programs
# of its own are told by an attachment, to be compared with what is there in the end.
# SPDX-License-Identifier: Apache-2.0
import collections
import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time

from harness import Failed, wait_for
from proxy import REPLY, REQUEST

SEED = int(os.environ.get("INLAY_SEED", "1"))


class Storm:
    """
    Breaks things `wanted` times. server_pid(): the server's process of the moment, or None to leave it alive; proxies: what stands
    before it, one per client; clients: processes of the redirectors.
    """

    def __init__(self, wanted, proxies, clients, server_pid, kills=True, pause=0.5, revive=None, disk=None, seed=0):
        self.wanted, self.proxies, self.clients, self.server_pid, self.pause = wanted, proxies, clients, server_pid, pause
        self.revive, self.random, self.counts, self.error = revive, random.Random(f"{SEED} {seed}"), collections.Counter(), None
        self.faults = [self.cut, self.cut, self.cut_at_byte, self.cut_at_byte, self.silence, self.half, self.shut_out,
                       self.stop_server, self.stop_client]
        self.faults += [self.kill_server] * 3 * kills + [self.kill_client] * 3 * (revive is not None)
        self.disk = disk
        self.faults += [self.fill_disk] * 10 * (disk is not None)
        self.over = threading.Event()
        self.thread = threading.Thread(target=self.work, daemon=True)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.thread.join()

    def done(self):
        return self.over.is_set() or sum(self.counts.values()) >= self.wanted

    def work(self):
        try:
            while not self.done():
                fault = self.random.choice(self.faults)
                fault()
                self.counts[fault.__name__.replace("_", " ")] += 1
                self.over.wait(self.pause * self.random.uniform(0.3, 1.7))
        except Exception as e:
            self.error = e
        self.over.set()

    def any_proxy(self):
        return self.random.choice(self.proxies)

    def cut(self):
        self.any_proxy().break_some(self.random.choice(("reset", "close")), self.random.choice((1, None)))

    def cut_at_byte(self):
        self.any_proxy().cut_after(self.random.choice((REQUEST, REPLY)), self.random.randrange(1, 20000), self.random.choice(("reset", "close")))

    def half(self):
        self.any_proxy().break_some("half", 1)

    def silence(self):
        """Nothing comes through for a while, and then it is too late."""
        proxy = self.any_proxy()
        links = proxy.some(self.random.choice((1, None)))
        for link in links:
            link.end("silence")
        time.sleep(self.random.uniform(0.05, 1.5))
        for link in links:
            link.end("reset")

    def shut_out(self):
        proxy = self.any_proxy()
        proxy.shut = True
        proxy.break_some("reset")
        time.sleep(self.random.uniform(0.01, 2))
        proxy.shut = False

    def stop(self, pid):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGSTOP)
            time.sleep(self.random.uniform(0.05, 1.5))
            os.kill(pid, signal.SIGCONT)

    def stop_server(self):
        self.stop(self.server_pid())

    def stop_client(self):
        self.stop(self.random.choice(self.clients))

    def kill_server(self):
        pid = self.server_pid()
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        wait_for("another server", lambda: self.server_pid() != pid)

    def kill_client(self):
        """revive(pid) returns the process that has taken over."""
        at = self.random.randrange(len(self.clients))
        os.kill(self.clients[at], signal.SIGKILL)
        self.clients[at] = self.revive(self.clients[at])

    def fill_disk(self):
        self.disk.fail()
        time.sleep(self.random.uniform(0.1, 1))
        self.disk.heal()

    def told(self):
        return ", ".join(f"{count} {name}" for name, count in sorted(self.counts.items()))


def all_at_once(storm, *jobs):
    """Each job again and again, beside the others, until the storm is over. Returns how often they were done."""
    errors, rounds = [], 0
    lock = threading.Lock()

    def work(job):
        nonlocal rounds
        try:
            while not storm.done() and not errors:
                job()
                with lock:
                    rounds += 1
        except Exception as e:
            errors.append(e)
            storm.over.set()

    threads = [threading.Thread(target=work, args=(job,)) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if storm.error:
        raise Failed(f"the storm itself: {storm.error}")
    if errors:
        raise errors[0]
    return rounds


# Does one thing after the other in a directory that several share, until the stop file is there; says what it was told of each.
CLERK = """
import errno, fcntl, json, os, random, sys
directory, who, seed, stop = sys.argv[1:]
r = random.Random(f"{seed} {who}")
os.chdir(directory)
told = {"lines": [], "made": [], "taken": [], "counted": 0, "moved": 0, "links": 0, "dirs": [], "all": 0}
log = os.open("log", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
counter = os.open("counter", os.O_RDWR | os.O_CREAT, 0o644)
own = os.open(f"own-{who}", os.O_RDWR | os.O_CREAT, 0o644)
n = moves = 0
def line():
    text = f"{who} {n} " + "x" * r.randrange(200)
    wrote = os.write(log, text.encode() + b"\\n")
    assert wrote == len(text) + 1, f"{wrote} bytes written of {len(text) + 1}: {text}"
    told["lines"].append(text)
def make():
    name = f"x{r.randrange(500)}"
    try:
        os.close(os.open(name, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
        told["made"].append(name)
    except FileExistsError:
        pass
def take():
    if told["made"]:
        name = told["made"].pop(r.randrange(len(told["made"])))
        os.unlink(name)  # nobody else may: it is there, once
        told["taken"].append(name)
def count():
    fcntl.lockf(counter, fcntl.LOCK_EX)
    value = int(os.pread(counter, 20, 0) or b"0")
    os.pwrite(counter, str(value + 1).encode(), 0)
    fcntl.lockf(counter, fcntl.LOCK_UN)
    told["counted"] += 1
def move():
    global moves
    if moves == 0:
        os.close(os.open(f"m{who}.0", os.O_CREAT | os.O_EXCL | os.O_WRONLY))
    os.rename(f"m{who}.{moves}", f"m{who}.{moves + 1}")
    moves += 1
    told["moved"] = moves
def link():
    os.link(f"own-{who}", f"l{who}.{told['links']}")
    told["links"] += 1
    assert os.fstat(own).st_nlink == 1 + told["links"], "links"
def directory():
    name = f"d{who}.{n}"
    os.mkdir(name)
    if r.randrange(2):
        os.rmdir(name)
    else:
        told["dirs"].append(name)
def sync():
    os.fsync(log)
while not os.path.exists(stop):
    r.choice((line, line, make, make, take, count, count, move, link, directory, sync))()
    n += 1
told["all"] = n
print(json.dumps(told), flush=True)
"""


def clerks(t, directories, behind, seconds):
    """Clerks at work for so long, two on each client; then what they were told is compared with what is there."""
    stop = t.path(f"stop{time.monotonic_ns()}")
    names = os.path.basename(behind)
    procs = [t.start(sys.executable, "-c", CLERK, f"{d}/{names}", f"{k}{i}", str(time.monotonic_ns() if SEED == 0 else SEED), stop,
                     stdout=subprocess.PIPE, stderr=subprocess.PIPE) for k, d in enumerate(directories) for i in range(2)]
    time.sleep(seconds)
    t.file(stop)
    told = []
    for proc in procs:
        out, err = proc.communicate(timeout=150)
        if proc.returncode:
            raise Failed(f"a clerk: {err.decode()[-600:]}")
        told.append(json.loads(out))
    compare(t, behind, told)
    return sum(each["all"] for each in told)


def compare(t, behind, told):
    with open(f"{behind}/log") as f:
        lines = f.read().splitlines()
    wanted = [line for each in told for line in each["lines"]]
    t.eq(sorted(lines), sorted(wanted), "lines of the log: each once, none lost, none torn")
    for number, each in enumerate(told):
        mine = [line for line in lines if line.split(" ", 1)[0] == each["lines"][0].split(" ", 1)[0]] if each["lines"] else []
        t.eq(mine, each["lines"], f"the order of clerk {number}'s lines")
    there = set(os.listdir(behind))
    made = [name for each in told for name in each["made"]]
    t.eq(len(made), len(set(made)), "names made: two were told that they made the same one")
    t.eq({name for name in there if name[0] == "x"}, set(made), "names made and not taken")
    with open(f"{behind}/counter") as f:
        t.eq(int(f.read() or "0"), sum(each["counted"] for each in told), "the counter")
    t.eq(sum(name[0] == "m" for name in there), sum(each["moved"] > 0 for each in told), "moved files")
    t.eq({name.split(".")[1] for name in there if name[0] == "m"}, {str(each["moved"]) for each in told if each["moved"]}, "where they are")
    t.eq(sum(name[0] == "l" and name != "log" for name in there), sum(each["links"] for each in told), "links")
    t.eq({name for name in there if name[0] == "d"}, {name for each in told for name in each["dirs"]}, "directories")
