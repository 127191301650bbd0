"""The rows of bench/kernels/cuda_bench.cpp in PyTorch, eager, on the same GPU: the same operands and sizes, timed in the
same way (device events around calls that fill half a millisecond, as many sets of random inputs in turn). Reads the
lines that the program wrote and prints one line of JSON for each row that PyTorch has the like of.

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
import torch.nn.functional as F

DTYPES = {"float": torch.float32, "bfloat16": torch.bfloat16}
ROWS = {}  # what a row calls: function of (sizes in its shape, dtype)
device = "cuda"


def row(name):
    def add(f):
        ROWS[name] = f
        return f

    return add


def random(shape, dtype):
    return torch.empty(shape, device=device, dtype=torch.float32).uniform_(-2, 2).to(dtype)


def labels(n, classes):
    return torch.randint(0, classes, (n,), device=device)


def pullback(f, *inputs):
    """A call that pulls one random cotangent back through f, recorded once."""
    leaves = [x.requires_grad_() for x in inputs]
    y = f(*leaves)
    g = random(y.shape, y.dtype)
    return lambda: torch.autograd.grad(y, leaves, g, retain_graph=True)


def function(name, f, *others, with_vjp=True):
    """f(x, ...) and its vjp; `others` give the shapes of further operands from that of x."""

    def operands(sizes, dtype):
        return [random(sizes[0], dtype), *(random(o(sizes[0]), dtype) for o in others)]

    def build(sizes, dtype):
        x = operands(sizes, dtype)
        return lambda: f(*x)

    ROWS[name] = build
    if with_vjp:
        ROWS[name + " vjp"] = lambda sizes, dtype: pullback(f, *operands(sizes, dtype))


def same(shape):
    return shape


# Pointwise.
function("exp", torch.exp)
function("tanh", torch.tanh)
function("gelu", F.gelu)
function("add", torch.add, same)
function("mul", torch.mul, same)
function("mul row", torch.mul, lambda s: s[1:])
function("mul column", torch.mul, lambda s: [s[0], 1])


@row("where")
def where(sizes, dtype):
    c, a, b = random(sizes[0], dtype) > 0, random(sizes[0], dtype), random(sizes[0], dtype)
    return lambda: torch.where(c, a, b)


@row("where vjp")
def where_vjp(sizes, dtype):
    c = random(sizes[0], dtype) > 0
    return pullback(lambda a, b: torch.where(c, a, b), random(sizes[0], dtype), random(sizes[0], dtype))


# Movement, scans, random draws.
function("transpose", lambda x: x.t().contiguous(), with_vjp=False)
function("cast to bfloat16", lambda x: x.to(torch.bfloat16), with_vjp=False)
function("cast to float32", lambda x: x.to(torch.float32), with_vjp=False)
function("cumsum", lambda x: torch.cumsum(x, -1), with_vjp=False)
function("dropout", lambda x: F.dropout(x, 0.1))
ROWS["uniform"] = lambda sizes, dtype: lambda: torch.rand(sizes[0], device=device, dtype=dtype)
ROWS["normal"] = lambda sizes, dtype: lambda: torch.randn(sizes[0], device=device, dtype=dtype)


@row("embedding")
def embedding(sizes, dtype):
    table, ids = random(sizes[0], dtype), labels(sizes[1][0], sizes[0][0])
    return lambda: F.embedding(ids, table)


@row("embedding vjp")
def embedding_vjp(sizes, dtype):
    ids = labels(sizes[1][0], sizes[0][0])
    return pullback(lambda table: F.embedding(ids, table), random(sizes[0], dtype))


# Reductions and rows.
for what, f in (
    ("sum", torch.sum),
    ("max", torch.amax),
    ("argmax", torch.argmax),
    ("variance", lambda x, dim: torch.var(x, dim, correction=0)),
):
    function(what + " rows", lambda x, f=f: f(x, 1), with_vjp=False)
    function(what + " columns", lambda x, f=f: f(x, 0), with_vjp=False)
function("sum all", torch.sum, with_vjp=False)
function("softmax", lambda x: torch.softmax(x, -1))
function("log_softmax", lambda x: torch.log_softmax(x, -1))
function("layer_norm", lambda x, g, b: F.layer_norm(x, x.shape[-1:], g, b), lambda s: s[1:], lambda s: s[1:])


@row("cross_entropy")
def cross_entropy(sizes, dtype):
    x, y = random(sizes[0], dtype), labels(*sizes[0])
    return lambda: F.cross_entropy(x, y)


@row("cross_entropy with gradient")
def cross_entropy_with_gradient(sizes, dtype):
    x, y = random(sizes[0], dtype).requires_grad_(), labels(*sizes[0])
    return lambda: torch.autograd.grad(F.cross_entropy(x, y), x)


# Products, networks, optimisers. Our weights are (in, out).
function("matmul", torch.matmul, same, with_vjp=False)
function("linear with bias", lambda x, w, b: torch.addmm(b, x, w), same, lambda s: s[:1], with_vjp=False)
function(
    "linear with bias and relu", lambda x, w, b: torch.relu(torch.addmm(b, x, w)), same, lambda s: s[:1], with_vjp=False
)


def convolution(sizes, dtype):
    (n, h, w, c), (kh, kw, _, out) = sizes
    x = random((n, c, h, w), dtype).to(memory_format=torch.channels_last)
    k = random((out, c, kh, kw), dtype).to(memory_format=torch.channels_last)
    return x, k


@row("conv2d")
def conv2d(sizes, dtype):
    x, k = convolution(sizes, dtype)
    return lambda: F.conv2d(x, k, padding=1)


def conv2d_gradient(sizes, dtype, of_input):
    x, k = convolution(sizes, dtype)
    leaf = (x if of_input else k).requires_grad_()
    y = F.conv2d(x, k, padding=1)
    g = random(y.shape, dtype).to(memory_format=torch.channels_last)
    return lambda: torch.autograd.grad(y, leaf, g, retain_graph=True)


ROWS["conv2d input gradient"] = lambda sizes, dtype: conv2d_gradient(sizes, dtype, True)
ROWS["conv2d weight gradient"] = lambda sizes, dtype: conv2d_gradient(sizes, dtype, False)


@row("mlp value and gradient")
def mlp(sizes, dtype):
    batch, *widths = sizes[0]
    layers = []
    for a, b in zip(widths, widths[1:]):
        layers += [torch.nn.Linear(a, b, device=device, dtype=dtype), torch.nn.ReLU()]
    net = torch.nn.Sequential(*layers[:-1])
    parameters = list(net.parameters())
    x, y = random((batch, widths[0]), dtype), labels(batch, widths[-1])
    return lambda: torch.autograd.grad(F.cross_entropy(net(x), y), parameters)


@row("adam step")
def adam(sizes, dtype, count):
    parameters = [random(sizes[0], dtype).requires_grad_() for _ in range(count)]
    for p in parameters:
        p.grad = random(sizes[0], dtype)
    optimizer = torch.optim.Adam(parameters, lr=1e-4, fused=True)
    return optimizer.step


def build(what):
    """A call of the row with inputs of its own."""
    sizes = [[int(n) for n in part.split(",") if n.strip()] for part in re.findall(r"\(([0-9, ]*)\)", what["shape"])]
    count = re.match(r"(\d+) of", what["shape"])
    more = [int(count[1])] if count else []
    return ROWS[what["op"]](sizes, DTYPES[what["dtype"]], *more)


class Stopwatch:
    """Microseconds of what the device does between start and stop."""

    def __init__(self):
        if device == "cuda":
            self.events = [torch.cuda.Event(enable_timing=True) for _ in range(2)]

    def start(self):
        if device == "cuda":
            self.events[0].record()
        else:
            self.begin = time.perf_counter()

    def stop(self):
        if device == "cpu":
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
    each = int(min(max(math.ceil(500 / max(watch.stop() / 3, 1)), 1), 200))
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
    global device
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows")
    parser.add_argument("parts", nargs="*", help="parts of a row's op, shape and dtype")
    parser.add_argument("--samples", type=int, default=25)
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    options = parser.parse_intermixed_args()
    device = options.device
    torch.backends.cudnn.benchmark = True
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    torch.manual_seed(1)
    name = torch.cuda.get_device_name() if device == "cuda" else "cpu"
    with open(options.rows) as file:
        rows = [json.loads(line) for line in file if line.startswith("{")]
    for what in rows:
        key = {k: what.get(k) for k in ("op", "shape", "dtype")}
        if options.parts and not any(p in " ".join(key.values()) for p in options.parts):
            continue
        if what["op"] not in ROWS:
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
        if device == "cuda":
            torch.cuda.synchronize()
            torch.cuda.empty_cache()


if __name__ == "__main__":
    sys.exit(main())
