"""A reader of a part of what a connection tells."""

from __future__ import annotations

import asyncio
import weakref
from collections import deque
from types import TracebackType
from typing import TYPE_CHECKING, Literal, NamedTuple, Self

from . import _process
from ._errors import ConnectionClosed, End, closed, end_from_native
from ._event import LOCAL_CLASSES, Event, UnknownEvent
from ._events import EVENT_CLASSES

if TYPE_CHECKING:
    from . import _native

Topic = Literal["audio", "transcript", "control", "raw"]
"""What an event is about: ``audio`` (sound of the agent and gaps in it), ``transcript`` (words of
either party), ``control`` (everything else), ``raw`` (frames as they went over the wire)."""

CLASSES: dict[str, type[Event]] = {**EVENT_CLASSES, **LOCAL_CLASSES}

# Events taken at once; what is left stays in the mailbox, whose bounds hold.
BATCH = 256


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
        self._loop = asyncio.get_running_loop()
        self._born = _process.generation()
        self._events: deque[Event] = deque()
        # In order: who waited first gets what comes first.
        self._waiters: dict[asyncio.Future[None], None] = {}
        self._fd: int | None = None

    async def recv(self) -> Event:
        """The next event. Raises ConnectionClosedOK after a close of ours, ConnectionClosedError
        after any other end, also when this reader was too slow (``kind`` is ``slow_reader``).
        Cancelling it loses no event."""
        _process.check(self._born)
        if asyncio.get_running_loop() is not self._loop:
            raise RuntimeError("a subscription belongs to the event loop that opened it")
        while not self._events:
            # Asked first: what comes between the two calls is not lost.
            end = self._native.end()
            self._events.extend(self._native.drain(CLASSES, UnknownEvent, BATCH))
            if self._events:
                break
            if end is not None:
                await _process.left_behind()
                raise closed(*end_from_native(end))
            await self._woken()
        return self._events.popleft()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        try:
            return await self.recv()
        except ConnectionClosed as error:
            if error.end is not None and error.end.expected:
                raise StopAsyncIteration from None
            raise

    async def _woken(self) -> None:
        """Waits until there may be something to take."""
        if self._fd is None:
            self._fd = self._native.wakeup_fd()
            self._loop.add_reader(self._fd, self._ready, weakref.ref(self))
        waiter = self._loop.create_future()
        self._waiters[waiter] = None
        try:
            await waiter
        finally:
            del self._waiters[waiter]
            if not self._waiters:
                self._stop_listening()

    @staticmethod
    def _ready(self_ref: weakref.ref[Subscription]) -> None:
        # A loop that kept the subscription would keep one that nobody closes.
        if (self := self_ref()) is not None:
            for waiter in self._waiters:
                if not waiter.done():
                    waiter.set_result(None)

    def _stop_listening(self) -> None:
        if self._fd is not None:
            self._loop.remove_reader(self._fd)
            self._fd = None

    @property
    def end(self) -> End | None:
        """How it ended, once it has. Events may still wait."""
        text = self._native.end()
        return None if text is None else end_from_native(text)[0]

    @property
    def backlog(self) -> Backlog:
        """What waits to be read, and what was dropped because it was not."""
        events, held, dropped_ms, dropped_frames = self._native.backlog()
        return Backlog(events + len(self._events), held, dropped_ms, dropped_frames)

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
            return _process.leak(self._native)
        if self._fd is not None and not self._loop.is_closed():
            self._loop.remove_reader(self._fd)
        return None

    def __repr__(self) -> str:
        state = "ended" if self.end else "open"
        return f"<talkwire.Subscription {state}>"
