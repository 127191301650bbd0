"""Reads PTX as nvcc writes it into variables, functions and their statements (PTX ISA, "Syntax" and "Directives")."""

import dataclasses
import re
from collections.abc import Iterator

BYTES = {"pred": 1, "b8": 1, "u8": 1, "s8": 1, "b16": 2, "u16": 2, "s16": 2, "f16": 2, "bf16": 2, "b32": 4, "u32": 4,
         "s32": 4, "f32": 4, "f16x2": 4, "bf16x2": 4, "b64": 8, "u64": 8, "s64": 8, "f64": 8}  # fmt: skip


class PtxError(Exception):
    """What the translator does not know, or does not accept."""


@dataclasses.dataclass
class Variable:
    """A variable or parameter; `initial` holds its first bytes where the module gives them."""

    space: str
    name: str
    align: int
    bytes: int
    initial: bytes = b""
    unsized: bool = False  # the launch's dynamic shared memory


@dataclasses.dataclass
class Function:
    """A kernel (.entry) or a device function (.func) with its body as text."""

    name: str
    entry: bool
    results: list[Variable]
    parameters: list[Variable]
    most_threads: int  # 0: no bound
    body: str


@dataclasses.dataclass
class Module:
    files: dict[str, str]
    variables: dict[str, Variable]
    functions: list[Function]


@dataclasses.dataclass
class Instruction:
    opcode: str
    operands: list[str]
    predicate: str = ""  # "%p1" or "!%p1"


VARIABLE = re.compile(r"""\.(?P<space>global|const|shared|local|param)\s+(?:\.align\s+(?P<align>\d+)\s+)?
    \.(?P<type>\w+)\s+(?P<name>[\w$%.]+)\s*(?P<array>\[\d*\])?\s*(?:=\s*(?P<initial>.*))?$""", re.S | re.X)  # fmt: skip
STATEMENT = re.compile(r"""\s*(?:(?P<line>\.loc\b[^\n]*)|(?P<brace>[{}])|(?P<label>[$\w%.]+):(?!:)|
    (?P<text>[^;{}][^;]*);)""", re.X)  # fmt: skip
INSTRUCTION = re.compile(r"(?:@(!?%?[\w$.]+)\s+)?([a-z][\w.:]*)\s*(.*)$", re.S)
REGISTERS = re.compile(r"([\w%$.]+?)(?:<(\d+)>)?$")


def split(text: str) -> list[str]:
    """The parts between commas, those inside brackets left whole."""
    parts, depth, start = [], 0, 0
    if "{" not in text and "(" not in text:
        return [p.strip() for p in text.split(",")] if text.strip() else []
    for i, c in enumerate(text):
        if c in "{[(":
            depth += 1
        elif c in "}])":
            depth -= 1
        elif c == "," and depth == 0:
            parts.append(text[start:i].strip())
            start = i + 1
    return [*parts, text[start:].strip()]


def number(text: str) -> int:
    """An integer literal: 12, -12, 0x1F, 0b11, 017, 12U."""
    digits = text.rstrip("Uu").lower()
    sign, digits = (-1, digits[1:]) if digits.startswith("-") else (1, digits)
    octal = len(digits) > 1 and digits[0] == "0" and digits[1].isdigit()
    return sign * int(digits, 8 if octal else 0)


def initial_bytes(text: str, each: int, floating: bool) -> bytes:
    data = b""
    for item in split(text.strip().removeprefix("{").removesuffix("}")):
        if floating or item[:2] in ("0f", "0d"):
            value = int(item[2:], 16)
        elif re.fullmatch(r"-?\w+", item) and (item[0] == "-" or item[0].isdigit()):
            value = number(item) % (1 << 8 * each)
        else:
            raise PtxError(f"a variable begins as {item}, which is no number")
        data += value.to_bytes(each, "little")
    return data


def variable(text: str) -> Variable:
    text = re.sub(r"\.(?:visible|weak|extern|common)\s+|\.ptr(?:\s+\.\w+)*(?=\s+\.align)", "", text.strip())
    found = VARIABLE.match(text)
    if not found or found["type"] not in BYTES:
        raise PtxError(f"this declaration is not understood: {text[:200]}")
    each = BYTES[found["type"]]
    count = int(found["array"][1:-1] or 0) if found["array"] else 1
    initial = initial_bytes(found["initial"], each, found["type"][0] == "f") if found["initial"] else b""
    return Variable(found["space"], found["name"], int(found["align"] or each), each * count, initial, count == 0)


def registers(text: str) -> Iterator[tuple[str, str]]:
    """(name, type) of the registers that a .reg directive declares; %r<3> are %r0, %r1 and %r2."""
    _, kind, names = text.split(None, 2)
    for name in names.split(","):
        found = REGISTERS.match(name.strip())
        for one in [found[1] + str(i) for i in range(int(found[2]))] if found[2] else [found[1]]:
            yield one, kind[1:]


def instruction(text: str) -> Instruction:
    found = INSTRUCTION.match(text)
    if not found:
        raise PtxError(f"this is no instruction: {text[:200]}")
    return Instruction(found[2], split(found[3]), found[1] or "")


def statements(body: str) -> Iterator[tuple[str, str]]:
    """(kind, text): kind is line, brace, label, or text, which is an instruction or a directive."""
    at, end = 0, len(body.rstrip())
    while at < end:
        found = STATEMENT.match(body, at)
        if not found:
            raise PtxError(f"this is no statement: {body[at:at + 200]}")
        yield found.lastgroup, found[found.lastgroup]
        at = found.end()


def closing(text: str, at: int) -> int:
    """The place of the brace that closes the one at `at`."""
    depth = 0
    for brace in re.compile(r"[{}]").finditer(text, at):
        depth += 1 if brace[0] == "{" else -1
        if depth == 0:
            return brace.start()
    raise PtxError("a brace is not closed")


def parameters(text: str) -> list[Variable]:
    return [variable(p) for p in split(text)] if text.strip() else []


def function(header: str, body: str) -> Function:
    found = re.match(r"\.(entry|func)\s*(?:\(([^)]*)\)\s*)?([\w$]+)\s*(?:\(([^)]*)\))?(.*)$", header, re.S)
    if not found:
        raise PtxError(f"this function is not understood: {header[:200]}")
    bound = re.search(r"\.(?:maxntid|reqntid)\s+(\d+)(?:\s*,\s*(\d+))?(?:\s*,\s*(\d+))?", found[5])
    most = int(bound[1]) * int(bound[2] or 1) * int(bound[3] or 1) if bound else 0
    entry = found[1] == "entry"
    return Function(found[3], entry, parameters(found[2] or ""), parameters(found[4] or ""), most, body)


def parse(text: str) -> Module:
    module = Module(dict(re.findall(r'^\s*\.file\s+(\d+)\s+"([^"]+)"', text, re.M)), {}, [])
    text = re.sub(r"^\s*\.file[^\n]*|//[^\n]*", "", text, flags=re.M)
    at = 0
    while found := re.compile(r"\s*(\.[a-z_]+)").match(text, at):
        start = found.start(1)
        if found[1] in (".version", ".target", ".address_size"):
            at = text.index("\n", start)
            continue
        end = re.compile(r"=\s*\{[^}]*\}\s*;|[;{]").search(text, start).end() - 1
        head = re.sub(r"^(?:\.(?:visible|weak|extern)\s+)+", "", text[start:end].strip())
        at = end + 1
        if text[end] == "{":
            stop = closing(text, end)
            at = stop + 1
            if head.startswith((".entry", ".func")):
                module.functions.append(function(head, text[end + 1 : stop]))
            elif not head.startswith(".section"):
                raise PtxError(f"this directive is not understood: {head[:200]}")
        elif head.startswith((".global", ".const", ".shared")):
            v = variable(head)
            module.variables[v.name] = v
        elif not head.startswith((".func", ".entry")):
            raise PtxError(f"this directive is not understood: {head[:200]}")
    if text[at:].strip():
        raise PtxError(f"this is no directive: {text[at:].strip()[:200]}")
    return module
