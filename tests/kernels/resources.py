#!/usr/bin/env python3
"""Compiles CUDA code with nvcc, without a GPU: every warning is a failure, and what ptxas made of each kernel is held
against tests/kernels/resources.txt.

usage: resources.py [--write] [--jobs N] [--folder FOLDER] [SOURCE...]

Without SOURCE: each tests/kernels/*_test.cpp, and those tests of operations that alone have some kernel (OF_KERNELS), for
sm_80 and sm_90, and looked into: every kernel of kernels/ must be among them. examples/quickstart.cpp for sm_90, host
code and all, as a program that has its operations from an archive (their kernels are in the tests above). Each
tests/cuda/*_test.cpp with the sources it names, and the other examples, by nvcc's front end alone, which finds what g++
does not (their host code is compiled by g++ elsewhere). nvcc is $CUDACXX or that of the PATH, cuobjdump (with nvdisasm)
that of the PATH.

A line of the table sums up the instances of one kernel in one test for one architecture: how many there are, registers
(least-most), bytes of stack and of spills and static shared memory (most), and, for sm_90, how many instances have
128-bit loads from global memory, 128-bit stores to it, 128-bit accesses of shared memory, tensor-core instructions, and
accesses of local memory. Fails: a spill, stack or local memory that the table does not have, fewer instances with wide accesses or
tensor cores than it has, a kernel it does not know or that is gone. Registers are told, not judged. FOLDER (build/nvcc)
keeps the PTX of tests/kernels. --write makes the table anew; it holds for the toolkit that its first line names, others
are compared in spills and local memory alone.

Prints `passed NAME` or `FAILED NAME: why`, one line a source; exit status 3 if any failed.
"""
import argparse
import collections
import concurrent.futures
import os
import pathlib
import re
import shutil
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
TABLE = ROOT / "tests/kernels/resources.txt"
NVCC = os.environ.get("CUDACXX") or "nvcc"
ARCHITECTURES = (80, 90)
DISASSEMBLED = 90
OF_KERNELS = ("cuda/pointwise_test",)
FLAGS = ["-std=c++20", "--expt-relaxed-constexpr", "-O2", "-x", "cu", "-DERGO_BASELINE_ISA", "-Xcompiler=-Wall,-Wextra",
         "-DDOCTEST_CONFIG_SUPER_FAST_ASSERTS", f'-DERGO_SOURCE_DIR="{ROOT}"', "-I", str(ROOT / "include"), "-I",
         str(ROOT / "tests"), "-I", str(ROOT / "examples"), "-I", str(ROOT)]  # fmt: skip
# References in long double are host functions that nvcc takes for constexpr ones, and warns of.
LONG_DOUBLE = ["-diag-suppress=20208"]
COUNTS = ("load128", "store128", "shared128", "mma", "local")
WIDE = ("load128", "store128", "shared128", "mma")
INSTRUCTIONS = {
    "load128": re.compile(r"\b(LDG|LDGSTS|LD)\.\S*128"),  # LDGSTS: cp.async; LD: through a pointer from memory
    "store128": re.compile(r"\b(STG|ST)\.\S*128"),
    "shared128": re.compile(r"\b(LDS|STS|LDSM)\.\S*(128|M88\.4)"),
    "mma": re.compile(r"\b[HDI]G?MMA\b"),
    "local": re.compile(r"\b(LDL|STL)\b"),
}


def run(command):
    done = subprocess.run(command, capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr


def kernel_of(mangled):
    """The last plain name before template arguments, of ergo's kernels; None of a test's own."""
    names, rest = [], mangled.removeprefix("_ZN").removeprefix("_Z")
    while found := re.match(r"\d+", rest):
        end = len(found[0]) + int(found[0])
        names.append(rest[len(found[0]) : end])
        rest = rest[end:]
    return names[-1] if names and names[0] == "ergo" else None


def read_ptxas(text):
    """{(arch, mangled): registers, stack, spills, smem}"""
    kernels, key, frame = {}, None, {}
    for line in text.splitlines():
        if found := re.search(r"Compiling entry function '(\S+)' for 'sm_(\d+)'", line):
            key = (int(found[2]), found[1])
        elif found := re.search(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads", line):
            frame = {"stack": int(found[1]), "spills": int(found[2]) + int(found[3])}
        elif (found := re.search(r"Used (\d+) registers", line)) and key:
            smem = re.search(r"(\d+) bytes smem", line)
            kernels[key] = {"registers": int(found[1]), "smem": int(smem[1]) if smem else 0, **frame}
            key, frame = None, {}
    return kernels


def count_instructions(kernels, listing):
    arch, key = None, None
    for line in listing.splitlines():
        if found := re.search(r"code for sm_(\d+)", line):
            arch = int(found[1])
        elif found := re.search(r"Function : (\S+)", line):
            key = (arch, found[1])
        elif key in kernels:
            for name, pattern in INSTRUCTIONS.items():
                if pattern.search(line):
                    kernels[key][name] = kernels[key].get(name, 0) + 1


def summary(test, kernels):
    """{(test, kernel, arch): the columns of a line}"""
    rows = collections.defaultdict(list)
    for (arch, mangled), k in kernels.items():
        if name := kernel_of(mangled):
            rows[test, name, f"sm_{arch}"].append(k)
    result = {}
    for key, instances in rows.items():
        registers = [k["registers"] for k in instances]
        most = {n: max(k.get(n, 0) for k in instances) for n in ("stack", "spills", "smem")}
        have = {n: sum(k.get(n, 0) > 0 for k in instances) if key[2] == f"sm_{DISASSEMBLED}" else "-" for n in COUNTS}
        result[key] = {"instances": len(instances), "least": min(registers), "most": max(registers), **most, **have}
    return result


def warnings_in(text):
    lines = text.splitlines()
    return [line for line in lines if re.search(r"\bwarning\b|: error", line) and "Wno-" not in line]


def looks_into(name):
    return name.startswith("kernels/") or name in OF_KERNELS


def test_of(name):
    return name.removeprefix("kernels/").removesuffix("_test")


def compile_source(task):
    """(name, seconds, why it failed or "", summary)"""
    name, source, folder = task
    start = time.monotonic()
    looked_into = looks_into(name)
    out = folder / re.sub(r"\W", "_", name)
    command = [NVCC, *FLAGS]
    if looked_into:
        codes = [f"sm_{arch}" for arch in ARCHITECTURES]
        if name.startswith("kernels/"):  # their PTX too, for tests/simt/ptx
            codes.append(f"compute_{ARCHITECTURES[0]}")
            command.append("-lineinfo")
        # One PTX for all: the sources do not ask which architecture they are compiled for.
        command += ["-gencode", f"arch=compute_{ARCHITECTURES[0]},code=[{','.join(codes)}]", "-Xptxas", "-v", "-fatbin"]
        command += LONG_DOUBLE
    elif name == "examples/quickstart":
        command += ["-gencode", "arch=compute_90,code=sm_90", "-DERGO_COMPILED", "-c"]
    else:
        command += ["-arch=compute_90", "-ptx", "-fdevice-syntax-only", *LONG_DOUBLE]
    status, text = run([*command, str(source), "-o", str(out)])
    (folder / (out.name + ".log")).write_text(text)
    wrong = warnings_in(text)
    rows = {}
    if status or wrong:
        reason = f"{len(wrong)} warnings or errors, the first: {wrong[0].strip()}" if wrong else f"exit status {status}"
        return name, time.monotonic() - start, reason, rows
    if looked_into:
        kernels = read_ptxas(text)
        status, listing = run(["cuobjdump", "-sass", "-arch", f"sm_{DISASSEMBLED}", str(out)])
        if status:
            return name, time.monotonic() - start, f"cuobjdump: {listing.strip().splitlines()[-1]}", rows
        count_instructions(kernels, listing)
        if name.startswith("kernels/"):
            status, listing = run(["cuobjdump", "-ptx", str(out)])
            if status:
                return name, time.monotonic() - start, f"cuobjdump: {listing.strip().splitlines()[-1]}", rows
            ptx = listing[listing.index(".version") :].partition("\nFatbin ")[0]  # other parts are before and behind it
            (folder / f"{source.stem}.ptx").write_text(ptx)
        rows = summary(test_of(name), kernels)
    out.unlink(missing_ok=True)
    return name, time.monotonic() - start, "", rows


COLUMNS = ("instances", "registers", "stack", "spills", "smem", *COUNTS)


def write_table(toolkit, rows):
    cells = [("test", "kernel", "arch", *COLUMNS)]
    for key in sorted(rows):
        r = rows[key]
        span = str(r["least"]) if r["least"] == r["most"] else f"{r['least']}-{r['most']}"
        cells.append((*key, *(span if c == "registers" else str(r[c]) for c in COLUMNS)))
    widths = [max(len(line[i]) for line in cells) for i in range(len(cells[0]))]
    text = f"# {toolkit}; tests/kernels/resources.py --write makes this table and says what its columns are.\n"
    for line in cells:
        text += "  ".join(c.ljust(w) if i < 3 else c.rjust(w) for i, (c, w) in enumerate(zip(line, widths))) + "\n"
    TABLE.write_text(text)


def read_table():
    if not TABLE.exists():
        return "", {}
    first, _, *lines = TABLE.read_text().splitlines()
    rows = {}
    for line in lines:
        test, kernel, arch, *values = line.split()
        row = dict(zip(COLUMNS, values))
        rows[test, kernel, arch] = {c: row[c] if c == "registers" or row[c] == "-" else int(row[c]) for c in COLUMNS}
    return first, rows


def differences(have, want, same_toolkit):
    """What became worse in one test's kernels, and what else to say."""
    worse, notes = [], []
    for key in sorted(have.keys() | want.keys()):
        label = " ".join(key[1:])
        if key not in want:
            worse.append(f"{label} is not in the table")
        elif key not in have:
            worse.append(f"{label} is in the table alone")
        else:
            new, old = have[key], want[key]
            for c in ("stack", "spills", "local"):
                if new[c] != "-" and new[c] > old[c]:
                    worse.append(f"{label}: {c} {old[c]} -> {new[c]}")
            if same_toolkit:
                lost = [f"{label}: {c} in {old[c]} -> {new[c]} instances" for c in WIDE if new[c] != "-" and new[c] < old[c]]
                worse += lost
                span = str(new["least"]) if new["least"] == new["most"] else f"{new['least']}-{new['most']}"
                if span != old["registers"] or new["instances"] != old["instances"]:
                    notes.append(f"{label}: registers {old['registers']} -> {span}, instances {old['instances']} -> "
                                 f"{new['instances']}")  # fmt: skip
    return worse, notes


def tasks_of(sources, folder):
    tests = ROOT / "tests"
    if sources:
        paths = [pathlib.Path(s).resolve() for s in sources]
    else:
        paths = [tests / f"{name}.cpp" for name in OF_KERNELS]  # the longest first
        paths += sorted((tests / "kernels").glob("*_test.cpp"))
        for test in sorted((tests / "cuda").glob("*_test.cpp")):
            paths.append(test)
            for line in test.read_text().splitlines():
                for pattern in line.removeprefix("// sources:").split() if line.startswith("// sources:") else []:
                    paths += [p for p in sorted(tests.glob(pattern)) if not p.name.endswith("_test.cpp")]
        paths += sorted((ROOT / "examples").glob("*.cpp"))
    tasks, seen = [], set()
    for p in paths:
        if p in seen:
            continue
        seen.add(p)
        if "// device: emulated" in p.read_text():
            continue
        base = tests if p.is_relative_to(tests) else ROOT
        tasks.append((str(p.relative_to(base).with_suffix("")), p, folder))
    return tasks


def every_kernel():
    files = [*(ROOT / "kernels").glob("**/*.cuh")]
    return {k for f in files for k in re.findall(r"__global__[^;{]*?\b(\w+_kernel)\(", f.read_text())}


def asks_for_architecture():
    files = [f for folder in ("kernels", "include/ergo") for f in (ROOT / folder).rglob("*.*")]  # no links are followed
    return [str(f.relative_to(ROOT)) for f in files if f.is_file() and "__CUDA_ARCH__" in f.read_text()]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sources", nargs="*")
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("--folder", default=str(ROOT / "build/nvcc"))
    options = parser.parse_args()
    folder = pathlib.Path(options.folder)
    folder.mkdir(parents=True, exist_ok=True)
    for tool in (NVCC, "cuobjdump", "nvdisasm"):
        if not shutil.which(tool):
            sys.exit(f"there is no {tool} on the PATH")
    _, text = run([NVCC, "--version"])
    toolkit = "nvcc " + re.search(r"V(\d[\d.]*)", text)[1]
    first, known = read_table()
    same = f"# {toolkit};" in first
    tasks = tasks_of(options.sources, folder)
    rows, ok = {}, True
    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        for name, seconds, reason, found in pool.map(compile_source, tasks):
            rows |= found
            notes = []
            if not reason and not options.write and looks_into(name):
                worse, notes = differences(found, {k: v for k, v in known.items() if k[0] == test_of(name)}, same)
                reason = "; ".join(worse)
            ok = ok and not reason
            say = f"FAILED {name}: {reason}" if reason else f"passed {name}"
            print(f"{say} ({seconds:.1f} s)", *(f"\n  {n}" for n in notes), flush=True)
    if not options.sources and ok:
        asking = asks_for_architecture()
        ok = not asking
        say = f"FAILED one PTX for all: {', '.join(asking)} ask for __CUDA_ARCH__" if asking else "passed one PTX for all"
        print(say, flush=True)
    if not options.sources and ok:
        missing = every_kernel() - {kernel for _, kernel, _ in rows}
        ok = not missing
        say = f"FAILED every kernel: no test has {', '.join(sorted(missing))}" if missing else "passed every kernel"
        print(say, flush=True)
    if options.write and ok:
        kept = {} if not options.sources else {k: v for k, v in known.items() if k[0] not in {r[0] for r in rows}}
        for v in kept.values():
            least, _, most = v["registers"].partition("-")
            v |= {"least": int(least), "most": int(most or least)}
        write_table(toolkit, kept | rows)
    return 0 if ok else 3


if __name__ == "__main__":
    sys.exit(main())
