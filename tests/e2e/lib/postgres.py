# A PostgreSQL whose data lies in an attachment, under pgbench; what it complains of, and whether what was committed is there.
# SPDX-License-Identifier: Apache-2.0
import glob
import os

from harness import USER_UID, Skip

SUMS = "select (select sum(abalance) from pgbench_accounts) = (select sum(bbalance) from pgbench_branches)"


class Postgres:
    def __init__(self, t, directory):
        found = sorted(glob.glob("/usr/lib/postgresql/*/bin/initdb"))
        if not found:
            raise Skip("postgresql is not installed")
        t.named_user()
        self.t, self.binaries, self.done = t, os.path.dirname(found[-1]), 0
        self.sockets, self.data = t.dir("sockets", 0o777), f"{directory}/pg/data"
        self.env = {"PGHOST": self.sockets, "PGUSER": "bench", "PGDATABASE": "postgres", "HOME": self.sockets}
        os.mkdir(f"{directory}/pg")
        os.chown(f"{directory}/pg", USER_UID, USER_UID)
        self.run("initdb", "-D", self.data, "-U", "bench", "-A", "trust", "--no-instructions")

    def run(self, program, *args):
        return self.t.must(f"{self.binaries}/{program}", *args, user=USER_UID, env=self.env, timeout=120, cwd=self.sockets).stdout

    def start(self):
        self.run("pg_ctl", "-D", self.data, "-w", "-t", "60", "-l", f"{self.sockets}/log", "-o",
                 f"-k {self.sockets} -c listen_addresses= -c shared_buffers=16MB -c max_connections=20", "start")

    def __enter__(self):
        self.start()
        self.run("pgbench", "-q", "-i", "-s", "2")
        return self

    def __exit__(self, *_):
        self.t.run(f"{self.binaries}/pg_ctl", "-D", self.data, "-m", "fast", "stop", user=USER_UID, env=self.env, timeout=60)

    def bench(self):
        self.run("pgbench", "-c", "4", "-j", "2", "-n", "-t", "50")
        self.done += 200

    def verify(self):
        """Once running, and once more after a crash of PostgreSQL itself and its recovery."""
        self.t.eq(int(self.run("psql", "-Atc", "select count(*) from pgbench_history")), self.done, "transactions in the history")
        self.t.eq(self.run("psql", "-Atc", SUMS), "t\n", "sums agree")
        self.run("pg_ctl", "-D", self.data, "-m", "immediate", "stop")
        self.start()
        self.t.eq(self.run("psql", "-Atc", SUMS), "t\n", "sums agree after recovery")
        with open(f"{self.sockets}/log") as f:
            wrong = [line for line in f if "PANIC" in line or ("ERROR" in line and "could not" in line)]
        self.t.eq(wrong, [], "what PostgreSQL complains of")
