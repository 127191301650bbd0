#!/usr/bin/env python3
"""Plants wrong assembly in a copy of kernels/common/ptx.cuh, a fault at a time, and has the tests of kernels find it.

usage: planted.py [--folder FOLDER] PROGRAM

PROGRAM as of check.py. Each fault must fail its test through PTX by an assertion about values, where the same kernels
as they are pass; and must leave the emulated program as it was: what the host's compiler reads of the copy is the same.

Prints `passed NAME` or `FAILED NAME: why`, a line a fault; exit status 3 if any failed.
"""

import argparse
import pathlib
import re
import sys
from typing import NamedTuple

import check
import programs
from programs import ROOT, Failed
from ptx import PtxError

WRAPPERS = ROOT / "kernels/common/ptx.cuh"


class Subject(NamedTuple):
    test: str
    case: str  # of doctest
    only: str  # a pattern of the names of the kernels that the case launches


CONVERSIONS = Subject("common_test", "*16*", "round_trip|narrow")
PRODUCTS = Subject("conv_test", "the larger tile<ergo::half>", "conv_(tensor|tile|sum)_kernel.*4half")


class Fault(NamedTuple):
    name: str
    right: str
    wrong: str
    subject: Subject


FAULTS = [
    Fault("conversion_to_the_other_type", "cvt.rn.f16.f32", "cvt.rn.bf16.f32", CONVERSIONS),
    Fault("mma_left_operands_swapped", "{%4,%5,%6,%7}", "{%5,%4,%6,%7}", PRODUCTS),
    Fault("mma_right_operands_swapped", "{%8,%9}", "{%9,%8}", PRODUCTS),
    Fault("ldmatrix_results_swapped", "{%0,%1,%2,%3}, [%4]", "{%0,%2,%1,%3}, [%4]", PRODUCTS),
    Fault("cp_async_bytes_out_of_range", "bytes = in_range ? 16 : 0", "bytes = in_range ? 16 : 16", PRODUCTS),
]


def build(subject: Subject, folder: pathlib.Path, include: list[str]) -> pathlib.Path:
    return check.build(ROOT / f"tests/kernels/{subject.test}.cpp", folder, include=include, only=subject.only)[0]


def read_by_the_host(include: list[str]) -> str:
    folders = [*include, *programs.FLAGS, f"-I{ROOT}/include", f"-I{ROOT}"]
    wrappers = ["-x", "c++", "-include", "ergo/kernels/common/ptx.cuh", "/dev/null"]
    return programs.run(["g++", "-E", "-P", "-DERGO_EMULATED", *folders, *wrappers])[0]


def find(fault: Fault, program: pathlib.Path, folder: pathlib.Path) -> str:
    """Why the fault was not found, empty if it was."""
    text = WRAPPERS.read_text()
    if fault.right not in text:
        return f"{WRAPPERS.name} does not hold {fault.right}"
    copy = folder / fault.name / "ergo/kernels/common/ptx.cuh"
    copy.parent.mkdir(parents=True, exist_ok=True)
    copy.write_text(text.replace(fault.right, fault.wrong))
    include = [f"-I{folder / fault.name}"]
    if read_by_the_host(include) != read_by_the_host([]):
        return "the emulated wrapper changes too"
    library = build(fault.subject, folder / fault.name, include)
    try:
        check.run_test(program, fault.subject.test, library, "forward", fault.subject.case)
    except Failed as e:
        return "" if re.search(r"assertions: .* [1-9]\d* failed", str(e)) else f"it fails otherwise: {e}"
    return "the test passes"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=pathlib.Path, default=ROOT / "build/ptx/planted")
    parser.add_argument("program", type=pathlib.Path)
    options = parser.parse_args()
    program, ok = options.program.resolve(), True
    for subject in dict.fromkeys(f.subject for f in FAULTS):
        try:
            library = build(subject, options.folder / "none", [])
            check.run_test(program, subject.test, library, "forward", subject.case)
        except (Failed, PtxError) as e:
            print(f"FAILED planted {subject.test} without a fault: {e}", flush=True)
            return 3
    for fault in FAULTS:
        try:
            reason = find(fault, program, options.folder)
        except (Failed, PtxError) as e:
            reason = str(e)
        ok = ok and not reason
        print(f"FAILED planted {fault.name}: {reason}" if reason else f"passed planted {fault.name}", flush=True)
    return 0 if ok else 3


if __name__ == "__main__":
    sys.exit(main())
