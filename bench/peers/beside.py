"""Rows of the benchmarks beside PyTorch, taking turns within one run: a program says how long a call of a row takes, so
do its other peers and PyTorch's counterpart (torch_rows.py), then the next turn, which another begins. A time is the
least of all turns; a ratio is a peer's time over ours, the median of all turns: a processor whose clock changes from
second to second gives its best second to whom it likes, while who takes turns shares each. Prints a Markdown table.

usage: beside.py --programs PATH,PATH... [--threads 1,2] [--repeats N] [--save FOLDER] [FILTER...]

FILTER is a part of a row's name. --save writes FOLDER/<date>-<cpu>.json
and .md; what such a file of the same day already says of other rows stays.
"""
import argparse
import datetime
import json
import operator
import os
import pathlib
import re
import statistics
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))


# Seconds between two turns with several threads, in which those of the one stop waiting busily: OpenMP's do for 300,000
# pauses, about 8 ms, OpenBLAS's for 27 ms unless told (a turn calls without a break, so that they need not).
REST = 15e-3
os.environ.setdefault("OPENBLAS_THREAD_TIMEOUT", "20")  # 2^20 cycles


def sample(run, target=3e-3):
    """Seconds of one call; what was preempted is measured again. The rule of bench/support/rows.hpp."""
    run()
    calls, again = 1, 0
    while True:
        cpu, start = time.process_time(), time.perf_counter()
        for _ in range(calls):
            run()
        spent = time.perf_counter() - start
        busy = time.process_time() - cpu
        if spent < target:
            calls = int(calls * 1.3 * target / spent) + 1 if spent > target / 10 else calls * 4
        elif busy > 0.8 * spent or again == 4:
            return spent / calls
        else:
            again += 1


def duration(seconds):
    for unit, factor in (("ns", 1e9), ("us", 1e6), ("ms", 1e3)):
        if seconds * factor < 1000 or unit == "ms":
            value = seconds * factor
            return f"{value:.{2 if value < 10 else 1 if value < 100 else 0}f} {unit}"


def measure(program, filters, threads, repeats, torch_rows):
    """The rows of one program as dictionaries, printed as they come."""
    ours = subprocess.Popen(
        [program, "--serve", f"--threads={threads}", *filters], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    rows = [json.loads(line) for line in iter(ours.stdout.readline, "\n")]

    def ask(name, who):
        ours.stdin.write(f"{name}\t{who}\n")
        ours.stdin.flush()
        return float(ours.stdout.readline())

    for row in rows:
        name = row["name"]
        turns = {who: (lambda who=who: ask(name, who)) for who in ["ergo", *row.pop("peers")]}
        counterpart = torch_rows.call(name)
        if counterpart:
            turns["PyTorch"] = lambda: sample(counterpart) / row["items"]
        taken = {who: [] for who in turns}
        order = list(turns)
        for _ in range(repeats):
            for who in order:
                time.sleep(REST if threads > 1 else 0)
                taken[who].append(turns[who]())
            order.append(order.pop(0))
        row["threads"] = threads
        row["program"] = os.path.basename(program)
        row["seconds"] = {who: min(t) for who, t in taken.items()}
        row["median"] = {who: statistics.median(t) for who, t in taken.items()}
        row["ratio"] = {who: statistics.median(map(operator.truediv, t, taken["ergo"])) for who, t in taken.items()}
        print(line_of(row), flush=True)
    ours.stdin.close()
    if ours.wait() != 0:
        sys.exit(f"{program}: exit status {ours.returncode}")
    return rows


HEAD = """| row | threads | ergo | PyTorch | ratio | goal | other peers | limit | goal |
|---|---|---|---|---|---|---|---|---|"""


def line_of(row):
    seconds = row["seconds"]
    mine, torch = seconds["ergo"], seconds.get("PyTorch")
    others = {w: s for w, s in seconds.items() if w not in ("ergo", "PyTorch")}
    others = ", ".join(f"{w} {duration(s)} ({row['ratio'][w]:.2f})" for w, s in others.items())
    ratio = f"{row['ratio']['PyTorch']:.2f}" if torch else ""
    if torch and row["ratio"]["PyTorch"] < 1:
        ratio = f"**{ratio}**"
    part = row["limit"] / mine
    fraction = f"{100 * part:.0f} %{' !' if part > 1.03 else ''}" if part else ""
    goal = f"{100 * row['goal_limit']:.0f} %" if row["goal_limit"] else ""
    goal = f"{row['goal_ns']:g} ns" if row["goal_ns"] else goal
    noisy = " (noisy)" if row["median"]["ergo"] > 1.5 * mine else ""
    cells = [row["name"], row["threads"], duration(mine) + noisy, duration(torch) if torch else "", ratio,
             f"{row['goal_ratio']:g}" if torch and row["goal_ratio"] else "", others, fraction, goal]  # fmt: skip
    return "| " + " | ".join(str(c) for c in cells) + " |"


def summary(rows):
    beside = [r for r in rows if "PyTorch" in r["seconds"]]
    slower = sorted(((r["ratio"]["PyTorch"], r) for r in beside if r["ratio"]["PyTorch"] < 1), key=lambda x: x[0])
    text = f"{len(rows)} rows, {len(beside)} of them beside PyTorch; {len(slower)} slower than PyTorch"
    return text + "".join(f"\n- {ratio:.2f} {r['name']}, {r['threads']} thread(s)" for ratio, r in slower)


def key_of(row):
    return row["program"], row["name"], row["threads"]


def save(folder, machine, rows):
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    cpu = re.sub(r"[^a-z0-9]+", "-", machine["cpu"].lower()).strip("-")
    base = folder / f"{datetime.date.today()}-{cpu}"
    known = {}
    if base.with_suffix(".json").exists():
        known = {key_of(r): r for r in json.loads(base.with_suffix(".json").read_text())["rows"]}
    known.update({key_of(r): r for r in rows})
    rows = list(known.values())
    base.with_suffix(".json").write_text(json.dumps({"machine": machine, "rows": rows}, indent=1) + "\n")
    facts = ", ".join(f"{k} {v}" for k, v in machine.items())
    lines = [
        f"# {base.name}", "", facts + ".", "",
        "Several turns, ours and the peers' taken alternately in one run: the least time of each, and as ratio the "
        "median of the peer's time over ours of the same turn, bold where it is below 1. The limit is that of this "
        "machine in the same run; what exceeds it (!) read more than it wrote, or met a busy machine when the limit was measured.", "",
        HEAD, *(line_of(r) for r in rows), "", summary(rows), "",
    ]  # fmt: skip
    base.with_suffix(".md").write_text("\n".join(lines))
    print(f"written: {base}.json, {base}.md")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", default="1")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--save", metavar="FOLDER")
    parser.add_argument("--programs", required=True)
    parser.add_argument("filters", nargs="*")
    options = parser.parse_intermixed_args()

    import torch
    import torch_rows

    found = re.search(r"model name\s*: (.*)", pathlib.Path("/proc/cpuinfo").read_text())
    machine = {"cpu": found[1] if found else "cpu", "cores": os.cpu_count(), "PyTorch": torch.__version__}
    rows = []
    print(HEAD)
    for threads in map(int, options.threads.split(",")):
        torch.set_num_threads(threads)
        for program in options.programs.split(","):
            rows += measure(program, options.filters, threads, options.repeats, torch_rows)
    print(f"\n{summary(rows)}")
    if options.save:
        save(options.save, machine, rows)


if __name__ == "__main__":
    main()
