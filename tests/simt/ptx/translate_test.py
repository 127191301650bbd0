#!/usr/bin/env python3
"""The translator's own tests: what instructions compute, how threads meet, and what is refused by name.

usage: translate_test.py LIBSIMT [UNITTEST ARGS]

LIBSIMT is the archive of the emulation, build/release/tests/simt/libsimt.a. All kernels are translated and compiled as
one library; each runs on one warp, and every lane stores one result.
"""

import math
import os
import pathlib
import random
import struct
import subprocess
import sys
import tempfile
import unittest

import programs
import warp_cases
from instruction_cases import CASES, Case, Value, sample
from ptx import PtxError
from translate import translate

SEED = int(os.environ.get("ERGO_TEST_SEED") or random.randrange(1, 10**6))
HEAD = ".version 9.0\n.target sm_90\n.address_size 64\n"
REGISTERS = (".reg .pred %p<8>; .reg .b16 %rs<8>; .reg .b32 %r<16>; .reg .f32 %f<16>; .reg .b64 %rd<16>; "
             ".reg .f64 %fd<8>;")  # fmt: skip
# Launches every kernel on 32 lanes and prints the 64-bit words that they stored, a line a kernel.
HOST = """#include <cstdio>
#include "cuda_runtime.h"
using Word = unsigned long long;
{stubs}
int main() {{
  for (auto kernel : {{{names}}}) {{
    Word host[32], *device = nullptr;
    cudaMalloc(reinterpret_cast<void**>(&device), sizeof host);
    cudaLaunchConfig_t c{{}};
    c.gridDim = {{1}}, c.blockDim = {{32}}, c.dynamicSmemBytes = 1024;
    cudaError_t e = cudaLaunchKernelEx(&c, kernel, device);
    if (e == cudaSuccess) e = cudaMemcpy(host, device, sizeof host, cudaMemcpyDeviceToHost);
    if (e != cudaSuccess) {{ std::printf("error\\n"); cudaDeviceReset(); continue; }}
    for (Word w : host) std::printf("%llx ", w);
    std::printf("\\n");
  }}
}}
"""


def bits_of(kind: str) -> int:
    return 32 if kind in ("pred", "count") else int("".join(c for c in kind if c.isdigit()))


def register(kind: str) -> str:
    known = {"pred": "%p", "f32": "%f", "f64": "%fd"}
    return known.get(kind) or {8: "%rs", 16: "%rs", 32: "%r", 64: "%rd"}[bits_of(kind)]


def encode(value: Value, kind: str) -> int:
    if kind[0] == "f":
        return int.from_bytes(struct.pack("<f" if kind == "f32" else "<d", value), "little")
    return int(value) % (1 << max(bits_of(kind), 16))


def kernel(name: str, body: str) -> str:
    """A kernel that computes a word of each lane in %rd0."""
    return f"""
.visible .entry {name}(.param .u64 {name}_param_0)
{{
{REGISTERS}
mov.u32 %r15, %laneid;
{body}
ld.param.u64 %rd15, [{name}_param_0];
mul.wide.u32 %rd14, %r15, 8;
add.s64 %rd15, %rd15, %rd14;
st.global.u64 [%rd15], %rd0;
ret;
}}
"""


def widen(kind: str) -> str:
    """Brings the result in register 7 of a kind into %rd0."""
    if kind == "pred":
        return "selp.b64 %rd0, 1, 0, %p7;"
    if kind[0] == "f":
        return "mov.b64 %rd0, %fd7;" if kind == "f64" else "mov.b32 %r7, %f7; cvt.u64.u32 %rd0, %r7;"
    return {16: "cvt.u64.u16 %rd0, %rs7;", 32: "cvt.u64.u32 %rd0, %r7;", 64: "mov.b64 %rd0, %rd7;"}[bits_of(kind)]


def case_kernel(number: int, case: Case, inputs: list[list[Value]]) -> str:
    result, kinds = case.types.split(":")[0], case.types.split(":")[1].split()
    words = [encode(v, k) for lane in inputs for v, k in zip(lane, kinds)]
    text = f".global .align 8 .u64 in{number}[{len(words)}] = {{{', '.join(map(str, words))}}};\n"
    body = f"mov.u64 %rd1, in{number};\nmul.wide.u32 %rd2, %r15, {8 * len(kinds)};\nadd.s64 %rd8, %rd1, %rd2;\n"
    for i, kind in enumerate(kinds):
        at, to = f"[%rd8+{8 * i}]", f"{register(kind)}{i + 1}"
        if kind == "pred":
            body += f"ld.global.u32 %r9, {at};\nsetp.ne.s32 {to}, %r9, 0;\n"
        else:
            body += f"ld.global.{kind if kind[0] == 'f' else 'u' + str(max(bits_of(kind), 16))} {to}, {at};\n"
    operands = [f"{register(result)}7", *(f"{register(k)}{i + 1}" for i, k in enumerate(kinds))]
    operands += [case.immediate] if case.immediate else []
    return text + kernel(f"k{number}", body + f"{case.opcode} {', '.join(operands)};\n{widen(result)}")


Words = list[int] | None  # of a kernel's lanes, None where its launch failed


def run_kernels(ptx: str, names: list[str], archive: pathlib.Path) -> tuple[list[Words], str]:
    """What each kernel's lanes stored, and what the emulation said."""
    with tempfile.TemporaryDirectory() as folder:
        at = pathlib.Path(folder)
        (at / "k.cpp").write_text(translate(ptx))
        stubs = "\n".join(f'extern "C" void {n}(Word*) {{}}' for n in names)
        (at / "host.cpp").write_text(HOST.format(stubs=stubs, names=", ".join(names)))
        programs.library(at / "k.cpp", at / "k.so")
        programs.program(at / "host.cpp", archive, at / "host")
        environment = os.environ | {"SIMT_PTX": str(at / "k.so")}
        done = subprocess.run([at / "host"], capture_output=True, text=True, env=environment)
    lines = done.stdout.splitlines()
    if done.returncode or len(lines) != len(names):
        raise AssertionError(f"the program exits with {done.returncode}\n{done.stderr[-2000:]}")
    return [None if line == "error" else [int(w, 16) for w in line.split()] for line in lines], done.stderr


def agree(have: int, want: Value, kind: str, within: float) -> bool:
    if kind[0] != "f":
        return have == encode(want, kind)
    x = struct.unpack("<f" if kind == "f32" else "<d", have.to_bytes(bits_of(kind) // 8, "little"))[0]
    if math.isnan(want) or math.isnan(x):
        return math.isnan(want) and math.isnan(x)
    near = math.isfinite(x) and abs(x - want) <= within * abs(want)
    return have == encode(want, kind) or within > 0 and near


class InstructionTest(unittest.TestCase):
    archive: pathlib.Path

    def test_instructions(self) -> None:
        dice = random.Random(SEED)
        inputs = []
        for case in CASES:
            kinds = case.types.split(":")[1].split()
            inputs.append([[sample(k, lane, i, dice) for i, k in enumerate(kinds)] for lane in range(32)])
        ptx = HEAD + "".join(case_kernel(n, c, i) for n, (c, i) in enumerate(zip(CASES, inputs)))
        results, _ = run_kernels(ptx, [f"k{n}" for n in range(len(CASES))], self.archive)
        for case, lanes, words in zip(CASES, inputs, results):
            kind = case.types.split(":")[0]
            with self.subTest(case.opcode, seed=SEED):
                self.assertIsNotNone(words)
                for values, word in zip(lanes, words or []):
                    want = case.expected(*values)
                    self.assertTrue(agree(word, want, kind, case.within), f"{values} -> {word:x}, not {want}")

    def test_warps(self) -> None:
        ptx = HEAD + warp_cases.MODULE
        for name, body, _ in warp_cases.CASES:
            ptx += kernel(name, body if "%rd0" in body else body + "cvt.u64.u32 %rd0, %r0;")
        results, _ = run_kernels(ptx, [n for n, _, _ in warp_cases.CASES], self.archive)
        for (name, _, expected), words in zip(warp_cases.CASES, results):
            with self.subTest(name):
                self.assertEqual(words, expected and [expected(lane) for lane in range(32)])


    def test_launches(self) -> None:
        body = "cvt.u64.u32 %rd0, %r15;"
        ptx = HEAD + kernel("fine", body) + kernel("bounded", body).replace(")\n{", ")\n.maxntid 16, 1, 1\n{", 1)
        ptx += kernel("narrow", body).replace(".u64 narrow_param_0", ".u32 narrow_param_0", 1)
        ptx += kernel("wide", body).replace("wide_param_0)", "wide_param_0, .param .u32 wide_param_1)", 1)
        results, said = run_kernels(ptx, ["fine", "bounded", "narrow", "wide", "absent"], self.archive)
        self.assertEqual(results, [list(range(32)), None, None, None, None])
        for words in ("__launch_bounds__ allows 16 threads", "has 4 bytes at 0 there and 8 at 0 here",
                      "has 2 parameters, not 1", "has no such kernel"):  # fmt: skip
            self.assertIn(words, said)


class PlaceTest(unittest.TestCase):
    def test_lines_name_the_cuda_source(self) -> None:
        files = '.file 1 "/k.cu"\n.file 2 "/cuda/bin/../targets/x86_64-linux/include/sm_30_intrinsics.hpp"\n'
        body = ".loc 1 20 3\nshfl.sync.bfly.b32 %r1, %r2, 1, 31, -1;\n"
        body += ".loc 2 310 5, function_name $L__info_string0, inlined_at 1 21 3\nbar.sync 0;\n"
        text = translate(HEAD + kernel("k", body) + files)
        for line, call in ((20, "shuffle_lanes<"), (21, "block_barrier(")):
            before, _, _ = text.partition(call)
            self.assertEqual(before[before.rindex("#line") :].splitlines()[0], f'#line {line} "/k.cu"')


class RefusalTest(unittest.TestCase):
    def refuse(self, body: str, *said: str) -> None:
        with self.assertRaises(PtxError) as caught:
            translate(HEAD + kernel("k", body))
        for words in said:
            self.assertIn(words, str(caught.exception))

    def test_unknown_instructions_by_name(self) -> None:
        self.refuse("frobnicate.b32 %r1, %r2;", "frobnicate.b32")
        self.refuse("add.s128 %r1, %r2, %r3;", "add.s128")
        self.refuse("ld.global.frob.u32 %r1, [%rd1];", "ld.global.frob.u32")
        self.refuse("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%f1}, {%r1}, {%r2}, {%f1};", "m16n8k8")
        self.refuse("atom.global.add.f16 %rs1, [%rd1], %rs2;", "atom.global.add.f16")
        self.refuse("cvt.rz.f16.f32 %rs1, %f1;", "cvt.rz.f16.f32")

    def test_what_no_register_holds(self) -> None:
        self.refuse("add.s32 %r1, %r2, %q3;", "%q3", "not known")
        self.refuse("add.f32 %f1, %f2, %rd3;", "%rd3", "not of type f32")
        self.refuse("add.s32 %r1, %r2;", "operands")
        self.refuse("ld.global.u32 %r1, [nowhere];", "nowhere")

    def test_what_is_no_ptx(self) -> None:
        self.refuse("}", "no directive")
        with self.assertRaises(PtxError):
            translate(HEAD + ".section_of_music x;")


if __name__ == "__main__":
    if len(sys.argv) < 2 or not pathlib.Path(sys.argv[1]).is_file():
        sys.exit(__doc__)
    InstructionTest.archive = pathlib.Path(sys.argv.pop(1))
    print(f"ERGO_TEST_SEED={SEED}")
    unittest.main()
