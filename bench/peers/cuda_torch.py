"""The rows of bench/kernels/cuda_bench.cpp in PyTorch, eager, on the same GPU: the same operands and sizes, timed in the
same way (device events around calls that fill half a millisecond, as many sets of random inputs in turn). Reads the
lines that the program wrote and prints one line of JSON for each row that PyTorch has the like of, as
cuda_torch_rows.py has it.

usage: cuda_torch.py ROWS.jsonl [--samples N] [--device cuda|cpu] [PART...]

PyTorch at its best: channels-last convolutions, cudnn.benchmark, the fused Adam; products of floats without TF32, as
ours. --device cpu only shows that the rows run.
"""
import argparse
import json
import math
import re
import sys
import time

import torch

import cuda_torch_rows as of


def build(what):
    """A call of the row with inputs of its own."""
    sizes = [[int(n) for n in part.split(",") if n.strip()] for part in re.findall(r"\(([0-9, ]*)\)", what["shape"])]
    count = re.match(r"(\d+) of", what["shape"])
    more = [int(count[1])] if count else []
    return of.ROWS[what["op"]](sizes, of.DTYPES[what["dtype"]], *more)


class Stopwatch:
    """Microseconds of what the device does between start and stop."""

    def __init__(self):
        if of.device == "cuda":
            self.events = [torch.cuda.Event(enable_timing=True) for _ in range(2)]

    def start(self):
        if of.device == "cuda":
            self.events[0].record()
        else:
            self.begin = time.perf_counter()

    def stop(self):
        if of.device == "cpu":
            return 1e6 * (time.perf_counter() - self.begin)
        self.events[1].record()
        self.events[1].synchronize()
        return 1e3 * self.events[0].elapsed_time(self.events[1])


def measure(calls, samples):
    """The rule of bench/kernels/measure.cpp."""
    watch, turn = Stopwatch(), 0

    def run(n):
        nonlocal turn
        for _ in range(n):
            calls[turn % len(calls)]()
            turn += 1

    run(len(calls) + 3)
    watch.start()
    run(3)
    estimate = max(watch.stop() / 3, 1)
    each = int(min(max(math.ceil(500 / estimate), 1), 200))
    samples = int(min(max(5e5 / estimate, samples / 5, 1), samples))
    spent, host = [], []
    for _ in range(samples):
        begin = time.perf_counter()
        watch.start()
        run(each)
        host.append(1e6 * (time.perf_counter() - begin) / each)
        spent.append(watch.stop() / each)
    spent.sort()
    host.sort()

    def part(v, q):
        return v[round(q * (len(v) - 1))]

    low, median, high = part(spent, 0.1), part(spent, 0.5), part(spent, 0.9)
    return {"us": median, "low_us": low, "high_us": high, "spread": (high - low) / median, "host_us": part(host, 0.5),
            "samples": samples, "calls": each}  # fmt: skip


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows")
    parser.add_argument("parts", nargs="*", help="parts of a row's op, shape and dtype")
    parser.add_argument("--samples", type=int, default=25)
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    options = parser.parse_intermixed_args()
    of.device = options.device
    torch.backends.cudnn.benchmark = True
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    torch.manual_seed(1)
    name = torch.cuda.get_device_name() if of.device == "cuda" else "cpu"
    with open(options.rows) as file:
        rows = [json.loads(line) for line in file if line.startswith("{")]
    for what in rows:
        key = {k: what.get(k) for k in ("op", "shape", "dtype")}
        if options.parts and not any(p in " ".join(key.values()) for p in options.parts):
            continue
        if what["op"] not in of.ROWS:
            continue
        line = {"device": name, "peer": f"PyTorch {torch.__version__}", **key}
        calls = []
        try:
            for _ in range(what.get("sets", 1)):
                calls.append(build(what))
            line |= measure(calls, options.samples)
        except Exception as e:  # the other rows are worth having
            line["error"] = f"{type(e).__name__}: {e}".splitlines()[0]
        print(json.dumps(line), flush=True)
        del calls
        if of.device == "cuda":
            torch.cuda.synchronize()
            torch.cuda.empty_cache()


if __name__ == "__main__":
    sys.exit(main())
