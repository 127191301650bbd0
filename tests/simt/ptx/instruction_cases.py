"""What instructions compute, said a second time: opcode, types of result and operands, a function of Python's numbers.

Integers come as int of their type's sign, floats as float; a result is cut to the register. Each case runs on 32 lanes
with values of its own, edges first. `within`: relative error allowed, of an instruction that PTX calls approximate.
"""

import fractions
import math
import random
import struct
from collections.abc import Callable
from typing import NamedTuple

Value = int | float | bool


class Case(NamedTuple):
    opcode: str
    types: str
    expected: Callable[..., Value]
    immediate: str = ""  # a last operand that is a literal
    within: float = 0.0


def rounded(x: fractions.Fraction, way: str = "rn") -> float:
    """A finite number as a float of 32 bits."""
    if x == 0:
        return 0.0
    exponent = x.numerator.bit_length() - x.denominator.bit_length()
    exponent = max(exponent + (abs(x) >= fractions.Fraction(2) ** exponent), -125)
    unit = fractions.Fraction(2) ** (exponent - 24)
    low = math.floor(x / unit)
    down, up, rest = low * unit, (low + 1) * unit, x / unit - low
    if rest == 0:
        result = down
    elif way == "rn":
        result = down if rest < fractions.Fraction(1, 2) or (rest == fractions.Fraction(1, 2) and low % 2 == 0) else up
    else:
        result = down if way == "rm" or (way == "rz" and x > 0) else up
    return float(result)


def fused(a: float, b: float, c: float, way: str = "rn") -> float:
    if not all(map(math.isfinite, (a, b, c))):
        return a * b + c
    exact = fractions.Fraction(a) * fractions.Fraction(b) + fractions.Fraction(c)
    if exact == 0:
        return a * b + c if way != "rm" or a * b == c == 0 and math.copysign(1, a * b) == math.copysign(1, c) else -0.0
    result = rounded(exact, way)
    most = 2.0**128 - 2.0**104
    if abs(result) <= most:
        return result
    stays = way == "rz" or (way == "rm") == (result > 0) and way != "rn"
    return math.copysign(most if stays else math.inf, result)


def clamp(x: float, low: int, high: int, nan: int, way: Callable[[float], int]) -> int:
    if math.isnan(x):
        return nan
    return low if x == -math.inf else high if x == math.inf else min(max(way(x), low), high)


def to_s32(way: Callable[[float], int]) -> Callable[[float], int]:
    return lambda a: clamp(a, -(2**31), 2**31 - 1, 0, way)


def divided(a: int, b: int) -> int:
    return -1 if b == 0 else abs(a) // abs(b) * (1 if (a < 0) == (b < 0) else -1)


def field(a: int, place: int, length: int, bits: int, signed: bool) -> int:
    place, length, u = place & 255, length & 255, a % (1 << bits)
    if length == 0:
        return 0
    value = (u >> place) % (1 << length)
    last = min(place + length - 1, bits - 1)
    reach = min(length, max(bits - place, 0))
    return value - (1 << reach) if signed and u >> last & 1 else value


def inserted(a: int, b: int, place: int, length: int, bits: int) -> int:
    place, length = place & 255, length & 255
    mask = ((1 << length) - 1) << place
    return (b & ~mask | (a << place) & mask) % (1 << bits)


def permuted(a: int, b: int, order: int) -> int:
    data = a.to_bytes(4, "little") + b.to_bytes(4, "little")
    chosen = [(data[n & 7], n & 8) for n in ((order >> 4 * i) & 15 for i in range(4))]
    return int.from_bytes(bytes((255 if byte & 128 else 0) if sign else byte for byte, sign in chosen), "little")


def smaller(a: float, b: float) -> float:
    if math.isnan(a) or math.isnan(b):
        return b if math.isnan(a) else a
    return min((a, math.copysign(1, a)), (b, math.copysign(1, b)))[0]


def single(x: float) -> float:
    return struct.unpack("f", struct.pack("f", x))[0] if not math.isfinite(x) or abs(x) < 3.4e38 else fused(x, 1.0, 0.0)


def quotient(a: float, b: float) -> float:
    if math.isnan(a) or math.isnan(b):
        return math.nan
    if b == 0 or not math.isfinite(a) or not math.isfinite(b):
        sign = math.copysign(1, a) * math.copysign(1, b)
        invalid = a == 0 == b or math.isinf(a) and math.isinf(b)
        return math.nan if invalid else sign * (0.0 if math.isinf(b) else math.inf)
    exact = fractions.Fraction(a) / fractions.Fraction(b)
    return math.copysign(fused(1.0, float(exact), 0.0), math.copysign(1, a) * math.copysign(1, b))


def flushed(a: float) -> float:
    return math.copysign(0.0, a) if abs(a) < 2.0**-126 else a


def divided_approximately(a: float, b: float) -> float:
    if 2.0**126 < abs(b) < math.inf:
        return a * math.copysign(0.0, b) if math.isfinite(a) else math.nan
    return quotient(a, b)


def power_of_two(a: float) -> float:
    return 0.0 if a < -126 else 2.0**a if a < 128 else math.inf + a


def logarithm(a: float) -> float:
    return math.log2(a) if a > 0 else -math.inf if a == 0 else math.nan


def unordered(a: float, b: float) -> bool:
    return math.isnan(a) or math.isnan(b)


def half_bits(a: float) -> int:
    if math.isnan(a):
        return 0x7fff
    return int.from_bytes(struct.pack("<e", a if abs(a) < 65520 else math.copysign(math.inf, a)), "little")


def bfloat_bits(a: float) -> int:
    u = int.from_bytes(struct.pack("<f", a), "little")
    return 0x7fff if math.isnan(a) else (u + 0x7fff + (u >> 16 & 1)) >> 16


CASES = [
    Case("add.s32", "s32: s32 s32", lambda a, b: a + b),
    Case("sub.u64", "u64: u64 u64", lambda a, b: a - b),
    Case("add.s16", "s16: s16 s16", lambda a, b: a + b),
    Case("mul.lo.s32", "s32: s32 s32", lambda a, b: a * b),
    Case("mul.lo.u16", "u16: u16 u16", lambda a, b: a * b),
    Case("mul.lo.s64", "s64: s64 s64", lambda a, b: a * b),
    Case("mul.hi.s32", "s32: s32 s32", lambda a, b: a * b >> 32),
    Case("mul.hi.u32", "u32: u32 u32", lambda a, b: a * b >> 32),
    Case("mul.hi.s64", "s64: s64 s64", lambda a, b: a * b >> 64),
    Case("mul.hi.u64", "u64: u64 u64", lambda a, b: a * b >> 64),
    Case("mul.wide.s32", "s64: s32 s32", lambda a, b: a * b),
    Case("mul.wide.u32", "u64: u32 u32", lambda a, b: a * b),
    Case("mul.wide.s16", "s32: s16 s16", lambda a, b: a * b),
    Case("mul.wide.u16", "u32: u16 u16", lambda a, b: a * b),
    Case("mad.lo.s32", "s32: s32 s32 s32", lambda a, b, c: a * b + c),
    Case("mad.hi.u32", "u32: u32 u32 u32", lambda a, b, c: (a * b >> 32) + c),
    Case("mad.wide.s32", "s64: s32 s32 s64", lambda a, b, c: a * b + c),
    Case("mad.wide.u32", "u64: u32 u32 u64", lambda a, b, c: a * b + c),
    Case("mul24.lo.s32", "s32: s32 s32", lambda a, b: ((a + 2**23) % 2**24 - 2**23) * ((b + 2**23) % 2**24 - 2**23)),
    Case("mad24.lo.u32", "u32: u32 u32 u32", lambda a, b, c: a % 2**24 * (b % 2**24) + c),
    Case("div.s32", "s32: s32 s32", divided),
    Case("div.u64", "u64: u64 u64", divided),
    Case("rem.s64", "s64: s64 s64", lambda a, b: a - b * divided(a, b) if b else a),
    Case("rem.u32", "u32: u32 u32", lambda a, b: a % b if b else a),
    Case("neg.s32", "s32: s32", lambda a: -a),
    Case("abs.s64", "s64: s64", abs),
    Case("min.s32", "s32: s32 s32", min),
    Case("max.u64", "u64: u64 u64", max),
    Case("min.u16", "u16: u16 u16", min),
    Case("and.b32", "b32: b32 b32", lambda a, b: a & b),
    Case("or.b16", "b16: b16 b16", lambda a, b: a | b),
    Case("xor.b64", "b64: b64 b64", lambda a, b: a ^ b),
    Case("xor.pred", "pred: pred pred", lambda a, b: a ^ b),
    Case("not.pred", "pred: pred", lambda a: 1 - a),
    Case("not.b16", "b16: b16", lambda a: ~a),
    Case("shl.b32", "b32: b32 count", lambda a, n: a << n if n < 32 else 0),
    Case("shl.b16", "b16: b16 count", lambda a, n: a << n if n < 16 else 0),
    Case("shl.b64", "b64: b64 count", lambda a, n: a << n if n < 64 else 0),
    Case("shr.u32", "u32: u32 count", lambda a, n: a >> n),
    Case("shr.b64", "b64: b64 count", lambda a, n: a >> n),
    Case("shr.s32", "s32: s32 count", lambda a, n: a >> n),
    Case("shr.s16", "s16: s16 count", lambda a, n: a >> n),
    Case("shr.s64", "s64: s64 count", lambda a, n: a >> n),
    Case("shf.l.wrap.b32", "b32: b32 b32 count", lambda a, b, n: (b << 32 | a) << n % 32 >> 32),
    Case("shf.r.wrap.b32", "b32: b32 b32 count", lambda a, b, n: (b << 32 | a) >> n % 32),
    Case("shf.l.clamp.b32", "b32: b32 b32 count", lambda a, b, n: (b << 32 | a) << min(n, 32) >> 32),
    Case("shf.r.clamp.b32", "b32: b32 b32 count", lambda a, b, n: (b << 32 | a) >> min(n, 32)),
    Case("popc.b64", "u32: b64", lambda a: a.bit_count()),
    Case("clz.b32", "u32: b32", lambda a: 32 - a.bit_length()),
    Case("brev.b32", "b32: b32", lambda a: int(f"{a:032b}"[::-1], 2)),
    Case("bfind.s32", "u32: s32", lambda a: (a if a >= 0 else ~a).bit_length() - 1),
    Case("bfe.u32", "u32: u32 count count", lambda a, p, n: field(a, p, n, 32, False)),
    Case("bfe.s32", "s32: s32 count count", lambda a, p, n: field(a, p, n, 32, True)),
    Case("bfe.s64", "s64: s64 count count", lambda a, p, n: field(a, p, n, 64, True)),
    Case("bfi.b32", "b32: b32 b32 count count", lambda a, b, p, n: inserted(a, b, p, n, 32)),
    Case("bfi.b64", "b64: b64 b64 count count", lambda a, b, p, n: inserted(a, b, p, n, 64)),
    Case("prmt.b32", "b32: b32 b32 b32", permuted),
    Case("lop3.b32", "b32: b32 b32 b32", lambda a, b, c: a & b | ~a & c, "0xca"),
    Case("selp.f64", "f64: f64 f64 pred", lambda a, b, p: a if p else b),
    Case("selp.b16", "b16: b16 b16 pred", lambda a, b, p: a if p else b),
    Case("slct.b32.s32", "b32: b32 b32 s32", lambda a, b, c: a if c >= 0 else b),
    Case("add.f32", "f32: f32 f32", lambda a, b: fused(a, 1.0, b)),
    Case("sub.f64", "f64: f64 f64", lambda a, b: a - b),
    Case("mul.rn.f32", "f32: f32 f32", lambda a, b: fused(a, b, -0.0)),
    Case("add.rz.f32", "f32: f32 f32", lambda a, b: fused(a, 1.0, b, "rz")),
    Case("add.rp.f32", "f32: f32 f32", lambda a, b: fused(a, 1.0, b, "rp")),
    Case("mul.rm.f32", "f32: f32 f32", lambda a, b: fused(a, b, -0.0, "rm") if a * b else a * b),
    Case("fma.rn.f32", "f32: f32 f32 f32", fused),
    Case("fma.rm.f32", "f32: f32 f32 f32", lambda a, b, c: fused(a, b, c, "rm")),
    Case("fma.rz.f32", "f32: f32 f32 f32", lambda a, b, c: fused(a, b, c, "rz")),
    Case("div.rn.f32", "f32: f32 f32", quotient),
    Case("rcp.rn.f32", "f32: f32", lambda a: quotient(1.0, a)),
    Case("rcp.approx.ftz.f32", "f32: f32", lambda a: flushed(quotient(1.0, flushed(a))), within=1e-6),
    Case("div.approx.f32", "f32: f32 f32", divided_approximately, within=3e-7),
    Case("sqrt.rn.f64", "f64: f64", lambda a: math.sqrt(a) if a >= 0 else -0.0 if a == 0 else math.nan),
    Case("ex2.approx.ftz.f32", "f32: f32", power_of_two, within=1e-6),
    Case("lg2.approx.f32", "f32: f32", logarithm, within=1e-6),
    Case("neg.f32", "f32: f32", lambda a: -a),
    Case("abs.f64", "f64: f64", abs),
    Case("min.f32", "f32: f32 f32", smaller),
    Case("max.f64", "f64: f64 f64", lambda a, b: -smaller(-a, -b)),
    Case("min.NaN.f32", "f32: f32 f32", lambda a, b: math.nan if unordered(a, b) else smaller(a, b)),
    Case("max.NaN.f32", "f32: f32 f32", lambda a, b: math.nan if unordered(a, b) else -smaller(-a, -b)),
    Case("copysign.f32", "f32: f32 f32", lambda a, b: math.copysign(b, a)),
    Case("testp.normal.f32", "pred: f32", lambda a: math.isfinite(a) and abs(a) >= 2.0**-126),
    Case("cvt.s32.s8", "s32: s8", lambda a: a),
    Case("cvt.u16.u64", "u16: u64", lambda a: a),
    Case("cvt.s64.s32", "s64: s32", lambda a: a),
    Case("cvt.u64.u32", "u64: u32", lambda a: a),
    Case("cvt.s8.s32", "s16: s32", lambda a: (a + 128) % 256 - 128),
    Case("cvt.sat.u8.s32", "u16: s32", lambda a: min(max(a, 0), 255)),
    Case("cvt.rni.s32.f32", "s32: f32", to_s32(round)),
    Case("cvt.rzi.s32.f32", "s32: f32", to_s32(math.trunc)),
    Case("cvt.rmi.s32.f32", "s32: f32", to_s32(math.floor)),
    Case("cvt.rpi.s32.f32", "s32: f32", to_s32(math.ceil)),
    Case("cvt.rzi.u32.f64", "u32: f64", lambda a: clamp(a, 0, 2**32 - 1, 2**31, math.trunc)),
    Case("cvt.rzi.s64.f32", "s64: f32", lambda a: clamp(a, -(2**63), 2**63 - 1, -(2**63), math.trunc)),
    Case("cvt.rzi.u64.f64", "u64: f64", lambda a: clamp(a, 0, 2**64 - 1, 2**63, math.trunc)),
    Case("cvt.rni.f32.f32", "f32: f32", lambda a: math.copysign(round(a), a) if math.isfinite(a) else a),
    Case("cvt.rn.f32.s32", "f32: s32", lambda a: rounded(fractions.Fraction(a))),
    Case("cvt.rn.f32.u64", "f32: u64", lambda a: rounded(fractions.Fraction(a))),
    Case("cvt.rn.f64.s64", "f64: s64", float),
    Case("cvt.rn.f32.f64", "f32: f64", lambda a: fused(1.0, a, 0.0) if a else a),
    Case("cvt.f64.f32", "f64: f32", lambda a: a),
    Case("cvt.sat.f32.f32", "f32: f32", lambda a: min(max(a, 0.0), 1.0) if a > 0 else 0.0),
    Case("cvt.rn.f16.f32", "b16: f32", half_bits),
    Case("cvt.rn.bf16.f32", "b16: f32", bfloat_bits),
    Case("cvt.rn.bf16x2.f32", "b32: f32 f32", lambda a, b: bfloat_bits(a) << 16 | bfloat_bits(b)),
    Case("cvt.f32.f16", "f32: b16", lambda a: struct.unpack("<e", a.to_bytes(2, "little"))[0]),
    Case("cvt.f32.bf16", "f32: b16", lambda a: struct.unpack("<f", (a << 16).to_bytes(4, "little"))[0]),
    Case("setp.lt.s32", "pred: s32 s32", lambda a, b: a < b),
    Case("setp.hs.u64", "pred: u64 u64", lambda a, b: a >= b),
    Case("setp.ne.f32", "pred: f32 f32", lambda a, b: a != b and not unordered(a, b)),
    Case("setp.neu.f32", "pred: f32 f32", lambda a, b: a != b),
    Case("setp.ltu.f64", "pred: f64 f64", lambda a, b: a < b or unordered(a, b)),
    Case("setp.geu.f32", "pred: f32 f32", lambda a, b: a >= b or unordered(a, b)),
    Case("setp.equ.f32", "pred: f32 f32", lambda a, b: a == b or unordered(a, b)),
    Case("setp.num.f32", "pred: f32 f32", lambda a, b: not unordered(a, b)),
    Case("setp.gt.and.s32", "pred: s32 s32 pred", lambda a, b, p: a > b and p),
    Case("setp.eq.or.f32", "pred: f32 f32 pred", lambda a, b, p: a == b or p),
]  # fmt: skip

FLOATS = [0.0, -0.0, 1.0, -1.0, math.inf, -math.inf, math.nan, 0.5, 1.5, 2.5, -2.5, 1e-40, -3e-39, 3.4e38, -3.4e38,
          2.0**31, 2.0**32, -(2.0**63), 2.0**64, 1.7e38, 65519.9, 65520.0, 6e-8]  # fmt: skip


def sample(kind: str, lane: int, place: int, dice: random.Random) -> Value:
    """The value of an operand for one lane: edges meet each other in early lanes, chance rules the later ones."""
    at = (lane if place == 0 else lane * (2 * place + 5) + place) if lane < 24 else -1
    if kind == "pred":
        return dice.randrange(2)
    if kind == "count":
        edges = [0, 1, 7, 8, 15, 16, 17, 31, 32, 33, 63, 64, 65, 255, 256, 300]
        return edges[at % len(edges)] if at >= 0 else dice.randrange(70)
    bits = int("".join(c for c in kind if c.isdigit()))
    if kind[0] == "f":
        value = FLOATS[at % len(FLOATS)] if at >= 0 else dice.gauss(0, 1) * 2.0 ** dice.randrange(-30, 40)
        return single(value) if bits == 32 else value
    low, high = (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) if kind[0] == "s" else (0, (1 << bits) - 1)
    edges = [0, 1, low, high, high - 1, high // 2, high // 2 + 1, low + 1, 2, 3]
    return edges[at % len(edges)] if at >= 0 else dice.randrange(low, high + 1)
