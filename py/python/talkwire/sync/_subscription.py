"""A reader of a part of what a connection tells, for a thread."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from .. import _native, _process
from .._errors import End
from .._event import Event
from .._subscription import Backlog
from ._reader import Reader


class Subscription:
    """One more reader of a connection, of some topics and with bounds of its own: iterate over it,
    best in a thread of its own. It ends with its connection, or by ``close()``."""

    def __init__(self, native: _native.Subscription) -> None:
        self._native = native
        self._born = _process.generation()
        self._reader = Reader(native.reader())

    def recv(self, within_s: float | None = None) -> Event:
        """The next event. Raises ConnectionClosedOK after a close of ours, ConnectionClosedError
        after any other end, also when this reader was too slow (``kind`` is ``slow_reader``), and
        DeadlineError, which is a TimeoutError, when none came ``within_s`` seconds."""
        return self._reader.recv(within_s)

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Event:
        return self._reader.next()

    @property
    def end(self) -> End | None:
        """How it ended, once it has. Events may still wait."""
        return self._reader.end

    @property
    def backlog(self) -> Backlog:
        """What waits to be read, and what was dropped because it was not."""
        events, held, dropped_ms, dropped_frames = self._native.backlog()
        return Backlog(events + len(self._reader), held, dropped_ms, dropped_frames)

    def _ready(self) -> Event | None:
        return self._reader.ready()

    def close(self) -> None:
        """Ends it; what waits can still be read. The connection goes on."""
        self._native.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if not _process.is_forked(self._born):
            self.close()

    def __del__(self) -> None:
        if _process.is_forked(self._born):
            _process.leak(self._native)

    def __repr__(self) -> str:
        state = "ended" if self.end else "open"
        return f"<talkwire.sync.Subscription {state}>"
