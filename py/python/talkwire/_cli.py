"""The ``talkwire`` command of the package: the same as the binary."""

from __future__ import annotations

import signal
import sys
from types import FrameType

from . import _native

# How long a signal may wait for the interpreter to look; the end of the command waits for nothing.
_LOOK_MS = 100


def main() -> int:
    """Runs the command with the arguments of the process; returns its exit code."""
    command = _native.Command(["talkwire", *sys.argv[1:]])

    def stop(number: int, frame: FrameType | None) -> None:
        command.stop()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    while (code := command.wait(_LOOK_MS)) is None:
        pass
    return code
