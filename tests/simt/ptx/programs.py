"""Builds translations: PTX to C++ to a shared library that the emulation loads, and programs of the emulation."""

import os
import pathlib
import platform
import subprocess
import time
from collections.abc import Sequence

ROOT = pathlib.Path(__file__).resolve().parents[3]
SIMT = ROOT / "tests/simt"
# Not fused further than nvcc did, and memory read as whatever an address says; -w: what nvcc declares and does not use.
FLAGS = ["-std=c++20", "-O1", "-ffp-contract=off", "-fno-strict-aliasing", "-fPIC", "-w", f"-I{SIMT}/include",
         f"-I{SIMT}"]  # fmt: skip
if platform.machine() in ("x86_64", "AMD64"):
    FLAGS.append("-march=x86-64-v3")


class Failed(Exception):
    """A command failed; its text says why."""


def run(command: list[str], **environment: str) -> tuple[str, float]:
    """What a command prints, and the seconds that it took."""
    start = time.monotonic()
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | environment)
    text = done.stdout + done.stderr
    if done.returncode:
        raise Failed(f"{pathlib.Path(command[0]).name} exits with {done.returncode}\n{text[-3000:]}")
    return text, time.monotonic() - start


def library(source: pathlib.Path, out: pathlib.Path, flags: Sequence[str] = ()) -> float:
    """Compiles a translation; the seconds that it took."""
    return run(["g++", *FLAGS, *flags, "-shared", str(source), "-o", str(out)])[1]


def program(source: pathlib.Path, archive: pathlib.Path, out: pathlib.Path) -> float:
    """Links a program against all of the emulation, whose functions translations call."""
    whole = ["-Wl,--whole-archive", str(archive), "-Wl,--no-whole-archive"]
    return run(["g++", *FLAGS, str(source), "-o", str(out), *whole, "-rdynamic", "-pthread", "-ldl"])[1]
