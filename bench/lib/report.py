# Goals, ratios, verdicts and the printed page.
# SPDX-License-Identifier: Apache-2.0
import fnmatch
import os
import platform
import statistics

SIDES = ["local", "inlay", "sshfs"]
LESS_IS_BETTER = ("untar", "grep", "cp", "rm")
METADATA = ("create", "stat", "open+read+close", "list", "rename", "unlink")

# What the prototypes of this design reached on a machine of this kind; 0.7 of it is the goal. 1M rows in MB/s.
PROTOTYPE = {
    "4k randread depth 1": 21e3, "4k randread depth 32": 150e3, "4k randread 4 jobs": 60e3, "4k randwrite depth 32": 120e3,
    "1M seqread depth 1": 3000, "1M seqread depth 8": 4300, "1M seqwrite depth 8": 3300,
    "1M seqread buffered, server warm": 2200,
}
PROTOTYPE_SHARE = 0.7

# Why a row falls short, where it is known; patterns, the first that fits. Shown for rows that miss a goal only.
REASONS = {
    "4k randread *": "a wake-up across cores at each end, through epoll and /dev/fuse; worst where other work wants the cores",
    "4k randwrite depth 32, large folios": "on the server ext4_block_write_begin walks every block of a large folio at each write",
    "4k randwrite *": "the program waits until the server has it; sshfs answers before it has sent it",
    "4k write + fsync": "WRITE and COMMIT in series, COMMIT through a spare thread, then the disk's flush, the same for both",
    "1M *": "copies: page cache, socket twice, /dev/fuse, on cores that client and server share; buffered ones go one by one",
    "stat, *": "LOOKUP, then GETATTR, because attributes are valid for no time; sshfs keeps them for 20 s, stale or not",
    "list + stat, *": "LOOKUP and GETATTR for each entry: a listing brings no attributes; sshfs keeps them for 20 s, stale or not",
    "list, warm*": "each listing asks the server; sshfs keeps listings for 20 s, stale or not",
    "open+read+close, *": "LOOKUP, OPEN and READ in series, besides CLOSE; nothing may be kept without leases",
    "create*": "LOOKUP, CREATE and WRITE in series, and what ext4 takes on the server",
    "rename*": "LOOKUP of both names and RENAME in series",
    "unlink*": "LOOKUP and UNLINK in series, and what ext4 takes on the server",
    "untar": "8 round trips per file: 2 LOOKUP, CREATE, WRITE, 3 SETATTR, GETXATTR",
}


def unit(row):
    return "s" if row.startswith(LESS_IS_BETTER) else "MB/s" if row.startswith("1M") else "/s"


def goal(row):
    """How many times as fast as sshfs; None: no goal."""
    if row == "untar":
        return 5.0
    if row.startswith("1M") or row.startswith(METADATA):
        return 4.0
    if row.startswith("4k"):
        return 4.0 if "depth 32" in row else 2.0
    return None


def speedup(row, a, b):
    """How many times as fast a is as b."""
    if not a or not b:
        return None
    return b / a if unit(row) == "s" else a / b


def number(row, value):
    if value is None:
        return "-"
    return f"{value:,.2f}" if unit(row) == "s" else f"{value:,.0f}"


def times(value):
    return "-" if value is None else f"{value:.2f}"


def table(head, rows, left=1):
    """Aligned columns, which are a Markdown table too."""
    widths = [max(len(r[i]) for r in [head, *rows]) for i in range(len(head))]

    def line(cells):
        return "| " + " | ".join(c.ljust(w) if i < left else c.rjust(w) for i, (c, w) in enumerate(zip(cells, widths))) + " |"

    rule = "| " + " | ".join("-" * w if i < left else "-" * (w - 1) + ":" for i, w in enumerate(widths)) + " |"
    return [line(head), rule, *map(line, rows)]


def judge(results):
    """[(row, {side: median}, /local, /sshfs, goal, verdict)]"""
    judged = []
    for row in dict.fromkeys(row for side in results.values() for row in side):
        medians = {side: statistics.median(results[side][row]) for side in results if row in results[side]}
        inlay = medians.get("inlay")
        peer, wanted = speedup(row, inlay, medians.get("sshfs")), goal(row)
        verdict = "-" if wanted is None or peer is None else "PASS" if peer >= wanted else "MISS"
        judged.append((row, medians, speedup(row, inlay, medians.get("local")), peer, wanted, verdict))
    return judged


def main_table(judged):
    rows = []
    for row, medians, local, peer, wanted, verdict in judged:
        rows.append([row, unit(row), *(number(row, medians.get(s)) for s in SIDES), times(local), times(peer),
                     f"{wanted:.0f}x" if wanted else "-", verdict])
    return table(["row", "unit", *SIDES, "inlay/local", "inlay/sshfs", "goal", "verdict"], rows)


def prototype_table(judged):
    rows = []
    for row, medians, *_ in judged:
        if row in PROTOTYPE and "inlay" in medians:
            share = medians["inlay"] / PROTOTYPE[row]
            rows.append([row, unit(row), number(row, medians["inlay"]), number(row, PROTOTYPE[row]), times(share),
                         times(PROTOTYPE_SHARE), "PASS" if share >= PROTOTYPE_SHARE else "MISS"])
    return table(["row", "unit", "inlay", "prototype", "share", "goal", "verdict"], rows) if rows else []


def cpu_table(cpu):
    rows = []
    for row, sides in cpu.items():
        cells = {side: statistics.median(values) for side, values in sides.items()}
        rows.append([row, *(f"{cells[s]:.1f}" if s in cells else "-" for s in ("inlay", "sshfs")),
                     times(cells["sshfs"] / cells["inlay"]) if len(cells) == 2 and cells["inlay"] else "-"])
    return table(["CPU us per operation, client + server", "inlay", "sshfs", "sshfs/inlay"], rows) if rows else []


def machine():
    system = "Linux"
    for line in open("/etc/os-release"):
        if line.startswith("PRETTY_NAME="):
            system = line.split("=", 1)[1].strip().strip('"')
    load = " ".join(f"{x:.2f}" for x in os.getloadavg())
    return f"{system}, kernel {platform.release().split('-')[0]}, {os.cpu_count()} cores; load before the run {load}"


def short_rows(judged):
    """The rows that fall short of a goal over sshfs or of the prototypes."""
    lines = []
    for row, medians, _, peer, wanted, verdict in judged:
        why = next((reason for key, reason in REASONS.items() if fnmatch.fnmatch(row, key)), "not known yet")
        if verdict == "MISS":
            lines.append(f"- {row}: {peer:.2f} of sshfs, wanted {wanted:.0f}: {why}")
        elif row in PROTOTYPE and medians.get("inlay", 1e12) < PROTOTYPE[row] * PROTOTYPE_SHARE:
            lines.append(f"- {row}: {medians['inlay'] / PROTOTYPE[row]:.2f} of the prototype, wanted {PROTOTYPE_SHARE}: {why}")
    return lines
