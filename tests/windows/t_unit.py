# The unit tests that were built for Windows, under Wine: each of their cases is a result.
# SPDX-License-Identifier: Apache-2.0
import glob
import os
import re

from harness import Failed, test
from t_client import Client


@test(timeout=240)
def test_unit_tests(t):
    """rooms shared with Linux, the loop, connections and event handles of Windows"""
    w = Client(t)
    programs = sorted(glob.glob(os.path.join(os.environ["INLAY_BUILD_WINDOWS"], "tests/windows/unit/test_*.exe")))
    t.true(len(programs) > 10, f"{len(programs)} unit tests were built")
    wrong = []
    for path in programs:
        name = os.path.basename(path)[5:-4]
        w.program = path
        code, out, err = w.result(w.begin())
        out = out.decode(errors="replace").replace("\r", "")
        cases = re.findall(r"^(not )?ok \d+ - (\S+)(?: (# SKIP))?$", out, re.M)
        plan = re.findall(r"^1\.\.(\d+)$", out, re.M)
        for broken, case, skipped in cases:
            t.row(f"windows {name}.{case}", "fail" if broken else "skip" if skipped else "pass")
        if plan != [str(len(cases))] or code != 0:
            wrong.append(f"{name}: {len(cases)} cases of {plan}, exit code {code}: "
                         + " ".join(line for line in (out + err).splitlines() if not line.startswith("ok "))[-400:])
    if wrong:
        raise Failed("; ".join(wrong))
