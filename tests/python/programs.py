"""Programs in C for tests of the Python package: built as a stranger builds them, and held by a test."""

from __future__ import annotations

import os
import queue
import shlex
import signal
import subprocess
import threading
from pathlib import Path
from types import TracebackType
from typing import Self

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


class Program:
    """A running program whose lines of standard output are waited for. Left with SIGTERM unless it
    has ended, and with exit code 0 in any case."""

    def __init__(self, *command: str | Path) -> None:
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)
        self._lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def line(self) -> str:
        """The next line."""
        return self._lines.get(timeout=PATIENCE_S)

    def wait(self) -> None:
        """Waits until it ends by itself, and for its exit code."""
        assert self._process.wait(PATIENCE_S) == 0

    def terminate(self) -> None:
        """Asks it to stop."""
        self._process.send_signal(signal.SIGTERM)

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.put(line.rstrip("\n"))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if self._process.poll() is None:
                self.terminate()
            self.wait()
        finally:
            self._process.kill()
            self._process.wait()
            self._reader.join()
            assert self._process.stdout is not None
            self._process.stdout.close()
