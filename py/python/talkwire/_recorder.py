"""The recording of a call."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ._wait import until

if TYPE_CHECKING:
    from . import _native


class RecorderBase:
    """The part of a recording that waits for nothing."""

    def __init__(self, native: _native.Recorder, path: Path) -> None:
        self._native = native
        self.path = path
        """The WAV file."""

    @property
    def notes_path(self) -> Path:
        """The notes beside it: segments, interruptions, cuts, gaps, the end."""
        return self.path.with_suffix(".json")

    @property
    def rate_hz(self) -> int:
        """Samples per second."""
        return self._native.rate_hz

    @property
    def written_ms(self) -> int:
        """Milliseconds that a reader of the file finds, whatever becomes of this process."""
        return self._native.written_ms


class Recorder(RecorderBase):
    """A recording: a WAV file with the customer on the left and the agent, as heard, on the right,
    and notes in JSON beside it. It goes on without this object, to the end of its connection."""

    async def stop(self) -> None:
        """Ends the recording and waits until its files are complete. Raises what ended it before,
        such as a full disk."""
        self._native.stop()
        await self.finished()

    async def finished(self) -> None:
        """Waits until the recording has ended, with its connection or before, and its files are
        complete. Raises what ended it, such as a full disk."""
        await until(self._native.finished())
