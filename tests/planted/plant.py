#!/usr/bin/env python3
"""Plants the bugs of tests/planted/bugs.toml, one at a time, in a scratch copy of the file that each names, and looks
whether a test of the tree sees it. First the same tests pass without a bug.

usage: plant.py [--list] [--only NAME]... [--jobs N] [--folder FOLDER]

A bug is a kind, a file under include/ or kernels/, edits (`old` must stand in it exactly once, else the bug is FAILED: a
list that no longer fits the tree shows), a test source with the test cases that are run, and the build of the
emulation that runs it: plain or checked. With `says` the bug must be diagnosed: the program fails, and a
diagnosis holds these words. Without, only a comparison sees it: in at least 10 of 20 orders of threads, blocks
and streams the program fails a test case.

Compiles as build/release and build/checked do (their compile_commands.json, targets simt and test_main), with the
copy before include/ on the path of headers. Prints a line a bug: `passed NAME` or `FAILED NAME`, kind, file, test and build, orders,
and what was said. Exit status 3 if any failed.
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
ORDERS, ENOUGH = 20, 10
SECONDS = 120  # of a run


class Failed(Exception):
    """A bug was not planted; the text says why."""


@dataclasses.dataclass(frozen=True)
class Bug:
    name: str
    kind: str
    file: str  # below the root
    edits: tuple[tuple[str, str], ...]
    test: str  # tests/<test>_test.cpp
    cases: str
    build: str
    says: str
    environment: tuple[tuple[str, str], ...]  # of its runs, beside the order

    @staticmethod
    def of(row: dict) -> "Bug":
        edits = tuple((e["old"], e["new"]) for e in row.get("edits", [row]))
        build = row.get("build", "plain")
        return Bug(row["name"], row["kind"], row["file"], edits, row["test"], row["cases"], build, row.get("says", ""),
                   tuple({**BUILDS[build][1], **row.get("environment", {})}.items()))  # fmt: skip

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


def compile_command(test: str, build: str) -> list[str]:
    """The tree's own, up to the name of the object."""
    source = ROOT / f"tests/{test}_test.cpp"
    entries = json.loads((tree(build) / "compile_commands.json").read_text())
    words = shlex.split(next(e["command"] for e in entries if pathlib.Path(e["file"]) == source))
    return [w for w in words[: words.index("-o")] if w != "-Werror"] + ["-w", "-c", str(source)]


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


def make_program(folder: pathlib.Path, test: str, build: str, bug: Bug | None) -> pathlib.Path:
    """The test's program, with the bug if there is one."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    program, part, first = folder / "program", folder / "test.o", []
    if bug:
        copy = folder / "include" / bug.include()
        copy.parent.mkdir(parents=True)
        copy.write_text(edited(bug))
        first = ["-I", str(folder / "include")]
    compiler, *flags = compile_command(test, build)
    link = [*link_command(build), str(program), str(part), str(tree(build) / "tests/simt/libsimt.a")]
    for command in ([compiler, *first, *flags, "-o", str(part)], link):
        done = subprocess.run(command, capture_output=True, text=True, cwd=folder)
        if done.returncode:
            raise Failed("is not built: " + next((x for x in done.stderr.splitlines() if "error" in x), done.stderr[-200:]))
    part.unlink()
    return program


def run(program: pathlib.Path, cases: str, order: str, streams: str, more: tuple[tuple[str, str], ...]) -> Run:
    environment = {**os.environ, **dict(more), "SIMT_ORDER": order, "SIMT_STREAMS": streams}
    command = [str(program), f"--test-case={cases}", "--no-colors"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", env=environment,
                              timeout=SECONDS)  # fmt: skip
    except subprocess.TimeoutExpired:
        return Run(-1, f"ran longer than {SECONDS} s")
    return Run(done.returncode, done.stderr + done.stdout)


def random_orders(seed: int) -> list[tuple[str, str]]:
    return [(f"random:{seed + i}", f"random:{seed + i}") for i in range(ORDERS)]


def judge(bug: Bug, program: pathlib.Path, seed: int) -> tuple[bool, str]:
    if bug.says:
        r = run(program, bug.cases, "forward", "lazy", bug.environment)
        said = r.diagnosis(bug.says)
        if said and r.code != 0:
            return True, f"diagnosed: {said}"
        return False, f'no diagnosis of "{bug.says}" (exit status {r.code}): {r.diagnosis("") or r.complaint()}'
    runs = [run(program, bug.cases, *order, bug.environment) for order in random_orders(seed)]
    shown = [r for r in runs if r.cases_failed()]
    text = f"compared: {len(shown)} of {ORDERS} orders fail"
    return len(shown) >= ENOUGH, text + (f", {shown[0].complaint()}" if shown else "")


def unharmed(program: pathlib.Path, bugs: list[Bug], seed: int) -> str:
    """Empty if the program without a bug passes all that is run with one, in an order of each sort."""
    for cases, more in sorted({(b.cases, b.environment) for b in bugs}):
        for order in [("forward", "lazy"), random_orders(seed)[0]]:
            r = run(program, cases, *order, more)
            if r.code or r.diagnosis(""):
                return f"{cases}, SIMT_ORDER={order[0]} SIMT_STREAMS={order[1]}: {r.diagnosis('') or r.complaint() or r.output[-200:]}"
    return ""


def check_program(bugs: list[Bug], folder: pathlib.Path, seed: int) -> tuple[bool, str]:
    """The test of these bugs without any of them."""
    test, build = bugs[0].test, bugs[0].build
    try:
        trouble = unharmed(make_program(folder, test, build, None), bugs, seed)
    except Failed as why:
        trouble = str(why)
    name = f"none: {test}_test, {build}"
    return not trouble, f"passed {name}" if not trouble else f"FAILED {name}: {trouble}"


def check_bug(bug: Bug, folder: pathlib.Path, seed: int) -> tuple[bool, str]:
    what = f"{bug.name}: {bug.kind}, {bug.file}, {bug.test}_test, {bug.build}"
    try:
        good, text = judge(bug, make_program(folder, bug.test, bug.build, bug), seed)
    except Failed as why:
        good, text = False, str(why)
    return good, f"{'passed' if good else 'FAILED'} {what}\n    {text}"


def main() -> int:
    about = __doc__.split("\n\n")
    parser = argparse.ArgumentParser(description=about[0], epilog=about[2], usage=about[1].removeprefix("usage: "))
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--only", action="append", default=[])
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--folder", type=pathlib.Path, default=ROOT / "build/planted")
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
    programs: dict[tuple[str, str], list[Bug]] = {}
    for b in bugs:
        programs.setdefault((b.test, b.build), []).append(b)
    failed = 0
    with concurrent.futures.ThreadPoolExecutor(given.jobs) as pool:
        work = [pool.submit(check_program, group, given.folder / f"none-{build}-{test.replace('/', '-')}", seed)
                for (test, build), group in programs.items()]  # fmt: skip
        work += [pool.submit(check_bug, b, given.folder / b.name, seed) for b in bugs]
        for result in work:
            good, text = result.result()
            failed += not good
            print(text, flush=True)
    print(f"{len(bugs)} bugs of {len({b.kind for b in bugs})} kinds, {failed} failed, {time.time() - begin:.0f} s")
    return 3 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
