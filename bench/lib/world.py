# The three directories that are compared, and the processes behind them: one ext4 tree, seen directly, through Inlay and
# through sshfs, servers on loopback. Everything lies in one temporary folder and in a mount namespace of our own, so
# that even a killed run leaves no mount; every process that is started here dies with the run.
# SPDX-License-Identifier: Apache-2.0
import contextlib
import ctypes
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time

LIBC = ctypes.CDLL(None, use_errno=True)
CLONE_NEWNS, PR_SET_PDEATHSIG = 0x20000, 1
SSHD = "/usr/sbin/sshd"
SFTP_SERVERS = ("/usr/lib/openssh/sftp-server", "/usr/libexec/openssh/sftp-server", "/usr/lib/ssh/sftp-server")
SSHFS_OPTIONS = "Ciphers=aes128-gcm@openssh.com,Compression=no,max_conns=2"
TICKS = os.sysconf("SC_CLK_TCK")


class Broken(Exception):
    """The run can't go on; one line says why."""


def die_with_us():
    LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def must(*command, **options):
    done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, preexec_fn=die_with_us, **options)
    if done.returncode != 0:
        raise Broken(f"{' '.join(command)}: exit {done.returncode}: {done.stderr.strip()[-600:]}")
    return done.stdout


def own_mounts():
    if LIBC.unshare(CLONE_NEWNS) < 0:
        raise Broken(f"no mount namespace of our own: {os.strerror(ctypes.get_errno())}")
    must("mount", "--make-rprivate", "/")


def drop_caches():
    """Of the whole machine: page cache, names and inodes, client and server alike."""
    os.sync()
    with open("/proc/sys/vm/drop_caches", "w") as f:
        f.write("3")


def is_mounted(path):
    return any(line.split()[4] == path for line in open("/proc/self/mountinfo"))


def wait_for(what, condition, seconds=10):
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise Broken(f"waited {seconds} s in vain for {what}")
        time.sleep(0.01)


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def answers(port):
    with socket.socket() as s:
        return s.connect_ex(("127.0.0.1", port)) == 0


# ---- what processes use ----


def family(pids):
    """These processes and all that come from them."""
    parents = {}
    for name in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            parents[int(name)] = int(open(f"/proc/{name}/stat").read().rsplit(")", 1)[1].split()[1])
    found = set(pids)
    while more := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= more
    return found


def cpu_seconds(pids):
    """User and system time of all threads, those that the kernel runs for them included."""
    total = 0
    for pid in family(pids):
        with contextlib.suppress(OSError):
            fields = open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()
            total += int(fields[11]) + int(fields[12])
    return total / TICKS


def memory_kib(pids, field="Pss"):
    total = 0
    for pid in family(pids):
        with contextlib.suppress(OSError):
            for line in open(f"/proc/{pid}/smaps_rollup"):
                if line.startswith(field + ":"):
                    total += int(line.split()[1])
    return total


class World:
    def __init__(self, build, place=None):
        self.build, self.procs, self.daemons = os.path.abspath(build), [], {"local": []}
        self.place = tempfile.mkdtemp(prefix="inlay-bench-", dir=place)
        os.chmod(self.place, 0o755)
        self.tree = self.make("tree")  # what all three show
        self.dirs = {"local": self.tree}

    def make(self, name, mode=0o755):
        path = f"{self.place}/{name}"
        os.makedirs(path)
        os.chmod(path, mode)
        return path

    def program(self, name):
        for path in (f"{self.build}/{name}", f"{self.build}/src/{name}"):
            if os.path.exists(path):
                return path
        raise Broken(f"{name} is not in {self.build}: run make")

    def start(self, *command):
        with open(f"{self.place}/{os.path.basename(command[0])}.log", "ab") as log:
            proc = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True,
                                    preexec_fn=die_with_us)
        self.procs.append(proc)
        return proc

    def stop(self, proc, seconds=10):
        if proc.poll() is None:
            proc.terminate()
            try:
                proc.wait(seconds)
            except subprocess.TimeoutExpired:
                proc.kill()
                proc.wait()
        if proc in self.procs:
            self.procs.remove(proc)

    def log(self, program):
        with contextlib.suppress(OSError), open(f"{self.place}/{program}.log", errors="replace") as f:
            return f.read().strip()[-500:]
        return ""

    # ---- Inlay ----

    def start_inlayd(self, name):
        """Returns the process and its port."""
        port = free_port()
        proc = self.start(self.program("inlayd"), "--export", f"b={self.tree},identity=client", "--listen",
                          f"127.0.0.1:{port}", "--state-dir", self.make(name, 0o700), "--log-level", "warning")
        wait_for("inlayd to listen: " + self.log("inlayd"), lambda: answers(port))
        return proc, port

    def start_inlay(self):
        server, port = self.start_inlayd("state")
        self.dirs["inlay"] = self.make("inlay")
        client = self.start(self.program("inlay"), "attach", "--foreground", f"127.0.0.1:{port}/b", self.dirs["inlay"])
        self.daemons["inlay"] = [server, client]
        wait_for("inlay attach: " + self.log("inlay"), lambda: is_mounted(self.dirs["inlay"]))

    # ---- sshfs ----

    def start_sshd(self):
        """A server with keys made now and no use outside this run."""
        port, ssh = free_port(), self.make("ssh", 0o700)
        for key in ("host", "user"):
            must("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", f"{ssh}/{key}")
        shutil.copy(f"{ssh}/user.pub", f"{ssh}/authorized")
        sftp = next((p for p in SFTP_SERVERS if os.path.exists(p)), "internal-sftp")
        with open(f"{ssh}/sshd_config", "w") as f:
            f.write(f"Port {port}\nListenAddress 127.0.0.1\nHostKey {ssh}/host\nAuthorizedKeysFile {ssh}/authorized\n"
                    "PidFile none\nStrictModes no\nUsePAM no\nPermitRootLogin prohibit-password\n"
                    f"PasswordAuthentication no\nSubsystem sftp {sftp}\n")
        with open(f"{ssh}/ssh_config", "w") as f:
            f.write(f"Port {port}\nIdentityFile {ssh}/user\nIdentitiesOnly yes\nStrictHostKeyChecking no\n"
                    "UserKnownHostsFile /dev/null\nLogLevel ERROR\n")
        os.makedirs("/run/sshd", exist_ok=True)
        server = self.start(SSHD, "-D", "-e", "-f", f"{ssh}/sshd_config")
        wait_for("sshd to listen: " + self.log("sshd"), lambda: answers(port))
        return server

    def start_sshfs(self):
        server = self.start_sshd()
        self.dirs["sshfs"] = self.make("sshfs")
        self.daemons["sshfs"] = [server]
        self.mount_sshfs()

    def mount_sshfs(self):
        client = self.start("sshfs", "-f", f"root@127.0.0.1:{self.tree}", self.dirs["sshfs"], "-F",
                            f"{self.place}/ssh/ssh_config", "-o", SSHFS_OPTIONS)
        self.daemons["sshfs"][1:] = [client]
        wait_for("sshfs to mount: " + self.log("sshfs"),
                 lambda: is_mounted(self.dirs["sshfs"]) or client.poll() is not None)
        if client.poll() is not None:
            raise Broken(f"sshfs doesn't mount: {self.log('sshfs')} {self.log('sshd')}")

    def unmount_sshfs(self):
        subprocess.run(["umount", self.dirs["sshfs"]], check=False, capture_output=True)
        if is_mounted(self.dirs["sshfs"]):
            subprocess.run(["umount", "-l", self.dirs["sshfs"]], check=False, capture_output=True)
        for client in self.daemons["sshfs"][1:]:
            self.stop(client)

    # ---- for the workloads ----

    def forget(self, side):
        """Client and server remember nothing: sshfs keeps attributes and listings itself, so it is mounted anew."""
        if side == "sshfs":
            self.unmount_sshfs()
            self.mount_sshfs()
        drop_caches()

    def pids(self, side):
        return [proc.pid for proc in self.daemons[side]]

    def check(self, side):
        for proc in self.daemons[side]:
            if proc.poll() is not None:
                program = os.path.basename(proc.args[0])
                raise Broken(f"{program} ended with {proc.returncode}: {self.log(program)}")

    def end(self):
        if "inlay" in self.dirs and is_mounted(self.dirs["inlay"]):
            subprocess.run([self.program("inlay"), "detach", "--force", self.dirs["inlay"]], check=False, capture_output=True)
        if "sshfs" in self.dirs and is_mounted(self.dirs["sshfs"]):
            self.unmount_sshfs()
        for proc in list(reversed(self.procs)):
            self.stop(proc)
        for name in ("inlay", "sshfs"):
            if name in self.dirs and is_mounted(self.dirs[name]):
                subprocess.run(["umount", "-l", self.dirs[name]], check=False, capture_output=True)
        shutil.rmtree(self.place, ignore_errors=True)
