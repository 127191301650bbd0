"""The rows of the benchmarks in PyTorch, found by name: `call("softmax + backward (64, 10)")` gives a function to time,
or None where PyTorch does not have the thing. PyTorch at its best: channels-last convolutions, fused optimisers, double
backward for Hessian products, torch.func for per-sample gradients; outputs are allocated, as ours are.
"""
import re

import torch
import torch.nn.functional as F

CHAIN = 100  # operations in a call of the rows about one element
ROWS = {}  # what a row measures: function of the sizes in its name


def row(*names):
    def add(f):
        for name in names:
            ROWS[name] = f
        return f

    return add


def simple(name, make):
    """A row without derivative; make(*sizes) gives what to call."""

    def build(*sizes):
        f = make(*sizes)

        def run():
            with torch.no_grad():
                f()

        return run

    ROWS[name] = build


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


def call(name):
    found = re.fullmatch(r"(.*?) \(([0-9, ]*)\)", name)
    what, sizes = (found[1], [int(n) for n in found[2].split(",") if n.strip()]) if found else (name, [])
    torch.manual_seed(1)
    return ROWS[what](*sizes) if what in ROWS else None


# One element.


def chain(x, c):
    for _ in range(CHAIN):
        x = x * c
    return x


def one_element(name):
    def add(make):
        def build():
            x, c = torch.tensor(1.01), torch.tensor(0.9999)
            return make(x, c)

        ROWS["one element: " + name] = build

    return add


@one_element("multiply")
def _(x, c):
    def run():
        with torch.no_grad():
            chain(x, c)

    return run


@one_element("multiply by a number")
def _(x, c):
    def run():
        with torch.no_grad():
            chain(x, 0.9999)

    return run


@one_element("multiply, recorded")
def _(x, c):
    x.requires_grad_()
    return lambda: chain(x, c)


@one_element("multiply, forward + backward")
def _(x, c):
    return with_backward(lambda a: chain(a, c), x)


@one_element("multiply, jvp")
def _(x, c):
    return lambda: torch.func.jvp(lambda a: chain(a, c), (x,), (x,))


@one_element("multiply, hvp")
def _(x, c):
    # The chain is linear: double backward would find nothing to do, so torch.func runs the general program.
    return lambda: torch.func.jvp(torch.func.grad(lambda a: chain(a, c)), (x,), (x,))


@one_element("multiply, vmap over 4")
def _(x, c):
    four = torch.ones(4)
    return lambda: torch.func.vmap(lambda a: chain(a, c))(four)


@row("third derivative of tanh")
def third():
    x = torch.tensor(1.01, requires_grad=True)

    def run():
        y = torch.tanh(x)
        for _ in range(2):
            (y,) = torch.autograd.grad(y, x, create_graph=True)
        torch.autograd.grad(y, x)

    return run


# Pointwise.

UNARY = {
    "exp": torch.exp, "tanh": torch.tanh, "expm1": torch.expm1, "log": torch.log, "log1p": torch.log1p,
    "sqrt": torch.sqrt, "rsqrt": torch.rsqrt, "reciprocal": torch.reciprocal, "square": torch.square,
    "abs": torch.abs, "sin": torch.sin, "cos": torch.cos, "tan": torch.tan, "sinh": torch.sinh, "erf": torch.erf,
    "sigmoid": torch.sigmoid, "log_sigmoid": F.logsigmoid, "softplus": F.softplus, "relu": torch.relu, "elu": F.elu,
    "gelu": F.gelu, "gelu_tanh": lambda x: F.gelu(x, approximate="tanh"), "silu": F.silu, "floor": torch.floor,
}  # fmt: skip


def add_unary(name, f):
    names = list(UNARY)

    def argument(n):  # of both signs from erf on
        return torch.randn(n) if names.index(name) >= names.index("erf") else torch.rand(n) * 1.4 + 0.1

    def plain(n):
        x = argument(n)
        return lambda: f(x)

    simple(name, plain)
    ROWS[name + " + backward"] = lambda n: with_backward(f, argument(n))


for unary_name, unary in UNARY.items():
    add_unary(unary_name, unary)


def ternary(f):
    def make(*sizes):
        x, w, b = (torch.randn(*sizes) for _ in range(3))
        positive = torch.rand(*sizes) * 1.5 + 0.5
        return lambda: f(x, w, b, positive)

    return make


def gelu_of_affine(x, w, b, _):
    return F.gelu(x * w + b, approximate="tanh")


simple("add", ternary(lambda x, w, b, p: x + w))
simple("multiply", ternary(lambda x, w, b, p: x * w))
simple("divide", ternary(lambda x, w, b, p: x / p))
simple("maximum", ternary(lambda x, w, b, p: torch.maximum(x, w)))
simple("pow", ternary(lambda x, w, b, p: torch.pow(p, w)))
simple("greater", ternary(lambda x, w, b, p: x > w))
simple("where", ternary(lambda x, w, b, p: torch.where(x > 0, w, b)))
simple("x * w + b", ternary(lambda x, w, b, p: torch.addcmul(b, x, w)))
simple("gelu_tanh(x * w + b)", ternary(gelu_of_affine))
simple("gelu_tanh(x * w + b), map", ternary(gelu_of_affine))


@row("sum(square(x - w)) + backward")
def squares(n):
    w = torch.randn(n)
    return with_backward(lambda x: (x - w).square().sum(), torch.randn(n))


def layouts(f):
    def make(m, n):
        x, r, c, other = torch.randn(m, n), torch.randn(n), torch.randn(m, 1), torch.randn(n, m)
        return lambda: f(x, r, c, other)

    return make


simple("add a row", layouts(lambda x, r, c, o: x + r))
simple("multiply by a column", layouts(lambda x, r, c, o: x * c))
simple("outer product by broadcasting", layouts(lambda x, r, c, o: c * r))
simple("add a transposed matrix", layouts(lambda x, r, c, o: x + o.T))


# Reductions and rows.


def of_normals(f):
    def make(*sizes):
        x = torch.randn(*sizes)
        return lambda: f(x)

    return make


for rows_name, rows_f in {
    "sum": torch.sum,
    "max": torch.max,
    "norm": torch.norm,
    "logsumexp": lambda x: x.logsumexp(-1),
    "cumsum": lambda x: x.cumsum(-1),
    "sum rows": lambda x: x.sum(-1),
    "sum columns": lambda x: x.sum(0),
    "variance rows": lambda x: x.var(-1, correction=0),
    "argmax rows": lambda x: x.argmax(-1),
    "logsumexp rows": lambda x: x.logsumexp(-1),
    "cumsum rows": lambda x: x.cumsum(-1),
    "softmax": lambda x: torch.softmax(x, -1),
    "log_softmax": lambda x: torch.log_softmax(x, -1),
}.items():
    simple(rows_name, of_normals(rows_f))

ROWS["softmax + backward"] = lambda *s: with_backward(lambda x: torch.softmax(x, -1), torch.randn(*s))
ROWS["log_softmax + backward"] = lambda *s: with_backward(lambda x: torch.log_softmax(x, -1), torch.randn(*s))


def labels_of(m, n):
    return torch.arange(m) * 7 % n


def norm_arguments(m, n):
    return torch.randn(m, n), torch.randn(n), torch.randn(n)


def layer_norm(x, gamma, beta):
    return F.layer_norm(x, gamma.shape, gamma, beta)


def plain_layer_norm(m, n):
    arguments = norm_arguments(m, n)
    return lambda: layer_norm(*arguments)


def plain_cross_entropy(m, n):
    x, labels = torch.randn(m, n), labels_of(m, n)
    return lambda: F.cross_entropy(x, labels)


simple("layer_norm", plain_layer_norm)
simple("cross_entropy", plain_cross_entropy)
ROWS["layer_norm + backward"] = lambda m, n: with_backward(layer_norm, *norm_arguments(m, n))


@row("cross_entropy + backward")
def cross_entropy_backward(m, n):
    labels = labels_of(m, n)
    return with_backward(lambda x: F.cross_entropy(x, labels), torch.randn(m, n))


@row("mse + backward")
def mse_backward(m, n):
    y = torch.randn(m, n)
    return with_backward(lambda x: F.mse_loss(x, y), torch.randn(m, n))


# Convolution.


def convolution(n, h, w, c_in, c_out, kernel, stride, groups):
    last = torch.channels_last
    x = torch.randn(n, c_in, h, w).to(memory_format=last)
    weight = torch.randn(c_out, c_in // groups, kernel, kernel).to(memory_format=last)
    y = F.conv2d(x, weight, stride=stride, padding=kernel // 2, groups=groups)
    g = torch.randn_like(y)

    def backward(*wanted):
        padding = kernel // 2
        return torch.ops.aten.convolution_backward(
            g, x, weight, None, [stride] * 2, [padding] * 2, [1, 1], False, [0, 0], groups, [*wanted, False]
        )

    return lambda: F.conv2d(x, weight, stride=stride, padding=kernel // 2, groups=groups), backward


simple("conv2d", lambda *s: convolution(*s)[0])


def convolution_gradient(*wanted):
    def make(*sizes):
        backward = convolution(*sizes)[1]
        return lambda: backward(*wanted)

    return make


simple("conv2d, input gradient", convolution_gradient(True, False))
simple("conv2d, weight gradient", convolution_gradient(False, True))


def pool_argument(n, h, w, c):
    return torch.randn(n, c, h, w).to(memory_format=torch.channels_last)


def plain_pool(*s):
    x = pool_argument(*s)
    return lambda: F.max_pool2d(x, 2)


simple("max_pool2d", plain_pool)
ROWS["max_pool2d + backward"] = lambda *s: with_backward(lambda x: F.max_pool2d(x, 2), pool_argument(*s))


# Networks.


def dense(layers, between):
    parts = []
    for i in range(len(layers) - 1):
        parts += [torch.nn.Linear(layers[i], layers[i + 1])] + ([between()] if i + 2 < len(layers) else [])
    return torch.nn.Sequential(*parts)


def classifier(batch, *layers):
    net = dense(layers, torch.nn.ReLU)
    x, y = torch.randn(batch, layers[0]), torch.randint(layers[-1], (batch,))
    return net, x, y, F.cross_entropy


def tanh_net(batch, *layers):
    net = dense(layers, torch.nn.Tanh)
    return net, torch.randn(batch, layers[0]), torch.randn(batch, layers[-1]), F.mse_loss


def forward(*s):
    net, x, _, _ = classifier(*s)
    return lambda: net(x)


simple("mlp forward", forward)


@row("mlp train step")
def train_step(*s):
    net, x, y, loss = classifier(*s)
    optimiser = torch.optim.Adam(net.parameters(), lr=1e-4, fused=True)

    def run():
        optimiser.zero_grad(set_to_none=True)
        loss(net(x), y).backward()
        optimiser.step()

    return run


def gradient(make):
    def build(*s):
        net, x, y, loss = make(*s)
        parameters = list(net.parameters())
        return lambda: torch.autograd.grad(loss(net(x), y), parameters)

    return build


def double_backward(net, x, y, loss):
    """Hessian times a list of tensors, by the gradient of gradient . v."""
    parameters = list(net.parameters())

    def product(v):
        gradients = torch.autograd.grad(loss(net(x), y), parameters, create_graph=True)
        return torch.autograd.grad(gradients, parameters, v)

    return parameters, product


def hvp(make):
    def build(*s):
        parameters, product = double_backward(*make(*s))
        v = [torch.randn_like(p) for p in parameters]
        return lambda: product(v)

    return build


def per_sample(make):
    def build(*s):
        net, x, y, loss = make(*s)
        parameters = {k: p.detach() for k, p in net.named_parameters()}

        def of_one(p, a, b):
            return loss(torch.func.functional_call(net, p, (a.unsqueeze(0),)), b.unsqueeze(0))

        per_example = torch.func.vmap(torch.func.grad(of_one), in_dims=(None, 0, 0))
        return lambda: per_example(parameters, x, y)

    return build


for net_name, make_net in {"mlp": classifier, "tanh net": tanh_net}.items():
    ROWS[net_name + " gradient"] = gradient(make_net)
    ROWS[net_name + " hvp"] = hvp(make_net)
    ROWS[net_name + " per-sample gradients"] = per_sample(make_net)


@row("deep linear train step")
def deep_linear(batch, *layers):
    net = torch.nn.Sequential(*(torch.nn.Linear(m, n, bias=False) for m, n in zip(layers, layers[1:])))
    x, y = torch.randn(batch, layers[0]), torch.randn(batch, layers[-1])
    optimiser = torch.optim.SGD(net.parameters(), lr=1e-4, fused=True)

    def run():
        optimiser.zero_grad(set_to_none=True)
        F.mse_loss(net(x), y).backward()
        optimiser.step()

    return run


@row("adam")
def adam(n):
    p = torch.randn(n, requires_grad=True)
    p.grad = torch.randn(n)
    return torch.optim.Adam([p], lr=1e-4, fused=True).step


@row("lanczos of the Hessian")
def lanczos(batch, steps, *layers):
    """Full reorthogonalisation, twice, against one array of basis vectors; then the tridiagonal eigenvalues."""
    parameters, product = double_backward(*classifier(batch, *layers))
    shapes = [p.shape for p in parameters]
    start = torch.cat([torch.randn(s).flatten() for s in shapes])

    def run():
        basis = torch.empty(steps + 1, start.numel())
        basis[0] = start / start.norm()
        alpha, beta = [], []
        for j in range(steps):
            v = [part.view(s) for part, s in zip(basis[j].split([s.numel() for s in shapes]), shapes)]
            w = torch.cat([part.flatten() for part in product(v)])
            alpha.append(float(w @ basis[j]))
            known = basis[: j + 1]
            for _ in range(2):
                w = torch.addmv(w, known.T, known @ w, alpha=-1)
            beta.append(float(w.norm()))
            basis[j + 1] = w / beta[-1]
        t = torch.diag(torch.tensor(alpha, dtype=torch.float64))
        off = torch.tensor(beta[:-1], dtype=torch.float64)
        return torch.linalg.eigvalsh(t + torch.diag(off, 1) + torch.diag(off, -1))

    return run


# Random numbers.

simple("uniform", lambda n: lambda: torch.rand(n))
simple("uniform<double>", lambda n: lambda: torch.rand(n, dtype=torch.float64))
simple("normal", lambda n: lambda: torch.randn(n))
simple("normal<double>", lambda n: lambda: torch.randn(n, dtype=torch.float64))
simple("randint", lambda n: lambda: torch.randint(0, 1000, (n,), dtype=torch.int32))
simple("bernoulli", lambda n: lambda: torch.empty(n, dtype=torch.bool).bernoulli_(0.3))
simple("permutation", lambda n: lambda: torch.randperm(n))


@row("dropout")
def dropout(n):
    x = torch.randn(n)
    return lambda: F.dropout(x, 0.1)


@row("categorical")
def categorical(m, n):
    p = torch.softmax(torch.randn(m, n), -1)
    return lambda: torch.multinomial(p, 1)


# Matrix products, by kind: which factor lies transposed.


def product(dtype, left, right):
    def make(m, n, k):
        a = torch.randn(k, m, dtype=dtype).T if left else torch.randn(m, k, dtype=dtype)
        b = torch.randn(n, k, dtype=dtype).T if right else torch.randn(k, n, dtype=dtype)
        return lambda: a @ b

    return make


for type_name, dtype in {"float": torch.float32, "double": torch.float64}.items():
    for kind, (left, right) in {"NN": (False, False), "NT": (False, True), "TN": (True, False)}.items():
        simple(f"gemm {type_name} {kind}", product(dtype, left, right))
