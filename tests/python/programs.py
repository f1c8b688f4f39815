"""Programs in C for tests of the Python package: built as a stranger builds them, and held by a test."""

from __future__ import annotations

import os
import shlex
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_S = 30


def built(source: str, target: Path, *options: str) -> Path:
    """A program from examples/, built with the installed package by pkg-config."""
    stage = Path(os.environ["TALKWIRE_STAGE"])
    environment = {**os.environ, "PKG_CONFIG_PATH": str(stage / "lib/pkgconfig")}
    flags = subprocess.check_output(
        ["pkg-config", "--cflags", "--libs", "talkwire"], env=environment, text=True
    )
    command = ["cc", "-std=c11", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-g", "-pthread"]
    command += [str(ROOT / "examples" / source), "-o", str(target), *options]
    subprocess.check_call([*command, *shlex.split(flags), f"-Wl,-rpath,{stage / 'lib'}", "-lm"])
    return target
