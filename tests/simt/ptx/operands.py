"""A function's operands in C++: registers are variables of their declared width, the windows of memory addresses."""

import re

from ptx import BYTES, PtxError, Variable, number

SPECIAL = {"%laneid": "simt::lane()", "WARP_SZ": "32u", "%clock64": "u64(clock64())", "%clock": "u32(clock64())",
           "%lanemask_eq": "(1u << simt::lane())", "%lanemask_lt": "((1u << simt::lane()) - 1)",
           "%lanemask_le": "(~0u >> (31 - simt::lane()))", "%lanemask_gt": "(~1u << simt::lane())",
           "%lanemask_ge": "(~0u << simt::lane())"}  # fmt: skip
for ptx, cuda in (("tid", "threadIdx"), ("ntid", "blockDim"), ("ctaid", "blockIdx"), ("nctaid", "gridDim")):
    SPECIAL |= {f"%{ptx}.{axis}": f"{cuda}.{axis}" for axis in "xyz"}


def c_type(kind: str) -> str:
    """The C++ type of values of a PTX type; 16-bit floats are their bits, and so is what has no type of its own."""
    if kind == "pred":
        return "bool"
    if kind not in BYTES:
        raise PtxError(f"the type .{kind} is not known")
    return kind if kind in ("f32", "f64") or kind[0] in "us" else f"u{8 * BYTES[kind]}"


def register_type(kind: str) -> str:
    kind = c_type(kind)
    return kind.replace("s", "u")


def name_of(text: str) -> str:
    return re.sub(r"[%$.]", "_", text)


def is_float(kind: str) -> bool:
    return kind in ("f32", "f64")


class Operands:
    """What the names in a function stand for, scope by scope."""

    def __init__(self, variables: dict[str, Variable], shared: dict[str, int], dynamic: int) -> None:
        self.variables = variables  # of module and function: .global, .const, .local, .param
        self.shared = shared  # offsets in the block's shared memory
        self.dynamic = dynamic  # where the launch's dynamic shared memory begins
        self.parameters: dict[str, str] = {}  # a parameter's address in C++
        self.scopes: list[dict[str, str]] = [{}]

    def declare(self, register: str, kind: str) -> str:
        self.scopes[-1][register] = register_type(kind)
        return register_type(kind)

    def type_of(self, register: str) -> str:
        for scope in reversed(self.scopes):
            if register in scope:
                return scope[register]
        return ""

    def literal(self, text: str, kind: str) -> str:
        if text[:2] in ("0f", "0F", "0d", "0D"):
            bits, source = int(text[2:], 16), "f32" if text[1] in "fF" else "f64"
            value = f"std::bit_cast<{source}>(u{source[1:]}(0x{bits:x}u))"
            if is_float(kind):
                return value if kind == source else f"{kind}({value})"
            return f"{kind}(0x{bits:x}u)"
        value = number(text)
        if is_float(kind):
            return f"{kind}({value})"
        if kind == "bool":
            return "true" if value else "false"
        bits = int(kind[1:])
        return f"{kind}(0x{value % (1 << bits):x}{'ull' if bits == 64 else 'u'})"

    def symbol(self, text: str) -> str:
        """The address that a name stands for, empty if it is none."""
        found = re.match(r"([\w$%.]+)\s*(?:\+\s*(-?\w+))?$", text)
        if not found:
            return ""
        name, offset = found[1], number(found[2] or "0")
        if name in self.shared:
            return f"u64({self.shared[name] + offset})"
        if name in self.parameters:
            return f"(u64({self.parameters[name]}) + {offset})"
        if name in self.variables:
            v = self.variables[name]
            return f"u64({self.dynamic + offset})" if v.unsized else f"(u64({name_of(name)}) + {offset})"
        return ""

    def read(self, text: str, kind: str) -> str:
        """A C++ expression of type c_type(kind)."""
        kind = c_type(kind)
        if text.startswith("!"):
            return f"!{self.read(text[1:], 'pred')}"
        if text[0] == "-" and text[1:2] == "%":
            raise PtxError(f"the operand {text} is not understood")
        if have := self.type_of(text):
            name = name_of(text)
            if have == kind:
                return name
            if is_float(have) != is_float(kind) and have[1:] == kind[1:]:
                return f"std::bit_cast<{kind}>({name})"
            if is_float(have) or is_float(kind) or "bool" in (have, kind):
                raise PtxError(f"the register {text} is not of type {kind}")
            return f"{kind}({name})"
        if text in SPECIAL:
            return f"{kind}({SPECIAL[text]})"
        if re.match(r"-?\d", text):
            return self.literal(text, kind)
        if found := self.symbol(text):
            return f"{kind}({found})"
        raise PtxError(f"the operand {text} is not known")

    def write(self, register: str, kind: str, value: str) -> str:
        """The statement that assigns a value, to be taken as of type c_type(kind), to a register."""
        kind = c_type(kind)
        if register == "_":
            return f"(void)({value});"
        have = self.type_of(register)
        if not have:
            raise PtxError(f"the register {register} is not declared")
        if have == kind:
            return f"{name_of(register)} = {value};"
        if is_float(have) != is_float(kind):
            if have[1:] != kind[1:]:
                raise PtxError(f"the register {register} is not of type {kind}")
            return f"{name_of(register)} = std::bit_cast<{have}>({kind}({value}));"
        if (have == "bool") != (kind == "bool"):
            raise PtxError(f"the register {register} is not of type {kind}")
        return f"{name_of(register)} = {kind}({value});"

    def address(self, text: str, space: str) -> str:
        """The host address of a memory operand, [base], [base+4] or [symbol+4]."""
        inside = text.strip()[1:-1].strip()
        base, _, offset = (p.strip() for p in inside.partition("+"))
        plus = f" + {number(offset)}" if offset and number(offset) else ""
        if found := self.symbol(inside):
            return f"shared + {found}" if space == "shared" else found
        if not (have := self.type_of(base)) and not base[0].isdigit():
            raise PtxError(f"the address {text} is not known")
        width = "u64" if have == "u64" else "u32"
        value = self.read(base, width)
        if space == "shared":
            return f"shared + u32({value}{plus})"
        if space == "param" and base not in self.parameters and not have:
            raise PtxError(f"the parameter {base} is not known")
        return f"{value}{plus}"
