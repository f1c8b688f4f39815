"""The recording of a call, for a thread."""

from __future__ import annotations

from .._recorder import RecorderBase
from ._reader import until


class Recorder(RecorderBase):
    """A recording: a WAV file with the customer on the left and the agent, as heard, on the right,
    and notes in JSON beside it. It goes on without this object, to the end of its connection."""

    def stop(self) -> None:
        """Ends the recording and waits until its files are complete. Raises what ended it before,
        such as a full disk."""
        self._native.stop()
        self.finished()

    def finished(self) -> None:
        """Waits until the recording has ended, with its connection or before, and its files are
        complete. Raises what ended it, such as a full disk."""
        until(self._native.finished())
