"""A reader of a part of what a connection tells."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING, NamedTuple, Self

from . import _process
from ._errors import End
from ._event import Event
from ._reader import Reader

if TYPE_CHECKING:
    from . import _native


class Backlog(NamedTuple):
    """What waits for a reader, and what was dropped because it was not read."""

    events: int
    """Events that wait."""
    bytes: int
    """Bytes that they hold in memory, roughly."""
    dropped_ms: int
    """Audio that was dropped so far; ``audio.gap`` tells where."""
    dropped_frames: int
    """Frames that were dropped so far; ``missed`` of ``wire.frame`` tells where."""


class Subscription:
    """One more reader of a connection, of some topics and with bounds of its own: iterate over it,
    best in a task of its own. It ends with its connection, or by ``close()``."""

    def __init__(self, native: _native.Subscription) -> None:
        self._native = native
        self._born = _process.generation()
        self._reader = Reader(native.reader(), "subscription")

    async def recv(self) -> Event:
        """The next event. Raises ConnectionClosedOK after a close of ours, ConnectionClosedError
        after any other end, also when this reader was too slow (``kind`` is ``slow_reader``).
        Cancelling it loses no event."""
        return await self._reader.recv()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        return await self._reader.next()

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
        return f"<talkwire.Subscription {state}>"
