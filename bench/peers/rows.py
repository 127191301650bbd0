"""Reductions and row operations beside PyTorch, taking turns within one run: the program ops_rows_bench answers how long a
call takes, then PyTorch is timed on the same shape. Minimum of the repeats; the ratio is PyTorch's time over ours.

usage: rows.py [--threads N] [--only TEXT] [--repeats N]
"""
import argparse
import os
import re
import subprocess
import time

parser = argparse.ArgumentParser()
parser.add_argument("--threads", type=int, default=1)
parser.add_argument("--only", default="")
parser.add_argument("--repeats", type=int, default=7)
options = parser.parse_args()

import torch  # noqa: E402
import torch.nn.functional as F  # noqa: E402

torch.set_num_threads(options.threads)
torch.manual_seed(1)


def with_backward(f, *inputs):
    """A call of f with the gradients of all inputs."""
    leaves = [x.clone().requires_grad_() for x in inputs]
    y = f(*leaves)
    g = torch.randn_like(y) if y.dim() else None

    def run():
        for leaf in leaves:
            leaf.grad = None
        f(*leaves).backward(g)

    return run


def call(name, shape):
    x = torch.randn(*shape)
    n = shape[-1]
    gamma, beta = torch.randn(n), torch.randn(n)
    labels = torch.arange(shape[0]) * 7 % n
    other = torch.randn(*shape)
    simple = {
        "sum": lambda: x.sum(),
        "max": lambda: x.max(),
        "norm": lambda: x.norm(),
        "logsumexp": lambda: x.logsumexp(-1),
        "cumsum": lambda: x.cumsum(-1),
        "sum rows": lambda: x.sum(-1),
        "sum columns": lambda: x.sum(0),
        "variance rows": lambda: x.var(-1, correction=0),
        "argmax rows": lambda: x.argmax(-1),
        "logsumexp rows": lambda: x.logsumexp(-1),
        "cumsum rows": lambda: x.cumsum(-1),
        "softmax": lambda: torch.softmax(x, -1),
        "log_softmax": lambda: torch.log_softmax(x, -1),
        "layer_norm": lambda: F.layer_norm(x, (n,), gamma, beta),
        "cross_entropy": lambda: F.cross_entropy(x, labels),
    }
    if name in simple:
        f = simple[name]

        def run():
            with torch.no_grad():
                f()

        return run
    return {
        "softmax + backward": lambda: with_backward(lambda p: torch.softmax(p, -1), x),
        "log_softmax + backward": lambda: with_backward(lambda p: torch.log_softmax(p, -1), x),
        "layer_norm + backward": lambda: with_backward(lambda p, w, b: F.layer_norm(p, (n,), w, b), x, gamma, beta),
        "cross_entropy + backward": lambda: with_backward(lambda p: F.cross_entropy(p, labels), x),
        "mse + backward": lambda: with_backward(lambda p: F.mse_loss(p, other), x),
    }[name]()


def sample(run):
    run()
    calls = 1
    while True:
        start = time.perf_counter()
        for _ in range(calls):
            run()
        spent = time.perf_counter() - start
        if spent > 3e-3:
            return spent / calls
        calls = int(calls * 4e-3 / spent) + 1 if spent > 3e-4 else calls * 4


program = os.path.join(os.environ["ERGO_BENCH_PROGRAMS"], "ops_rows_bench")
ours = subprocess.Popen([program, "--serve", f"--threads={options.threads}"], stdin=subprocess.PIPE,
                        stdout=subprocess.PIPE, text=True, bufsize=1)
names = []
for line in iter(ours.stdout.readline, "\n"):
    names.append(line.split("\t")[0])

print(f"PyTorch {torch.__version__}, {options.threads} thread(s); microseconds, minimum of {options.repeats} turns")
print(f"{'':42} {'ergo':>10} {'PyTorch':>10} {'ratio':>7}")
for name in names:
    if options.only not in name:
        continue
    what, shape = re.fullmatch(r"(.*) \((.*)\)", name).groups()
    run = call(what, [int(n) for n in shape.split(",") if n.strip()])
    mine, theirs = [], []
    for _ in range(options.repeats):
        ours.stdin.write(name + "\n")
        ours.stdin.flush()
        mine.append(float(ours.stdout.readline()))
        theirs.append(sample(run))
    a, b = min(mine) * 1e6, min(theirs) * 1e6
    print(f"{name:42} {a:10.2f} {b:10.2f} {b / a:7.2f}{' <' if b < a else ''}", flush=True)
ours.stdin.close()
ours.wait()
