#!/usr/bin/env python3
"""Plants wrong assembly in a copy of kernels/common/ptx.cuh, a fault at a time, and has the tests of kernels find it.

usage: planted.py [--jobs N] [--folder FOLDER] PROGRAM

PROGRAM as of check.py. Each fault must fail its test through PTX by an assertion about values, where the same kernels
as they are pass; and must leave the emulated program as it was: what the host's compiler reads of the copy is the same.

Prints `passed NAME` or `FAILED NAME: why`, a line a fault and one for each test without; exit status 3 if any failed.
"""

import argparse
import concurrent.futures
import os
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
PRODUCTS = Subject("conv_test", "the larger tile<*half>", "conv_(tensor|tile|sum)_kernel.*4half")


class Fault(NamedTuple):
    name: str
    right: str
    wrong: str
    subject: Subject


FAULTS = [
    Fault("conversion_to_the_other_type", "cvt.rn.f16.f32", "cvt.rn.bf16.f32", CONVERSIONS),
    Fault("mma_operands_swapped", "{%4,%5,%6,%7}", "{%5,%4,%6,%7}", PRODUCTS),
    Fault("ldmatrix_results_swapped", "{%0,%1,%2,%3}, [%4]", "{%0,%2,%1,%3}, [%4]", PRODUCTS),
    Fault("cp_async_bytes_out_of_range", "bytes = in_range ? 16 : 0", "bytes = in_range ? 16 : 16", PRODUCTS),
]


def build(subject: Subject, folder: pathlib.Path, include: list[str]) -> pathlib.Path:
    return check.build(ROOT / f"tests/kernels/{subject.test}.cpp", folder, include=include, only=subject.only)[0]


def read_by_the_host(include: list[str]) -> str:
    folders = [*include, *programs.FLAGS, f"-I{ROOT}/include", f"-I{ROOT}"]
    wrappers = ["-x", "c++", "-include", "ergo/kernels/common/ptx.cuh", "/dev/null"]
    return programs.run(["g++", "-E", "-P", "-DERGO_EMULATED", *folders, *wrappers])[0]


def passes(subject: Subject, program: pathlib.Path, folder: pathlib.Path) -> str:
    """Why the kernels as they are do not pass, empty if they do."""
    try:
        check.run_test(program, subject.test, build(subject, folder / "none", []), "forward", subject.case)
    except (Failed, PtxError) as e:
        return str(e)
    return ""


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
    try:
        library = build(fault.subject, folder / fault.name, include)
    except (Failed, PtxError) as e:
        return str(e)
    try:
        check.run_test(program, fault.subject.test, library, "forward", fault.subject.case)
    except Failed as e:
        return "" if re.search(r"assertions: .* [1-9]\d* failed", str(e)) else f"it fails otherwise: {e}"
    return "the test passes"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("--folder", type=pathlib.Path, default=ROOT / "build/ptx/planted")
    parser.add_argument("program", type=pathlib.Path)
    options = parser.parse_args()
    program = options.program.resolve()
    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        jobs = [(s.test, pool.submit(passes, s, program, options.folder)) for s in (PRODUCTS, CONVERSIONS)]
        jobs += [(f.name, pool.submit(find, f, program, options.folder)) for f in FAULTS]
        reasons = {name: job.result() for name, job in jobs}
    for name, reason in reasons.items():
        print(f"FAILED planted {name}: {reason}" if reason else f"passed planted {name}", flush=True)
    return 3 if any(reasons.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
