#!/usr/bin/env python3
"""Runs the tests of kernels on what nvcc made of them: PTX, translated to C++, on the emulation's fibers.

usage: check.py [--all] [--jobs N] [--folder FOLDER] [--ptx FOLDER] [--flags FLAGS] PROGRAM [TEST...]

PROGRAM is the emulated program of tests/kernels (build/release/tests/kernels_tests); TEST is a name such as
softmax_test, default those whose source says `// ptx: yes`, with --all every one. Each is compiled by nvcc to PTX (no machine code), translated, compiled
as a library in FOLDER (build/ptx), and run with SIMT_PTX naming it: in forward order, then in a random one of threads,
blocks and streams whose seed is printed. FLAGS go to g++ too. nvcc is $CUDACXX or that of the PATH. With --ptx it is not
called for the tests whose PTX that folder has: tests/kernels/resources.py made it of the same sources.

Prints `passed NAME` or `FAILED NAME: why`, a line a test, with the seconds of each step; exit status 3 if any failed.
"""

import argparse
import concurrent.futures
import os
import pathlib
import random
import shutil
import sys
import time
from collections.abc import Sequence

import programs
from programs import ROOT, Failed
from ptx import PtxError
from translate import translate

sys.path.insert(0, str(ROOT / "tests/kernels"))
import resources  # noqa: E402  (nvcc and its flags for a test)

# nvcc names the library's namespace otherwise than the host's compiler does: ERGO_BUILD of ergo/core/config.hpp.
RENAME = ("10cuda_build", "14emulated_build")
ORDERS = ("forward", f"random:{random.randrange(1, 10000)}")


def to_ptx(source: pathlib.Path, out: pathlib.Path, include: Sequence[str] = ()) -> float:
    target = ["-lineinfo", f"-arch=compute_{resources.ARCHITECTURES[0]}", "-ptx", str(source), "-o", str(out)]
    return programs.run([resources.NVCC, *include, *resources.FLAGS, *target])[1]


def build(source: pathlib.Path, folder: pathlib.Path, flags: Sequence[str] = (), include: Sequence[str] = (),
          only: str = "", made: pathlib.Path | None = None) -> tuple[pathlib.Path, str]:  # fmt: skip
    """The library of a test's kernels, and the seconds of the steps. `include`: folders that come first, as options;
    `only`: as translate's; `made`: a folder that may have the PTX."""
    folder.mkdir(parents=True, exist_ok=True)
    ptx, cpp, library = (folder / f"{source.stem}.{end}" for end in ("ptx", "cpp", "so"))
    seconds = {}
    if made and (made / ptx.name).exists():
        ptx = made / ptx.name
    else:
        seconds["nvcc"] = to_ptx(source, ptx, include)
    start = time.monotonic()
    cpp.write_text(translate(ptx.read_text(), RENAME, only))
    seconds["translation"] = time.monotonic() - start
    seconds["g++"] = programs.library(cpp, library, flags)
    return library, ", ".join(f"{name} {s:.1f}" for name, s in seconds.items())


def run_test(program: pathlib.Path, name: str, library: pathlib.Path, order: str, case: str = "*") -> float:
    streams = order if order.startswith("random") else "lazy"
    arguments = [f"--source-file=*kernels/{name}.cpp", f"--test-case={case}"]
    return programs.run([str(program), *arguments], SIMT_PTX=str(library), SIMT_ORDER=order,
                        SIMT_STREAMS=streams)[1]  # fmt: skip


def check(program: pathlib.Path, name: str, folder: pathlib.Path, made: pathlib.Path | None,
          flags: list[str]) -> tuple[bool, str]:  # fmt: skip
    try:
        library, steps = build(ROOT / f"tests/kernels/{name}.cpp", folder, flags, made=made)
        for order in ORDERS:
            steps += f", {order} {run_test(program, name, library, order):.1f}"
    except (Failed, PtxError) as e:
        return False, f"FAILED ptx {name}: {e}"
    return True, f"passed ptx {name} ({steps} s)"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--all", action="store_true")
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("--folder", type=pathlib.Path, default=ROOT / "build/ptx")
    parser.add_argument("--ptx", type=pathlib.Path)
    parser.add_argument("--flags", default="")
    parser.add_argument("program", type=pathlib.Path)
    parser.add_argument("tests", nargs="*")
    options = parser.parse_args()
    if not shutil.which(resources.NVCC):
        sys.exit(f"there is no {resources.NVCC} on the PATH")
    sources = sorted((ROOT / "tests/kernels").glob("*_test.cpp"))
    chosen = [p.stem for p in sources if options.all or "\n// ptx: yes\n" in p.read_text()]
    names = options.tests or chosen
    print(f"orders of threads, blocks and streams: {', '.join(ORDERS)}", flush=True)
    ok = True
    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        fixed = (options.folder, options.ptx, options.flags.split())
        jobs = [pool.submit(check, options.program.resolve(), n, *fixed) for n in names]
        for job in concurrent.futures.as_completed(jobs):
            passed, text = job.result()
            ok = ok and passed
            print(text, flush=True)
    return 0 if ok else 3


if __name__ == "__main__":
    sys.exit(main())
