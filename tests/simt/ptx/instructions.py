"""PTX instructions that compute a result from values, as a table: opcode, types of result and operands, C++ expression.

In an opcode, <t:u32 s32> stands for one of several words ("-" for none) and gives them a name; INT, BITS, ... are sets
of types. The types of result and operands are names of types, names of such groups, or of `t`: u unsigned and s signed
of its width, w of double width, x unsigned of double width. In an expression {a} ... {d} are the operands, {t} and the
like the words' C++ names, {n} the width of t in bits. Functions are those of machine.hpp.
"""

import itertools
import re

SETS = {"INT": "u16 s16 u32 s32 u64 s64", "ANY": "u8 s8 u16 s16 u32 s32 u64 s64", "BITS": "b16 b32 b64",
        "UNSIGNED": "u16 u32 u64 b16 b32 b64", "SIGNED": "s16 s32 s64", "FLOAT": "f32 f64", "HALVES": "u16 s16 u32 s32",
        "VALUES": "b16 b32 b64 u16 u32 u64 s16 s32 s64 f32 f64", "BARRIER": "bar barrier barrier.cta"}  # fmt: skip
COMPARISONS = {"eq": "{a} == {b}", "ne": "{a} != {b}", "lt": "{a} < {b}", "le": "{a} <= {b}", "gt": "{a} > {b}",
               "ge": "{a} >= {b}"}  # fmt: skip
OF_INTEGERS = COMPARISONS | {"lo": "{a} < {b}", "ls": "{a} <= {b}", "hi": "{a} > {b}", "hs": "{a} >= {b}"}
# Of floats: those without u do not hold when an operand is NaN, ne among them; those with u do.
OF_FLOATS = COMPARISONS | {"ne": "std::islessgreater({a}, {b})", "equ": "!std::islessgreater({a}, {b})",
                           "neu": "{a} != {b}", "ltu": "!({a} >= {b})", "leu": "!({a} > {b})", "gtu": "!({a} <= {b})",
                           "geu": "!({a} < {b})", "num": "!std::isunordered({a}, {b})",
                           "nan": "std::isunordered({a}, {b})"}  # fmt: skip

ROWS = [
    # Integers: they wrap, so C++ computes them unsigned.
    ("add.<t:INT>", "u: u u", "{a} + {b}"),
    ("sub.<t:INT>", "u: u u", "{a} - {b}"),
    ("mul.lo.<t:INT>", "u: u u", "1u * {a} * {b}"),
    ("mul.hi.<t:INT>", "t: t t", "multiply_high({a}, {b})"),
    ("mul.wide.<t:HALVES>", "w: t t", "{w}({a}) * {b}"),
    ("mad.lo.<t:INT>", "u: u u u", "1u * {a} * {b} + {c}"),
    ("mad.hi.<t:INT>", "u: t t u", "{u}(multiply_high({a}, {b})) + {c}"),
    ("mad.wide.<t:HALVES>", "x: t t x", "{x}({w}({a}) * {b}) + {c}"),
    ("mul24.lo.<t:u32 s32>", "u: t t", "{u}(low24({a})) * low24({b})"),
    ("mad24.lo.<t:u32 s32>", "u: t t u", "{u}(low24({a})) * low24({b}) + {c}"),
    ("div.<t:INT>", "t: t t", "quotient({a}, {b})"),
    ("rem.<t:INT>", "t: t t", "remainder({a}, {b})"),
    ("neg.<t:SIGNED>", "u: u", "0u - {a}"),
    ("abs.<t:SIGNED>", "u: t", "{a} < 0 ? 0u - {u}({a}) : {u}({a})"),
    ("min.<t:INT>", "t: t t", "{b} < {a} ? {b} : {a}"),
    ("max.<t:INT>", "t: t t", "{a} < {b} ? {b} : {a}"),
    # Bits. A shift by the width or more leaves nothing, or the sign.
    ("and.<t:BITS pred>", "t: t t", "{a} & {b}"),
    ("or.<t:BITS pred>", "t: t t", "{a} | {b}"),
    ("xor.<t:BITS pred>", "t: t t", "{a} ^ {b}"),
    ("not.<t:BITS>", "t: t", "~{a}"),
    ("not.pred", "pred: pred", "!{a}"),
    ("shl.<t:BITS>", "t: t u32", "{b} < {n} ? {a} << {b} : 0"),
    ("shr.<t:UNSIGNED>", "t: t u32", "{b} < {n} ? {a} >> {b} : 0"),
    ("shr.<t:SIGNED>", "t: t u32", "{a} >> ({b} < {n} ? {b} : {n} - 1)"),
    ("shf.l.wrap.b32", "b32: b32 b32 u32", "funnel_left({a}, {b}, {c} & 31)"),
    ("shf.r.wrap.b32", "b32: b32 b32 u32", "funnel_right({a}, {b}, {c} & 31)"),
    ("shf.l.clamp.b32", "b32: b32 b32 u32", "funnel_left({a}, {b}, {c} < 32 ? {c} : 32)"),
    ("shf.r.clamp.b32", "b32: b32 b32 u32", "funnel_right({a}, {b}, {c} < 32 ? {c} : 32)"),
    ("popc.<t:b32 b64>", "u32: t", "std::popcount({a})"),
    ("clz.<t:b32 b64>", "u32: t", "std::countl_zero({a})"),
    ("brev.b32", "b32: b32", "__brev({a})"),
    ("brev.b64", "b64: b64", "__brevll({a})"),
    ("bfind.<t:u32 s32 u64 s64>", "u32: t", "leading_bit({a})"),
    ("bfind.shiftamt.<t:u32 s32 u64 s64>", "u32: t", "leading_bit_shift({a})"),
    ("bfe.<t:u32 s32 u64 s64>", "t: t u32 u32", "extract_bits({a}, {b} & 255, {c} & 255)"),
    ("bfi.<t:b32 b64>", "t: t t u32 u32", "insert_bits({a}, {b}, {c} & 255, {d} & 255)"),
    ("prmt.b32", "b32: b32 b32 b32", "permute_bytes({a}, {b}, {c})"),
    ("lop3.b32", "b32: b32 b32 b32 u32", "logic3({a}, {b}, {c}, {d})"),
    ("selp.<t:VALUES>", "t: t t pred", "{c} ? {a} : {b}"),
    ("slct.<t:VALUES>.s32", "t: t t s32", "{c} >= 0 ? {a} : {b}"),
    # Floating point. nvcc has fused what it fuses; the translation is compiled without further fusing.
    ("add.<round:- rn>.<t:FLOAT>", "t: t t", "{a} + {b}"),
    ("sub.<round:- rn>.<t:FLOAT>", "t: t t", "{a} - {b}"),
    ("mul.<round:- rn>.<t:FLOAT>", "t: t t", "{a} * {b}"),
    ("add.<r:rz rm rp>.f32", "f32: f32 f32", "directed<Towards::{r}>({a}, 1.0f, {b})"),
    ("sub.<r:rz rm rp>.f32", "f32: f32 f32", "directed<Towards::{r}>({b}, -1.0f, {a})"),
    ("mul.<r:rz rm rp>.f32", "f32: f32 f32", "directed_product<Towards::{r}>({a}, {b})"),
    ("fma.<r:rz rm rp>.f32", "f32: f32 f32 f32", "directed<Towards::{r}>({a}, {b}, {c})"),
    ("fma.rn.<t:FLOAT>", "t: t t t", "std::fma({a}, {b}, {c})"),
    ("div.rn.<t:FLOAT>", "t: t t", "{a} / {b}"),
    ("div.full.f32", "f32: f32 f32", "{a} / {b}"),
    ("div.approx.f32", "f32: f32 f32", "divide_approximately({a}, {b})"),
    ("rcp.rn.<t:FLOAT>", "t: t", "1 / {a}"),
    ("rcp.approx.f32", "f32: f32", "1 / {a}"),
    ("rcp.approx.ftz.f32", "f32: f32", "flush(1 / flush({a}))"),
    ("rcp.approx.ftz.f64", "f64: f64", "high_word(flush(1 / flush(high_word({a}))))"),
    ("sqrt.rn.<t:FLOAT>", "t: t", "std::sqrt({a})"),
    ("sqrt.approx.f32", "f32: f32", "std::sqrt({a})"),
    ("sqrt.approx.ftz.f32", "f32: f32", "std::sqrt(flush({a}))"),
    ("rsqrt.approx.<t:FLOAT>", "t: t", "1 / std::sqrt({a})"),
    ("rsqrt.approx.ftz.f32", "f32: f32", "1 / std::sqrt(flush({a}))"),
    ("rsqrt.approx.ftz.f64", "f64: f64", "high_word(1 / std::sqrt(flush(high_word({a}))))"),
    ("ex2.approx.f32", "f32: f32", "std::exp2({a})"),
    ("ex2.approx.ftz.f32", "f32: f32", "flush(std::exp2(flush({a})))"),
    ("lg2.approx.f32", "f32: f32", "std::log2({a})"),
    ("lg2.approx.ftz.f32", "f32: f32", "std::log2(flush({a}))"),
    ("sin.approx.f32", "f32: f32", "std::sin({a})"),
    ("cos.approx.f32", "f32: f32", "std::cos({a})"),
    ("tanh.approx.f32", "f32: f32", "std::tanh({a})"),
    ("neg.<t:FLOAT>", "t: t", "-{a}"),
    ("abs.<t:FLOAT>", "t: t", "std::fabs({a})"),
    ("min.<t:FLOAT>", "t: t t", "least<false>({a}, {b})"),
    ("max.<t:FLOAT>", "t: t t", "largest<false>({a}, {b})"),
    ("min.NaN.f32", "f32: f32 f32", "least<true>({a}, {b})"),
    ("max.NaN.f32", "f32: f32 f32", "largest<true>({a}, {b})"),
    ("copysign.<t:FLOAT>", "t: t t", "std::copysign({b}, {a})"),
    ("testp.finite.<t:FLOAT>", "pred: t", "std::isfinite({a})"),
    ("testp.infinite.<t:FLOAT>", "pred: t", "std::isinf({a})"),
    ("testp.number.<t:FLOAT>", "pred: t", "!std::isnan({a})"),
    ("testp.notanumber.<t:FLOAT>", "pred: t", "std::isnan({a})"),
    ("testp.normal.<t:FLOAT>", "pred: t", "std::isnormal({a})"),
    ("testp.subnormal.<t:FLOAT>", "pred: t", "std::fpclassify({a}) == FP_SUBNORMAL"),
    # Conversions; to an integer they clamp.
    ("cvt.<to:ANY>.<t:ANY>", "to: t", "{a}"),
    ("cvt.sat.<to:ANY>.<t:ANY>", "to: t", "saturate<{to}>({a})"),
    ("cvt.<r:rni rzi rmi rpi>.<to:ANY>.<t:FLOAT>", "to: t", "to_integer<{to}>(round_{r}({a}))"),
    ("cvt.<r:rni rzi rmi rpi>.ftz.<to:ANY>.f32", "to: f32", "to_integer<{to}>(round_{r}(flush({a})))"),
    ("cvt.<r:rni rzi rmi rpi>.f32.f32", "f32: f32", "round_{r}({a})"),
    ("cvt.<r:rni rzi rmi rpi>.f64.f64", "f64: f64", "round_{r}({a})"),
    ("cvt.rn.<to:FLOAT>.<t:ANY>", "to: t", "{to}({a})"),
    ("cvt.rn.f32.f64", "f32: f64", "f32({a})"),
    ("cvt.f64.f32", "f64: f32", "f64({a})"),
    ("cvt.sat.f32.f32", "f32: f32", "saturate_float({a})"),
    ("cvt.f32.f16", "f32: f16", "simt::f16_to_float({a})"),
    ("cvt.f32.bf16", "f32: bf16", "simt::bf16_to_float({a})"),
    ("cvt.rn.f16.f32", "f16: f32", "simt::float_to_f16({a})"),
    ("cvt.rn.bf16.f32", "bf16: f32", "simt::float_to_bf16({a})"),
    ("cvt.rn.f16x2.f32", "b32: f32 f32", "u32(simt::float_to_f16({a})) << 16 | simt::float_to_f16({b})"),
    ("cvt.rn.bf16x2.f32", "b32: f32 f32", "u32(simt::float_to_bf16({a})) << 16 | simt::float_to_bf16({b})"),
    # What lanes and threads tell each other, where the result is one value.
    ("activemask.b32", "b32:", "simt::active_lanes()"),
    ("vote.sync.any.pred", "pred: pred b32", "__any_sync({b}, {a})"),
    ("vote.sync.all.pred", "pred: pred b32", "__all_sync({b}, {a})"),
    ("vote.sync.uni.pred", "pred: pred b32", "all_equal({a}, {b})"),
    ("vote.sync.ballot.b32", "b32: pred b32", "__ballot_sync({b}, {a})"),
    ("match.any.sync.<t:b32 b64>", "b32: t b32", "__match_any_sync({b}, {a})"),
    ("redux.sync.<op:add min max>.<t:u32 s32>", "t: t b32", "__reduce_{op}_sync({b}, {a})"),
    ("redux.sync.<op:and or xor>.b32", "b32: b32 b32", "__reduce_{op}_sync({b}, {a})"),
    ("<bar:BARRIER>.red.popc<-:- .aligned>.u32", "u32: u32 pred", "block_vote<simt::Vote::count>({a}, {b})"),
    ("<bar:BARRIER>.red.and<-:- .aligned>.pred", "pred: u32 pred", "block_vote<simt::Vote::all>({a}, {b})"),
    ("<bar:BARRIER>.red.or<-:- .aligned>.pred", "pred: u32 pred", "block_vote<simt::Vote::any>({a}, {b})"),
]  # fmt: skip


class Row:
    """One instruction with its words filled in."""

    def __init__(self, words: dict[str, str], types: str, expression: str) -> None:
        names = dict(words)
        if "t" in words:
            t = words["t"]
            bits = re.sub(r"\D", "", t)
            names |= {"u": f"u{bits}", "s": f"s{bits}"}
            if bits.isdigit() and int(bits) <= 32:
                names |= {"w": f"{t[0]}{2 * int(bits)}", "x": f"u{2 * int(bits)}"}
            names["n"] = bits
        result, _, operands = types.partition(":")
        self.result = names.get(result, result)
        self.operands = [names.get(o, o) for o in operands.split()]
        self.words = {k: re.sub(r"^b(8|16|32|64)$", r"u\1", v) for k, v in names.items()}
        self.expression = expression


def expand(pattern: str) -> list[tuple[str, dict[str, str]]]:
    """The opcodes that a pattern stands for, each with its words."""
    parts = re.split(r"(<[^>]*>)", pattern)
    choices = []
    for part in parts:
        if part.startswith("<"):
            name, _, words = part[1:-1].partition(":")
            each = [w for word in words.split() for w in SETS.get(word, word).split()]
            choices.append([(name, w) for w in each])
        else:
            choices.append([("", part)])
    result = []
    for choice in itertools.product(*choices):
        opcode = "".join("" if w == "-" else w for _, w in choice).replace("..", ".")
        result.append((opcode, {n: w for n, w in choice if n}))
    return result


def table() -> dict[str, Row]:
    return {opcode: Row(words, types, e) for pattern, types, e in ROWS for opcode, words in expand(pattern)}
