"""PTX instructions that are more than a result from values: memory, control flow, barriers, several results.

STATEMENTS maps an opcode's first word to a function that writes C++. Each takes the translator of the function and the
instruction; an opcode with a word that it does not know raises KeyError, which the translator reports by name.
"""

from typing import Protocol

from instructions import OF_FLOATS, OF_INTEGERS
from operands import Operands, c_type, is_float, name_of
from ptx import BYTES, Instruction, PtxError, split

SPACES = {"global", "shared", "local", "param", "const"}
ORDERS = {"weak", "volatile", "relaxed", "acquire", "release", "acq_rel"}
SCOPES = {"cta", "cluster", "gpu", "sys"}
CACHES = {"nc", "ca", "cg", "cs", "lu", "cv", "wb", "wt"}
ATOMICS = {"add": "Add", "min": "Min", "max": "Max", "and": "And", "or": "Or", "xor": "Xor", "exch": "Exch",
           "cas": "CAS", "inc": "Inc", "dec": "Dec"}  # fmt: skip
SPACE_NAMES = {"shared::cta": "shared", "param::entry": "param", "param::func": "param"}


class Translator(Protocol):
    operands: Operands
    targets: dict[str, list[str]]


def words_of(i: Instruction, known: set[str], after: int = 1) -> tuple[str, set[str]]:
    """The type, and the words between the first ones and it, which must all be known; with their space, if any."""
    *words, kind = i.opcode.split(".")[after:]
    found = {SPACE_NAMES.get(w, w) for w in words if not w.startswith(("L1::", "L2::"))}
    if not found <= known or kind not in BYTES:
        raise KeyError(i.opcode)
    return kind, found


def space_of(words: set[str]) -> str:
    return next(iter(words & SPACES), "")


def vector(text: str) -> list[str]:
    return split(text.strip()[1:-1]) if text.strip().startswith("{") else [text.strip()]


def load(t: Translator, i: Instruction) -> str:
    kind, words = words_of(i, SPACES | ORDERS | SCOPES | CACHES | {"v2", "v4"})
    c = c_type(kind)
    to, address = vector(i.operands[0]), t.operands.address(i.operands[1], space_of(words))
    if words & {"acquire", "relaxed"}:
        return t.operands.write(to[0], kind, f"simt::load_acquire(at<{c}>({address}))")
    if len(to) == 1:
        pointer = f"at<{'const volatile ' if 'volatile' in words else 'const '}{c}>({address})"
        return t.operands.write(to[0], kind, f"*{pointer}")
    writes = " ".join(t.operands.write(r, kind, f"from[{n}]") for n, r in enumerate(to))
    return f"{{ const {c}* const from = at<const {c}, {len(to)}>({address}); {writes} }}"


def store(t: Translator, i: Instruction) -> str:
    kind, words = words_of(i, SPACES | ORDERS | SCOPES | CACHES | {"v2", "v4"})
    c = c_type(kind)
    address = t.operands.address(i.operands[0], space_of(words))
    values = [t.operands.read(r, kind) for r in vector(i.operands[1])]
    if words & {"release", "relaxed"}:
        return f"simt::store_release(at<{c}>({address}), {values[0]});"
    if len(values) == 1:
        return f"*at<{'volatile ' if 'volatile' in words else ''}{c}>({address}) = {values[0]};"
    writes = " ".join(f"to[{n}] = {v};" for n, v in enumerate(values))
    return f"{{ {c}* const to = at<{c}, {len(values)}>({address}); {writes} }}"


def move(t: Translator, i: Instruction) -> str:
    kind, _ = words_of(i, set())
    to, source = vector(i.operands[0]), vector(i.operands[1])
    part = f"u{8 * BYTES[kind] // max(len(to), len(source))}"
    if len(to) > 1:  # the first register takes the lowest bits
        value = t.operands.read(i.operands[1], f"b{8 * BYTES[kind]}")
        parts = [(r, f"{part}(whole >> {int(part[1:]) * n})") for n, r in enumerate(to)]
        return f"{{ const u64 whole = {value}; {' '.join(t.operands.write(r, part, p) for r, p in parts)} }}"
    if len(source) > 1:
        bits = " | ".join(f"u64({t.operands.read(r, part)}) << {int(part[1:]) * n}" for n, r in enumerate(source))
        whole = f"b{8 * BYTES[kind]}"
        return t.operands.write(to[0], whole, f"{c_type(whole)}({bits})")
    return t.operands.write(to[0], kind, t.operands.read(source[0], kind))


def convert_address(t: Translator, i: Instruction) -> str:
    """cvta: a shared address is an offset in the block's memory, every other one a generic address as it is."""
    kind, words = words_of(i, {"to", *SPACES})
    value = t.operands.read(i.operands[1], kind)
    if "shared" in words:
        value += " - shared" if "to" in words else " + shared"
    return t.operands.write(i.operands[0], kind, value)


def compare(t: Translator, i: Instruction) -> str:
    _, comparison, *words, kind = i.opcode.split(".")
    combine = {"and": "&", "or": "|", "xor": "^"}.get(words[0], "") if words else ""
    if len(words) > 1 or bool(words) != bool(combine):
        raise KeyError(i.opcode)
    holds = (OF_FLOATS if is_float(kind) else OF_INTEGERS).get(comparison)
    if not holds:
        raise KeyError(i.opcode)
    holds = holds.format(a=t.operands.read(i.operands[1], kind), b=t.operands.read(i.operands[2], kind))
    to, _, other = i.operands[0].partition("|")
    third = f" {combine} bool({t.operands.read(i.operands[3], 'pred')})" if combine else ""
    code = t.operands.write(to, "pred", f"holds{third}")
    if other:
        code += " " + t.operands.write(other, "pred", f"!holds{third}")
    if not other and not third:
        return t.operands.write(to, "pred", holds)
    return f"{{ const bool holds = {holds}; {code} }}"


def branch(t: Translator, i: Instruction) -> str:
    if i.opcode not in ("bra", "bra.uni"):
        raise KeyError(i.opcode)
    return f"goto {name_of(i.operands[0])};"


def branch_table(t: Translator, i: Instruction) -> str:
    if i.opcode not in ("brx.idx", "brx.idx.uni"):
        raise KeyError(i.opcode)
    cases = " ".join(f"case {n}: goto {name_of(to)};" for n, to in enumerate(t.targets[i.operands[1]]))
    past = 'default: simt::fail("brx.idx past its table", {});'
    return f"switch ({t.operands.read(i.operands[0], 'u32')}) {{ {cases} {past} }}"


def call(t: Translator, i: Instruction) -> str:
    if i.opcode not in ("call", "call.uni"):
        raise KeyError(i.opcode)
    lists = [x for x in i.operands if x.startswith("(")]
    names = [x for x in i.operands if not x.startswith("(")]
    if len(names) != 1 or t.operands.type_of(names[0]):
        raise PtxError("a call through a register")
    arguments = [name_of(a) for x in lists for a in split(x[1:-1])]
    return f"ptx_{name_of(names[0])}({', '.join(arguments)});"


def leave(t: Translator, i: Instruction) -> str:
    if i.opcode not in ("ret", "ret.uni", "exit"):
        raise KeyError(i.opcode)
    return "return;"


def trap(t: Translator, i: Instruction) -> str:
    return "__trap();"


def barrier(t: Translator, i: Instruction) -> str:
    words = set(i.opcode.split(".")[1:]) - {"cta", "aligned"}
    values = [t.operands.read(x, "u32") for x in i.operands]
    if words == {"warp", "sync"}:
        return f"__syncwarp({values[0]});"
    if words == {"sync"} and len(values) == 1:
        return f"block_barrier({values[0]});"
    if words in ({"sync"}, {"arrive"}) and len(values) == 2:
        return f"simt::named_barrier_{words.pop()}({values[0]}, {values[1]});"
    raise KeyError(i.opcode)


def shuffle(t: Translator, i: Instruction) -> str:
    words = i.opcode.split(".")
    if words[1] != "sync" or words[2] not in ("up", "down", "bfly", "idx") or words[3:] != ["b32"]:
        raise KeyError(i.opcode)
    to, _, inside = i.operands[0].partition("|")
    values = ", ".join(t.operands.read(x, "u32") for x in i.operands[1:])
    code = f"{{ u32 value; const bool inside = shuffle_lanes<Shuffle::{words[2]}>(value, {values}); "
    code += t.operands.write(inside, "pred", "inside") if inside else "(void)inside;"
    return f"{code} {t.operands.write(to, 'b32', 'value')} }}"


def match(t: Translator, i: Instruction) -> str:
    if i.opcode not in ("match.all.sync.b32", "match.all.sync.b64"):
        raise KeyError(i.opcode)
    to, _, all_equal = i.operands[0].partition("|")
    value, mask = t.operands.read(i.operands[1], i.opcode[-3:]), t.operands.read(i.operands[2], "u32")
    code = f"{{ u32 lanes; const bool all = match_all(lanes, {value}, {mask}); "
    code += t.operands.write(all_equal, "pred", "all") if all_equal else "(void)all;"
    return f"{code} {t.operands.write(to, 'b32', 'lanes')} }}"


def fence(t: Translator, i: Instruction) -> str:
    if not set(i.opcode.split(".")[1:]) <= {"gl", "sc", *ORDERS, *SCOPES}:
        raise KeyError(i.opcode)
    return "__threadfence();"


def atomic(t: Translator, i: Instruction) -> str:
    """atom and red: threads run one at a time, so every order and scope is kept."""
    kind, words = words_of(i, ORDERS | SCOPES | {"global", "shared"} | ATOMICS.keys())
    operation = (words & ATOMICS.keys()).pop()
    c = c_type(kind)
    wrong = is_float(c) and operation != "add" or kind in ("f16", "bf16", "f16x2", "bf16x2")
    if wrong or BYTES[kind] < 4 or operation in ("inc", "dec") and c != "u32":
        raise KeyError(i.opcode)
    if operation == "add" and c[0] == "s":
        c = "u" + c[1:]  # which wraps
    returns = i.opcode.startswith("atom.")
    address, *values = i.operands[1:] if returns else i.operands
    arguments = [f"at<{c}>({t.operands.address(address, space_of(words))})", *(t.operands.read(v, c) for v in values)]
    value = f"atomic{ATOMICS[operation]}({', '.join(arguments)})"
    return t.operands.write(i.operands[0], c, value) if returns else f"{value};"


def copy_async(t: Translator, i: Instruction) -> str:
    if i.opcode == "cp.async.commit_group":
        return "simt::cp_async_commit();"
    if i.opcode == "cp.async.wait_group":
        return f"simt::cp_async_wait({t.operands.read(i.operands[0], 'u32')});"
    if i.opcode == "cp.async.wait_all":
        return "simt::cp_async_commit(); simt::cp_async_wait(0);"
    words = [SPACE_NAMES.get(w, w) for w in i.opcode.split(".") if not w.startswith("L2::")]
    if words[:2] != ["cp", "async"] or words[2] not in ("ca", "cg") or words[3:] != ["shared", "global"]:
        raise KeyError(i.opcode)
    to, source = t.operands.address(i.operands[0], "shared"), t.operands.address(i.operands[1], "global")
    sizes = [t.operands.read(x, "u32") for x in i.operands[2:]]
    return f"simt::cp_async(at<char>({to}), at<char>({source}), {sizes[0]}, {sizes[-1]});"


def load_matrix(t: Translator, i: Instruction) -> str:
    words = [SPACE_NAMES.get(w, w) for w in i.opcode.split(".")]
    if words[:4] != ["ldmatrix", "sync", "aligned", "m8n8"] or words[-2:] != ["shared", "b16"]:
        raise KeyError(i.opcode)
    to = vector(i.operands[0])
    if words[4] != f"x{len(to)}" or words[5:-2] not in ([], ["trans"]):
        raise KeyError(i.opcode)
    row = t.operands.address(i.operands[1], "shared")
    writes = " ".join(t.operands.write(r, "b32", f"rows[{n}]") for n, r in enumerate(to))
    transposed = "true" if "trans" in words else "false"
    return f"{{ unsigned rows[{len(to)}]; simt::ldmatrix<{len(to)}, {transposed}>(rows, at<char>({row})); {writes} }}"


def multiply_matrices(t: Translator, i: Instruction) -> str:
    products = {f"mma.sync.aligned.m16n8k16.row.col.f32.{k}.{k}.f32": k for k in ("f16", "bf16")}
    widen = products[i.opcode]
    d, a, b, c = (vector(x) for x in i.operands)
    sums = ", ".join(t.operands.read(x, "f32") for x in c)
    left, right = (", ".join(t.operands.read(x, "b32") for x in v) for v in (a, b))
    writes = " ".join(t.operands.write(x, "f32", f"sums[{n}]") for n, x in enumerate(d))
    return (f"{{ float sums[4] = {{{sums}}}; const unsigned left[4] = {{{left}}}, right[2] = {{{right}}}; "
            f"simt::mma_m16n8k16<simt::{widen}_to_float>(sums, left, right); {writes} }}")  # fmt: skip


def nothing(t: Translator, i: Instruction) -> str:
    return ";"


def sleep(t: Translator, i: Instruction) -> str:
    return f"__nanosleep({t.operands.read(i.operands[0], 'u32')});"


STATEMENTS = {"ld": load, "ldu": load, "st": store, "mov": move, "cvta": convert_address, "setp": compare,
              "bra": branch, "brx": branch_table, "call": call, "ret": leave, "exit": leave, "trap": trap,
              "bar": barrier, "barrier": barrier, "shfl": shuffle, "match": match, "membar": fence, "fence": fence,
              "atom": atomic,
              "red": atomic, "cp": copy_async, "ldmatrix": load_matrix, "mma": multiply_matrices, "prefetch": nothing,
              "prefetchu": nothing, "nanosleep": sleep}  # fmt: skip
