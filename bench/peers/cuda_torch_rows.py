"""What each row of bench/kernels/*.cpp is in PyTorch, for cuda_torch.py: by the row's op a function of the sizes in its
shape and of its dtype, which makes inputs and returns a call.
"""
import math

import torch
import torch.nn.functional as F

DTYPES = {"float": torch.float32, "bfloat16": torch.bfloat16, "int32": torch.int32, "bool": torch.bool}
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


@row("clip_by_global_norm")
def clip_by_global_norm(sizes, dtype, count):
    """In place, so only the first call has something to shorten; it multiplies whether or not."""
    parameters = [random(sizes[0], dtype).requires_grad_() for _ in range(count)]
    for p in parameters:
        p.grad = random(sizes[0], dtype)
    return lambda: torch.nn.utils.clip_grad_norm_(parameters, 1.0, foreach=True)


# Operands as the row's shape lists them; sizes behind them are parameters.
def operation(name, f, operands=1, prepare=None, with_vjp=True):
    """f(sizes, x...) of random operands, and its vjp; prepare(x...) puts them into PyTorch's best layout."""

    def ready(sizes, dtype):
        x = [random(s, dtype) for s in sizes[:operands]]
        return prepare(*x) if prepare else x

    def value(sizes, dtype):
        x = ready(sizes, dtype)
        return lambda: f(sizes, *x)

    ROWS[name] = value
    if with_vjp:
        ROWS[name + " vjp"] = lambda sizes, dtype: pullback(lambda *x: f(sizes, *x), *ready(sizes, dtype))


def indexed(name, f, operands, below, at=None, with_vjp=True):
    """f(sizes, ids, x...) with random ids below below(sizes), the group of their shape behind the operands' (or at)."""

    def ready(sizes, dtype):
        ids = torch.randint(0, below(sizes), sizes[operands if at is None else at], device=device)
        return ids, [random(s, dtype) for s in sizes[:operands]]

    def value(sizes, dtype):
        ids, x = ready(sizes, dtype)
        return lambda: f(sizes, ids, *x)

    def back(sizes, dtype):
        ids, x = ready(sizes, dtype)
        return pullback(lambda *p: f(sizes, ids, *p), *x)

    ROWS[name] = value
    if with_vjp:
        ROWS[name + " vjp"] = back


# Reductions along other axes, and their gradients.
for what, f in (
    ("sum", torch.sum),
    ("max", torch.amax),
    ("variance", lambda x, dim: torch.var(x, dim, correction=0)),
    ("norm", lambda x, dim: torch.linalg.vector_norm(x, dim=dim)),
    ("logsumexp", torch.logsumexp),
):
    function(what + " rows", lambda x, f=f: f(x, 1))
    function(what + " columns", lambda x, f=f: f(x, 0), with_vjp=False)
function("norm all", torch.linalg.vector_norm)
function("prod rows", lambda x: torch.prod(x, 1), with_vjp=False)
function("argmax all", torch.argmax, with_vjp=False)
function("sum middle", lambda x: torch.sum(x, 1), with_vjp=False)
function("softmax columns", lambda x: torch.softmax(x, 0))


# Norms. Images are channels-last where PyTorch has kernels for it.
def planes(x, *others):
    """(N, H, W, C) as (N, C, H, W), dense."""
    return [x.movedim(-1, 1).contiguous(), *others]


def channels_last(x, *others):
    """(N, H, W, C) as (N, C, H, W) of the same memory."""
    return [x.movedim(-1, 1), *others]


operation("rms_norm", lambda s, x, g: F.rms_norm(x, x.shape[-1:], g, 1e-5), 1 + 1)
operation("group_norm", lambda s, x, g, b: F.group_norm(x, s[3][0], g, b), 3, planes)
operation("batch_norm", lambda s, x, g, b: F.batch_norm(x, None, None, g, b, training=True), 3, channels_last)


# Attention: (B, T, H, D) here, (B, H, T, D) there, of the same memory.
def attend(sizes, q, k, v, bias=None, **options):
    q, k, v = (x.transpose(1, 2) for x in (q, k, v))
    return F.scaled_dot_product_attention(q, k, v, bias, **options).transpose(1, 2)


operation("attention", attend, 3)
operation("attention causal", lambda *a: attend(*a, is_causal=True), 3)
operation("attention of grouped heads", lambda *a: attend(*a, enable_gqa=True), 3)
operation("attention with bias", attend, 4)


def rotary(turn):
    """PyTorch has no operation for it: what models write, with tables of cosines and sines that are there already."""

    def build(sizes, dtype, back):
        x, (_, t, _, d) = random(sizes[0], dtype), sizes[0]
        angle = torch.arange(t, device=device)[:, None] * 10000.0 ** (-torch.arange(0, d, 2, device=device) / d)
        c, s = (a[:, None, :].to(dtype) for a in (angle.cos(), angle.sin()))
        return pullback(lambda x: turn(x, c, s), x) if back else lambda: turn(x, c, s)

    return build


def turn_halves(x, c, s):
    a, b = x.chunk(2, -1)
    return torch.cat((a * c - b * s, b * c + a * s), -1)


def turn_pairs(x, c, s):
    a, b = x[..., ::2], x[..., 1::2]
    return torch.stack((a * c - b * s, b * c + a * s), -1).flatten(-2)


for name, turn in (("rotary", turn_halves), ("rotary interleaved", turn_pairs)):
    ROWS[name] = lambda sizes, dtype, turn=turn: rotary(turn)(sizes, dtype, False)
    ROWS[name + " vjp"] = lambda sizes, dtype, turn=turn: rotary(turn)(sizes, dtype, True)

# Scans.
for what, f in (
    ("cumsum", torch.cumsum),
    ("cumprod", torch.cumprod),
    ("cummax", lambda x, dim: torch.cummax(x, dim).values),
    ("cumlogsumexp", torch.logcumsumexp),
):
    function(what, lambda x, f=f: f(x, -1))
    function(what + " columns", lambda x, f=f: f(x, 0))

# Order. PyTorch's median is the lower of two middle elements, ours their mean.
function("sort", lambda x: torch.sort(x).values)
function("sort columns", lambda x: torch.sort(x, 0).values, with_vjp=False)
function("argsort", torch.argsort, with_vjp=False)
function("median rows", lambda x: torch.median(x, -1).values, with_vjp=False)
function("median all", torch.median, with_vjp=False)
function("quantile rows", lambda x: torch.quantile(x, 0.9, -1), with_vjp=False)
operation("topk", lambda s, x: torch.topk(x, s[1][0]).values)


@row("nonzero")
def nonzero(sizes, dtype):
    mask = random(sizes[0], torch.float32) > 0
    return lambda: torch.nonzero(mask)


@row("mask_select")
def mask_select(sizes, dtype):
    x, mask = random(sizes[0], dtype), random(sizes[0], dtype) > 0
    return lambda: torch.masked_select(x, mask)


@row("mask_select vjp")
def mask_select_vjp(sizes, dtype):
    mask = random(sizes[0], dtype) > 0
    return pullback(lambda x: torch.masked_select(x, mask), random(sizes[0], dtype))


def integers(sizes):
    """Their shape and what they are below: "at (n) (below)"."""
    return torch.randint(0, sizes[1][0], sizes[0], device=device, dtype=torch.int32)


@row("unique")
def unique(sizes, dtype):
    x = integers(sizes)
    return lambda: torch.unique(x, return_inverse=True, return_counts=True)


@row("bincount")
def bincount(sizes, dtype):
    x = integers(sizes)
    return lambda: torch.bincount(x, minlength=sizes[1][0])


@row("searchsorted")
def searchsorted(sizes, dtype):
    x, edges = random(sizes[0], dtype), torch.linspace(-2, 2, sizes[1][0], device=device)
    return lambda: torch.searchsorted(edges, x, out_int32=True)


@row("histogram")
def histogram(sizes, dtype):
    """torch.histogram is of the CPU alone; these bins are as wide as each other."""
    x = random(sizes[0], dtype)
    return lambda: torch.histc(x, sizes[1][0] - 1, -2, 2)


ROWS["randint"] = lambda sizes, dtype: lambda: torch.randint(0, 1000, sizes[0], device=device, dtype=dtype)
ROWS["permutation"] = lambda sizes, dtype: lambda: torch.randperm(sizes[0][0], device=device, dtype=dtype)
function("categorical", lambda x: torch.multinomial(torch.softmax(x, -1), 1), with_vjp=False)

# Gathers, scatters, segments. Ids are int64, as PyTorch has them.
indexed("take", lambda s, i, x: torch.index_select(x, 0, i), 1, lambda s: s[0][0])
indexed("take columns", lambda s, i, x: torch.index_select(x, 1, i), 1, lambda s: s[0][1])
indexed("take_along_axis", lambda s, i, x: torch.gather(x, 1, i), 1, lambda s: s[0][1])
indexed("scatter_add", lambda s, i, x, y: torch.index_add(x, 0, i, y), 2, lambda s: s[0][0])
indexed("scatter", lambda s, i, x, y: torch.index_copy(x, 0, i, y), 2, lambda s: s[0][0])


def largest_of(n, ids, x, into=None):
    """scatter_reduce, as index_reduce has no gradient of the extremes."""
    where = ids.view(-1, *[1] * (x.dim() - 1)).expand_as(x)
    if into is None:
        into = torch.full((n, *x.shape[1:]), -math.inf, device=device, dtype=x.dtype)
    return torch.scatter_reduce(into, 0, where, x, "amax")


def added_to(n, ids, x):
    return torch.zeros((n, *x.shape[1:]), device=device, dtype=x.dtype).index_add(0, ids, x)


def mean_of(n, ids, x):
    return added_to(n, ids, x) / torch.bincount(ids, minlength=n).view(-1, *[1] * (x.dim() - 1))


indexed("scatter_max", lambda s, i, x, y: largest_of(0, i, y, x), 2, lambda s: s[0][0])
indexed("segment_sum", lambda s, i, x: added_to(s[2][0], i, x), 1, lambda s: s[2][0])
indexed("segment_mean", lambda s, i, x: mean_of(s[2][0], i, x), 1, lambda s: s[2][0])
indexed("segment_max", lambda s, i, x: largest_of(s[2][0], i, x), 1, lambda s: s[2][0])
indexed("one_hot", lambda s, i: F.one_hot(i, s[1][0]).float(), 0, lambda s: s[1][0], with_vjp=False)

# Images, channels-last but for the kernels that are faster on planes.
operation("max_pool2d", lambda s, x: F.max_pool2d(x, *s[1]), prepare=channels_last)
operation("avg_pool2d", lambda s, x: F.avg_pool2d(x, *s[1]), prepare=channels_last)
operation("adaptive_avg_pool2d", lambda s, x: F.adaptive_avg_pool2d(x, s[1]), prepare=channels_last)
operation("global_avg_pool", lambda s, x: torch.mean(x, (2, 3)), prepare=channels_last)
for mode in ("nearest", "bilinear", "bicubic"):
    operation(
        f"upsample_{mode}2d",
        lambda s, x, mode=mode: F.interpolate(x, scale_factor=s[1][0], mode=mode),
        prepare=planes if mode == "bicubic" else channels_last,
    )
operation("pad", lambda s, x: F.pad(x, [s[1][0]] * 4), prepare=planes)
operation("pad reflect", lambda s, x: F.pad(x, [s[1][0]] * 4, "reflect"), prepare=planes)


def places(x, grid):
    return [x.movedim(-1, 1), grid / 2]


operation("grid_sample", lambda s, x, g: F.grid_sample(x, g, align_corners=False), 2, places)


def kernels(x, w):
    """Weights (KH, KW, C, out) as (out, C, KH, KW), both channels-last."""
    return [x.movedim(-1, 1), w.permute(3, 2, 0, 1).contiguous(memory_format=torch.channels_last)]


operation("conv2d strided", lambda s, x, w: F.conv2d(x, w, stride=2, padding=1), 2, kernels)
operation("conv2d grouped", lambda s, x, w: F.conv2d(x, w, padding=1, groups=s[2][0]), 2, kernels)
operation("conv2d depthwise", lambda s, x, w: F.conv2d(x, w, padding=1, groups=x.shape[1]), 2, kernels)
operation(
    "conv1d",
    lambda s, x, w: F.conv1d(x, w, padding=s[1][0] // 2),
    2,
    lambda x, w: [x.movedim(-1, 1).contiguous(), w.permute(2, 1, 0).contiguous()],
)
operation(
    "conv_transpose2d",
    lambda s, x, w: F.conv_transpose2d(x, w, stride=2, padding=1),
    2,
    lambda x, w: [x.movedim(-1, 1), w.permute(2, 3, 0, 1).contiguous(memory_format=torch.channels_last)],
)

# Copies.
function("roll", lambda x: torch.roll(x, 5, 1), with_vjp=False)
function("flip", lambda x: torch.flip(x, (1,)), with_vjp=False)
function("tril", torch.tril, with_vjp=False)
function("concatenate columns", lambda a, b: torch.cat((a, b), 1), same, with_vjp=False)
function("repeat", lambda x: torch.repeat_interleave(x, 2, 1), with_vjp=False)
function("tile", lambda x: x.repeat(1, 2), with_vjp=False)
function("kron", torch.kron, same, with_vjp=False)
