"""Who takes events on an event loop: for a connection, and for each of its subscriptions."""

from __future__ import annotations

import asyncio
import weakref
from collections import deque
from collections.abc import Callable
from typing import Any

from . import _native, _process
from ._errors import ConnectionClosed, End, closed, end_from_native
from ._event import LOCAL_CLASSES, Event, UnknownEvent
from ._events import EVENT_CLASSES
from ._poll import release, unwatch, watch

CLASSES: dict[str, type[Event]] = {**EVENT_CLASSES, **LOCAL_CLASSES}

# Events taken at once; what is left stays in the mailbox, whose bounds hold.
BATCH = 256

# Events kept for whoever will read while they are taken all the same; more stay in the mailbox.
_KEPT = 4_096


class Reader:
    """Takes events in batches, when the descriptor of its mailbox says that there are some. What is
    taken is kept until somebody reads it, so a wait may be cancelled at any moment."""

    def __init__(
        self, native: _native.Reader, of: str, seen: Callable[[Event], None] | None = None
    ) -> None:
        self._native = native
        self._of = of
        self._seen = seen
        self._loop = asyncio.get_running_loop()
        self._born = _process.generation()
        self._events: deque[Event] = deque()
        # In order: who waited first gets what comes first.
        self._waiters: dict[asyncio.Future[None], None] = {}
        self._fd: int | None = None
        self._ended: tuple[End, dict[str, Any]] | None = None
        self._is_eager = False

    def __len__(self) -> int:
        """Events that were taken and not read."""
        return len(self._events)

    def check(self) -> None:
        """Raises in a child of the process, and on another loop than that of the connection."""
        _process.check(self._born)
        if asyncio.get_running_loop() is not self._loop:
            raise RuntimeError(f"a {self._of} belongs to the event loop that opened it")

    async def recv(self) -> Event:
        """The next event; raises the end."""
        self.check()
        while not self._events:
            # Asked first: what comes between the two calls is not lost.
            ended = self.end is not None
            if self._take():
                break
            if ended:
                await _process.left_behind()
                raise self.closed()
            await self._woken()
        return self._events.popleft()

    def ready(self) -> Event | None:
        """The next event if there is one."""
        return self._events.popleft() if self._events or self._take() else None

    async def next(self) -> Event:
        """The next event; stops the iteration at an end that was asked for."""
        try:
            return await self.recv()
        except ConnectionClosed as error:
            if error.end is not None and error.end.expected:
                raise StopAsyncIteration from None
            raise

    @property
    def end(self) -> End | None:
        """How it ended, once it has."""
        if self._ended is None:
            text = self._native.end()
            if text is not None:
                self._ended = end_from_native(text)
        return None if self._ended is None else self._ended[0]

    def closed(self) -> ConnectionClosed:
        """The end, to be raised."""
        assert self._ended is not None
        return closed(*self._ended)

    def be_eager(self) -> None:
        """From now on events are taken, and seen, whether or not anybody reads."""
        self._is_eager = True
        self._listen()

    async def until_end(self) -> None:
        """Waits for the end; events on the way are kept for whoever reads."""
        while self.end is None:
            # The descriptor tells of events too.
            while self._take():
                pass
            if self.end is None:
                await self._woken()
        if not self._waiters:
            # The descriptor goes with the session; the loop must not keep its number.
            self._stop_listening()

    def _take(self) -> bool:
        taken = self._native.drain(CLASSES, UnknownEvent, BATCH)
        self._events.extend(taken)
        if self._seen is not None and self._is_eager:
            for event in taken:
                self._seen(event)
        if taken:
            # Others may wait for what the descriptor will now not tell them of.
            self._wake()
        return bool(taken)

    async def _woken(self) -> None:
        """Waits until there may be something to read."""
        self._listen()
        waiter = self._loop.create_future()
        self._waiters[waiter] = None
        try:
            await waiter
        finally:
            del self._waiters[waiter]
            # While nobody waits the loop must not turn for a descriptor that nobody reads.
            if not self._waiters and not self._is_eager:
                self._stop_listening()

    def _wake(self) -> None:
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)

    @staticmethod
    def _ready(self_ref: weakref.ref[Reader]) -> None:
        # A loop that kept the reader would keep the connection that nobody closes.
        if (self := self_ref()) is not None:
            self._batch()

    def _batch(self) -> None:
        # Taken here and not by whoever is woken: one turn of the loop for each batch.
        is_full = len(self._events) >= _KEPT
        has_taken = not is_full and self._take()
        if not self._waiters and (is_full or (not has_taken and self.end is not None)):
            self._stop_listening()
        self._wake()

    def _listen(self) -> None:
        if self._fd is None:
            self._fd = self._native.wakeup_fd()
            held: weakref.ref[Reader] = weakref.ref(self)
            watch(self._loop, self._fd, self._ready, held)

    def _stop_listening(self) -> None:
        if self._fd is not None:
            unwatch(self._loop, self._fd)
            self._fd = None

    def __del__(self) -> None:
        if _process.is_forked(self._born):
            _process.leak(self._native)
        elif self._fd is not None:
            release(self._loop, self._fd, self._native)
