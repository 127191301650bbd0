#!/usr/bin/env python3
"""Translates PTX, as nvcc -ptx writes it, to C++ that runs on the emulation's fibers: a library of kernels by name.

usage: translate.py [--rename OLD=NEW] [--only PATTERN] IN.ptx OUT.cpp

--only translates the kernels whose mangled name holds the pattern alone; --rename changes a part of every kernel's
mangled name, where the host's compiler names a namespace otherwise than nvcc. What the translator does not know fails
here, by name, with exit status 1; nothing is left out silently.
"""

import argparse
import collections
import pathlib
import re
import sys

import instructions
import structure
from operands import Operands, name_of
from ptx import Function, Instruction, Module, PtxError, Variable, instruction, parse, registers, statements, variable

SHARED_ALIGN = 128  # of the whole, and of where the launch's dynamic part begins
UNDEFINED = {"bool": "false", "f32": "kUndefined32", "f64": "kUndefined64", "u8": "0xff", "u16": "0xffff", "u32": "~0u",
             "u64": "~u64{0}"}  # fmt: skip
TABLE = instructions.table()
TOOLKIT = re.compile(r"/(targets/[^/]+|nvidia/[^/]+)/include/")


def aligned(n: int, align: int) -> int:
    return (n + align - 1) // align * align


def definition(v: Variable) -> str:
    data = ", ".join(str(b) for b in v.initial)
    initial = f" = {{{data}}}" if data else ""
    return f"alignas({max(v.align, 16)}) unsigned char {name_of(v.name)}[{v.bytes}]{initial};"


class FunctionTranslator:
    """Writes one function as C++."""

    def __init__(self, function: Function, module: Module, unknown: collections.Counter[str]) -> None:
        self.function, self.module, self.unknown = function, module, unknown
        self.targets: dict[str, list[str]] = {}  # of brx.idx
        self.line = self.written = ""
        self.lines: list[str] = []
        variables = dict(module.variables)
        for kind, text in statements(function.body):
            if kind == "text" and text.startswith((".shared", ".local")):
                v = variable(text)
                variables[v.name] = v
                if v.space == "local":
                    self.lines.append(definition(v))
        self.static, shared = 0, {}
        for v in variables.values():
            if v.space == "shared" and v.name in function.body and not v.unsized:
                shared[v.name] = aligned(self.static, v.align)
                self.static = shared[v.name] + v.bytes
        if shared and not function.entry:
            raise PtxError(f"{function.name}, which is called, has shared memory of its own")
        self.static = aligned(self.static, SHARED_ALIGN)
        self.operands = Operands({n: v for n, v in variables.items() if n not in shared}, shared, self.static)
        self.layout: list[tuple[int, int]] = []  # offset and bytes of a kernel's parameters
        end = 0
        for i, p in enumerate(function.parameters):
            offset = aligned(end, p.align)
            end = offset + p.bytes
            self.layout.append((offset, p.bytes))
            self.operands.parameters[p.name] = f"parameters + {offset}" if function.entry else f"parameter{i}"
        for i, r in enumerate(function.results):
            self.operands.parameters[r.name] = f"result{i}"

    def signature(self) -> str:
        f = self.function
        names = [f"result{i}" for i in range(len(f.results))] + [f"parameter{i}" for i in range(len(f.parameters))]
        arguments = "void* arguments" if f.entry else ", ".join(f"unsigned char* {n}" for n in names)
        return f"void ptx_{name_of(f.name)}({arguments})"

    def row(self, rename: tuple[str, str]) -> str:
        """The kernel's line in the library."""
        f = self.function
        name = f.name.replace(*rename) if rename[0] else f.name
        layout = ", ".join(f"{{{offset}, {size}}}" for offset, size in self.layout)
        return f'{{"{name}", ptx_{name_of(f.name)}, {self.static}, {f.most_threads}, {{{layout}}}}},'

    def computed(self, i: Instruction) -> str:
        """The code of an instruction of the table."""
        row = TABLE[i.opcode]
        if len(i.operands) != 1 + len(row.operands):
            raise PtxError(f"{i.opcode} with {len(i.operands)} operands")
        values = {n: self.operands.read(x, t) for n, x, t in zip("abcd", i.operands[1:], row.operands)}
        return self.operands.write(i.operands[0], row.result, row.expression.format(**row.words, **values))

    def code(self, i: Instruction) -> str:
        if i.opcode in TABLE:
            return self.computed(i)
        head = i.opcode.partition(".")[0]
        if head not in structure.STATEMENTS:
            raise KeyError(i.opcode)
        return structure.STATEMENTS[head](self, i)

    def place(self, text: str) -> str:
        """The #line of a .loc; of code that the toolkit's headers hold, that of the call."""
        _, file, line, *rest = text.replace(",", " ").split()
        if TOOLKIT.search(self.module.files.get(file, "")) and "inlined_at" in rest:
            at = rest.index("inlined_at")
            file, line = rest[at + 1 : at + 3]
        return f'#line {line} "{self.module.files.get(file, "?")}"'

    def emit(self, text: str) -> None:
        i = instruction(text)
        try:
            code = self.code(i)
        except KeyError:
            self.unknown[i.opcode] += 1
            return
        except PtxError as e:
            raise PtxError(f"{text.strip()}: {e}") from None
        if self.line != self.written and "(" in code:  # a call or an access may have something to say
            self.lines.append(self.line)
            self.written = self.line
        if i.predicate:
            code = f"if ({self.operands.read(i.predicate, 'pred')}) {{ {code} }}"
        self.lines.append(code)

    def directive(self, text: str) -> None:
        if text.startswith(".reg"):
            by_type = collections.defaultdict(list)
            nested = len(self.operands.scopes) > 1
            for name, kind in registers(text):
                kind = self.operands.declare(name, kind)
                by_type[kind].append(name_of(name) + ("" if nested else f" = {UNDEFINED[kind]}"))
            self.lines += [f"{kind} {', '.join(names)};" for kind, names in by_type.items()]
        elif text.startswith(".param"):
            v = variable(text)
            self.operands.variables[v.name] = v
            self.lines.append(definition(v))
        elif not text.startswith((".pragma", ".shared", ".local")):
            raise PtxError(f"the directive {text.split()[0]} is not known")

    def translate(self) -> list[str]:
        label = ""
        for kind, text in statements(self.function.body):  # jump tables stand before their use or after it
            if kind == "text" and text.startswith(".branchtargets"):
                self.targets[label] = [t.strip() for t in text.removeprefix(".branchtargets").split(",")]
            label = text if kind == "label" else ""
        for kind, text in statements(self.function.body):
            if kind == "line":
                self.line = self.place(text)
            elif kind == "brace":
                self.operands.scopes.append({}) if text == "{" else self.operands.scopes.pop()
                self.lines.append(text)
            elif kind == "label":
                if text not in self.targets:
                    self.lines.append(f"{name_of(text)}:;")
            elif text.startswith(".branchtargets"):
                continue
            elif text.startswith("."):
                self.directive(text)
            else:
                self.emit(text)
        start = ["const u64 shared = u64(simt::dynamic_shared());"]
        if self.function.entry:
            start.append("[[maybe_unused]] unsigned char* const parameters = static_cast<unsigned char*>(arguments);")
        return [f"{self.signature()} {{", *start, *self.lines, "}"]


def translate(text: str, rename: tuple[str, str] = ("", ""), only: str = "") -> str:
    """`only`: a pattern; kernels whose mangled name does not hold it are left out."""
    module = parse(text)
    module.functions = [f for f in module.functions if not f.entry or re.search(only, f.name)]
    unknown: collections.Counter[str] = collections.Counter()
    functions = [FunctionTranslator(f, module, unknown) for f in module.functions]
    bodies = [f.translate() for f in functions]
    if unknown:
        raise PtxError("unknown instructions: " + ", ".join(f"{o} ({n} times)" for o, n in sorted(unknown.items())))
    used = "\n".join("\n".join(b) for b in bodies)
    out = ['#include "ptx/cooperation.hpp"', "namespace {", "using namespace simt::ptx;"]
    out += [definition(v) for n, v in module.variables.items() if v.space in ("global", "const") and name_of(n) in used]
    out += [f.signature() + ";" for f in functions]
    out += [line for body in bodies for line in body]
    rows = [f.row(rename) for f in functions if f.function.entry]
    return "\n".join([*out, "const simt::ptx::Library library{{", *rows, "}};", "}  // namespace", ""])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rename", default="=")
    parser.add_argument("--only", default="")
    parser.add_argument("input", type=pathlib.Path)
    parser.add_argument("output", type=pathlib.Path)
    options = parser.parse_args()
    old, _, new = options.rename.partition("=")
    try:
        options.output.write_text(translate(options.input.read_text(), (old, new), options.only))
    except PtxError as e:
        print(f"{options.input}: {e}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
