#!/usr/bin/env python3
"""Plants the bugs of tests/planted/bugs.toml, one at a time, in a scratch copy of the file that each names, and looks
whether a test of the tree sees it. First the same tests pass without a bug.

usage: plant.py [--list] [--only NAME]... [--jobs N]

A bug is a kind, a file under include/ or kernels/, edits (`old` must stand in it exactly once, else the bug is FAILED:
a list that no longer fits the tree shows), a test case, which alone of its source is compiled (of a template for the
type that the row names, if it does), and the build of the emulation that runs it: plain, checked, or ptx (what nvcc
makes of the kernels). With `says` the bug must be diagnosed: the program fails, and a diagnosis holds these words.
Without, only a comparison sees it: in at least half of up to 20 orders of threads, blocks and streams (fewer where
that is settled before) the program fails.

Compiles as build/release and build/checked do (their compile_commands.json, targets simt and test_main), the plain
build without optimisation, with the copy before include/ on the path of headers. Prints a line a bug, `passed NAME`,
`FAILED NAME` or `SKIPPED NAME`, with kind, file, test, build and the seconds to build and to run, and below it what was
said, or in how many orders a check failed. Exit status 3 if any failed.
"""
import argparse
import concurrent.futures
import dataclasses
import json
import os
import pathlib
import random
import re
import shlex
import shutil
import subprocess
import sys
import time
import tomllib

ROOT = pathlib.Path(__file__).resolve().parents[2]
# A build's tree of the presets, and what it runs with.
BUILDS = {"plain": ("release", {}), "checked": ("checked", {"ERGO_CUDA_ALLOCATOR": "direct"})}
FLAGS = {"plain": ["-O0"], "checked": []}  # beside the tree's own
PTX = ROOT / "tests/simt/ptx"
OUT = ROOT / "build/planted"
ORDERS, ENOUGH = 20, 10
SECONDS = 120  # of a run
TEST_CASE = re.compile(r'^(?P<head>TEST_CASE(?:_TEMPLATE)?\("(?P<name>[^"]*)"(?:, \w+)?)(?P<types>[^{]*)\) \{'
                       r'(?P<body>.*?^\}$)', re.MULTILINE | re.DOTALL)  # fmt: skip
IN_ORDER = ("forward", "lazy")  # SIMT_ORDER, SIMT_STREAMS


class Failed(Exception):
    """A bug was not planted; the text says why."""


@dataclasses.dataclass(frozen=True)
class Bug:
    name: str
    kind: str
    file: str  # below the root
    edits: tuple[tuple[str, str], ...]
    test: str  # tests/<test>_test.cpp
    case: str
    type: str  # of a templated case; empty: all of them
    build: str
    says: str
    environment: tuple[tuple[str, str], ...]  # of its runs, beside the order

    @staticmethod
    def of(row: dict) -> "Bug":
        edits = tuple((e["old"], e["new"]) for e in row.get("edits", [row]))
        return Bug(row["name"], row["kind"], row["file"], edits, row["test"], row["case"],
                   row.get("type", ""), row.get("build", "plain"), row.get("says", ""),
                   tuple(row.get("environment", {}).items()))  # fmt: skip

    def include(self) -> str:
        """How sources name the file: kernels/ is ergo/kernels/ to them."""
        return self.file.removeprefix("include/") if self.file.startswith("include/") else "ergo/" + self.file


@dataclasses.dataclass(frozen=True)
class Run:
    code: int
    output: str

    def cases_failed(self) -> bool:
        return bool(re.search(r"test cases:.*\b[1-9]\d* failed", self.output))

    def diagnosis(self, words: str) -> str:
        lines = self.output.splitlines()
        return next((line for line in lines if line.startswith("simt: ") and words in line), "")

    def complaint(self) -> str:
        """The first check that failed, its place in short."""
        found = re.search(r"([\w/.]+_test\.\w+:\d+): (ERROR|FATAL ERROR): (.*)", self.output)
        return f"{found[1].rsplit('/', 1)[-1]}: {found[3]}" if found else ""


def tree(build: str) -> pathlib.Path:
    return ROOT / "build" / BUILDS[build][0]


def test_source(test: str, cases: set[tuple[str, str]]) -> str:
    """The test's source with these (case, type) alone, each at its line."""
    source = ROOT / f"tests/{test}_test.cpp"
    missing = {case for case, _ in cases}

    def keep(found: re.Match[str]) -> str:
        types = {t for case, t in cases if case == found["name"]}
        if not types:
            return "\n" * found[0].count("\n")
        missing.discard(found["name"])
        if "" in types:
            return found[0]
        lines = "\n" * found["types"].count("\n")
        return f'{found["head"]}, {", ".join(sorted(types))}{lines}) {{{found["body"]}'

    text = TEST_CASE.sub(keep, source.read_text())
    if missing:
        raise Failed(f"{source.name} has no test case {', '.join(sorted(missing))}")
    return f'#line 1 "{source}"\n{text}'


def compile_command(test: str, build: str) -> list[str]:
    """The tree's own, up to the name of the object."""
    source = ROOT / f"tests/{test}_test.cpp"
    entries = json.loads((tree(build) / "compile_commands.json").read_text())
    words = shlex.split(next(e["command"] for e in entries if pathlib.Path(e["file"]) == source))
    # Headers as the copy has them, neither compiled into the archive nor precompiled.
    unwanted = ("-Werror", "-DERGO_COMPILED", "-Winvalid-pch", "-include")
    kept = [w for w in words[: words.index("-o")] if w not in unwanted and not w.endswith("cmake_pch.hxx")]
    return [*kept, "-w", *FLAGS[build]]


def link_command(build: str) -> list[str]:
    main = tree(build) / "tests/CMakeFiles/test_main.dir/support/main.cpp.o"
    return ["g++", str(main), "-rdynamic", "-pthread", "-ldl", "-lz", "-o"]


def edited(bug: Bug) -> str:
    """The file with the bug in it."""
    text = (ROOT / bug.file).read_text()
    for old, new in bug.edits:
        if (times := text.count(old)) != 1:
            raise Failed(f"stands {times} times in {bug.file}, not once: {old.strip().splitlines()[0]} ...")
        text = text.replace(old, new)
    return text


@dataclasses.dataclass(frozen=True)
class Program:
    path: pathlib.Path
    environment: dict[str, str]

    def run(self, bug: Bug, order: tuple[str, str]) -> Run:
        """Runs the bug's test case."""
        environment = os.environ | self.environment | dict(bug.environment)
        environment |= {"SIMT_ORDER": order[0], "SIMT_STREAMS": order[1]}
        # The type as the compiler spells it: other namespaces. A comma separates patterns.
        pattern = f"{bug.case}*{bug.type.split('::')[-1]}*".replace(",", "?")
        command = [str(self.path), f"--test-case={pattern}", "--no-colors"]
        try:
            done = subprocess.run(command, capture_output=True, text=True, errors="replace", env=environment,
                                  timeout=SECONDS)  # fmt: skip
        except subprocess.TimeoutExpired:
            return Run(-1, f"ran longer than {SECONDS} s")
        return Run(done.returncode, done.stderr + done.stdout)


def folder_of(test: str, build: str) -> pathlib.Path:
    """Of the program without a bug."""
    return OUT / f"none-{build}-{test.replace('/', '-')}"


def make_program(folder: pathlib.Path, test: str, build: str, cases: set[tuple[str, str]], bug: Bug | None) -> Program:
    """The program of these test cases, with the bug if there is one."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    source = folder / f"{pathlib.Path(test).name}_test.cpp"
    source.write_text(test_source(test, cases))
    first = ["-I", str((ROOT / f"tests/{test}").parent)]
    if bug:
        copy = folder / "include" / bug.include()
        copy.parent.mkdir(parents=True)
        copy.write_text(edited(bug))
        first += ["-I", str(folder / "include")]
    if build == "ptx":  # the plain program, and a library of what nvcc makes of the kernels
        sys.path.insert(0, str(PTX))
        import check

        try:
            library, _ = check.build(source, folder, include=first)
        except Exception as e:
            raise Failed(f"is not translated: {e}"[:300]) from e
        return Program(folder_of(test, "plain") / "program", {"SIMT_PTX": str(library)})
    program, part = folder / "program", folder / "test.o"
    compiler, *flags = compile_command(test, build)
    # All of the emulation: a translation calls functions of it that the program itself may not.
    emulation = ["-Wl,--whole-archive", str(tree(build) / "tests/simt/libsimt.a"), "-Wl,--no-whole-archive"]
    link = [*link_command(build), str(program), str(part), *emulation]
    for command in ([compiler, *first, *flags, "-c", str(source), "-o", str(part)], link):
        done = subprocess.run(command, capture_output=True, text=True, cwd=folder)
        if done.returncode:
            errors = [line for line in done.stderr.splitlines() if "error" in line]
            raise Failed(f"is not built: {errors[0] if errors else done.stderr[-200:]}")
    part.unlink()
    return Program(program, BUILDS[build][1])


def random_orders(seed: int) -> list[tuple[str, str]]:
    return [(f"random:{seed + i}", f"random:{seed + i}") for i in range(ORDERS)]


def judge(bug: Bug, program: Program, seed: int) -> tuple[bool, str]:
    if bug.says:
        r = program.run(bug, IN_ORDER)
        said = r.diagnosis(bug.says)
        if said and r.code != 0:
            return True, f"diagnosed: {said}"
        return False, f'no diagnosis of "{bug.says}" (exit status {r.code}): {r.diagnosis("") or r.complaint()}'
    runs, shown = 0, []
    for order in random_orders(seed):
        r = program.run(bug, order)
        runs += 1
        if r.cases_failed():
            shown.append(r)
        if len(shown) >= ENOUGH or runs - len(shown) > ORDERS - ENOUGH:
            break
    text = f"compared: {len(shown)} of {runs} orders fail"
    checks = sorted((r.complaint() for r in shown), key=lambda c: "CHECK(" not in c)  # exceptions last
    return len(shown) >= ENOUGH, text + (f", {checks[0]}" if checks else "")


def unharmed(program: Program, bugs: list[Bug], seed: int) -> str:
    """Empty if the program without a bug passes all that is run with one, in an order of each sort."""
    for bug in {(b.case, b.type, b.environment): b for b in bugs}.values():
        for order in [IN_ORDER, random_orders(seed)[0]]:
            r = program.run(bug, order)
            if r.code or r.diagnosis(""):
                said = r.diagnosis("") or r.complaint() or r.output[-200:]
                return f"{bug.case}, SIMT_ORDER={order[0]} SIMT_STREAMS={order[1]}: {said}"
    return ""


def check_program(bugs: list[Bug], test: str, build: str, seed: int) -> tuple[bool, str]:
    """The test cases of these bugs without any of them."""
    start = built = time.monotonic()
    try:
        program = make_program(folder_of(test, build), test, build, {(b.case, b.type) for b in bugs}, None)
        built = time.monotonic()
        trouble = unharmed(program, bugs, seed)
    except Failed as why:
        trouble = str(why)
    name = f"none: {test}_test, {build}, {seconds(start, built)}"
    return not trouble, f"FAILED {name}: {trouble}" if trouble else f"passed {name}"


def check_bug(bug: Bug, seed: int) -> tuple[bool, str]:
    start = built = time.monotonic()
    try:
        program = make_program(OUT / bug.name, bug.test, bug.build, {(bug.case, bug.type)}, bug)
        built = time.monotonic()
        good, text = judge(bug, program, seed)
    except Failed as why:
        good, text = False, str(why)
    what = f"{bug.name}: {bug.kind}, {bug.file}, {bug.test}_test, {bug.build}, {seconds(start, built)}"
    return good, f"{'passed' if good else 'FAILED'} {what}\n    {text}"


def seconds(start: float, built: float) -> str:
    return f"{built - start:.1f} + {time.monotonic() - built:.1f} s"


def main() -> int:
    about = __doc__.split("\n\n")
    parser = argparse.ArgumentParser(description=about[0], epilog=about[2], usage=about[1].removeprefix("usage: "))
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--only", action="append", default=[])
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    given = parser.parse_args()

    bugs = [Bug.of(row) for row in tomllib.loads((ROOT / "tests/planted/bugs.toml").read_text())["bug"]]
    if unknown := set(given.only) - {b.name for b in bugs}:
        parser.error(f"there is no bug {', '.join(sorted(unknown))}; --list names them")
    bugs = [b for b in bugs if not given.only or b.name in given.only]
    if given.list:
        for b in bugs:
            print(f"{b.name:28} {b.kind}: {b.file}, {b.test}_test, {b.build}, {b.says or 'compared'}")
        return 0

    seed, begin = random.randrange(1, 10000), time.time()
    print(f"orders: random:{seed} to random:{seed + ORDERS - 1}", flush=True)
    if not (PTX / "check.py").exists() or not shutil.which(os.environ.get("CUDACXX", "nvcc")):
        for b in bugs:
            if b.build == "ptx":
                print(f"SKIPPED {b.name}: {b.kind}, {b.file}: there is no nvcc, or no route for its PTX")
        bugs = [b for b in bugs if b.build != "ptx"]
    programs: dict[tuple[str, str], list[Bug]] = {}
    for b in bugs:
        for build in {"plain", b.build} if b.build == "ptx" else {b.build}:
            programs.setdefault((b.test, build), []).append(b)
    results: list[bool] = []
    with concurrent.futures.ThreadPoolExecutor(given.jobs) as pool:

        def tell(work: list[concurrent.futures.Future[tuple[bool, str]]]) -> None:
            for done in work:
                good, text = done.result()
                results.append(good)
                print(text, flush=True)

        def without(of_ptx: bool) -> list[concurrent.futures.Future[tuple[bool, str]]]:
            return [pool.submit(check_program, group, test, build, seed)
                    for (test, build), group in programs.items() if (build == "ptx") == of_ptx]  # fmt: skip

        tell(without(False))  # the library of a translation runs in the plain program
        tell(without(True) + [pool.submit(check_bug, b, seed) for b in bugs])
    kinds, failed = {b.kind for b in bugs}, results.count(False)
    print(f"{len(bugs)} bugs of {len(kinds)} kinds, {failed} failed, {time.time() - begin:.0f} s")
    return 3 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
