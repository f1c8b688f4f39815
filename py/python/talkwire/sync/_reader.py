"""Who takes events in a thread: for a connection, and for each of its subscriptions."""

from __future__ import annotations

import select
import threading
import time
from collections import deque
from typing import Any

from .. import _log, _native, _process
from .._errors import ConnectionClosed, DeadlineError, End, closed, end_from_native
from .._event import Event, UnknownEvent
from .._reader import BATCH, CLASSES


class Limit:
    """A moment until which is waited; None waits for ever."""

    def __init__(self, within_s: float | None) -> None:
        self._at = None if within_s is None else time.monotonic() + within_s

    def wait(self, fd: int) -> None:
        """Waits until a descriptor is readable; raises DeadlineError. The wait is the interpreter's
        own: other threads run, signals are handled, and it may exit meanwhile."""
        left_ms = None
        if self._at is not None:
            left_ms = max(0.0, (self._at - time.monotonic()) * 1_000)
        poll = select.poll()
        poll.register(fd, select.POLLIN)
        if not poll.poll(left_ms):
            error = DeadlineError("nothing came within that time")
            error.who, error.retryable = "network", True
            raise error
        _log.tell()


def until(waiting: _native.Waiting, limit: Limit | None = None) -> None:
    """Waits for something to come about; raises what prevented it."""
    limit = limit or Limit(None)
    try:
        while not waiting.poll():
            limit.wait(waiting.fd)
    except ConnectionClosed:
        _process.stay_behind()
        raise


class Reader:
    """Takes events one by one, so that what is not read stays in the mailbox, for other threads too."""

    def __init__(self, native: _native.Reader) -> None:
        self._native = native
        self._born = _process.generation()
        # A handler of a signal may close the connection in the middle of a read.
        self._lock = threading.RLock()
        self._events: deque[Event] = deque()
        self._ended: tuple[End, dict[str, Any]] | None = None

    def __len__(self) -> int:
        """Events that were taken and not read."""
        return len(self._events)

    def recv(self, within_s: float | None) -> Event:
        """The next event; raises the end."""
        _process.check(self._born)
        limit = Limit(within_s)
        while True:
            # Asked first: what comes between the two calls is not lost.
            ended = self.end is not None
            event = self.ready()
            if event is not None:
                return event
            if ended:
                _process.stay_behind()
                raise self.closed()
            limit.wait(self._native.wakeup_fd())

    def next(self) -> Event:
        """The next event; stops the iteration at an end that was asked for."""
        try:
            return self.recv(None)
        except ConnectionClosed as error:
            if error.end is not None and error.end.expected:
                raise StopIteration from None
            raise

    def ready(self) -> Event | None:
        """The next event if there is one."""
        with self._lock:
            if not self._events:
                self._take(1)
            return self._events.popleft() if self._events else None

    def until_end(self) -> None:
        """Waits for the end; events on the way are kept for whoever reads."""
        while self.end is None:
            # The descriptor tells of events too.
            with self._lock:
                while self._take(BATCH):
                    pass
            if self.end is None:
                Limit(None).wait(self._native.wakeup_fd())

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

    def _take(self, most: int) -> bool:
        taken = self._native.drain(CLASSES, UnknownEvent, most)
        self._events.extend(taken)
        return bool(taken)

    def __del__(self) -> None:
        if _process.is_forked(self._born):
            _process.leak(self._native)
