"""Watching descriptors: by the event loop, and for one that cannot by a thread that polls for it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
import threading
import weakref
from collections.abc import Callable
from typing import Any


def watch(
    loop: asyncio.AbstractEventLoop, fd: int, call: Callable[..., object], *args: Any
) -> None:
    """Calls on the loop whenever a descriptor is readable, instead of what was called before."""
    try:
        loop.add_reader(fd, call, *args)
    except NotImplementedError:
        poller = _pollers.get(loop)
        if poller is None:
            poller = _pollers[loop] = _Poller(loop)
        poller.add(fd, call, args)


def unwatch(loop: asyncio.AbstractEventLoop, fd: int) -> None:
    """Calls no more."""
    try:
        loop.remove_reader(fd)
    except NotImplementedError:
        poller = _pollers.get(loop)
        if poller is not None:
            poller.remove(fd)


def release(loop: asyncio.AbstractEventLoop, fd: int, owner: object) -> None:
    """Calls no more, for somebody who is being collected, in whatever thread that is. The descriptor
    must live as long as its owner, which is kept until the loop has let go of it."""
    if loop.is_running() and running_loop() is not loop:
        # One that is closed meanwhile has let go of all.
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(_release, loop, fd, owner)
    elif not loop.is_closed():
        unwatch(loop, fd)


def _release(loop: asyncio.AbstractEventLoop, fd: int, _owner: object) -> None:
    unwatch(loop, fd)


def running_loop() -> asyncio.AbstractEventLoop | None:
    """The loop that runs in this thread, if one does."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


class _Poller:
    """A thread of the interpreter that waits for the descriptors of one loop, while there are any. One
    that was readable is waited for again once its call has run, so calls never pile up."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = weakref.ref(loop)
        self._lock = threading.Lock()
        self._calls: dict[int, tuple[Callable[..., object], tuple[Any, ...]]] = {}
        self._armed: set[int] = set()
        self._bell, self._rope = os.pipe()
        self._is_running = False

    def __del__(self) -> None:
        os.close(self._bell)
        os.close(self._rope)

    def add(self, fd: int, call: Callable[..., object], args: tuple[Any, ...]) -> None:
        with self._lock:
            self._calls[fd] = (call, args)
            self._arm(fd)
            if not self._is_running:
                self._is_running = True
                threading.Thread(target=self._run, name="talkwire-poll", daemon=True).start()

    def remove(self, fd: int) -> None:
        with self._lock:
            self._calls.pop(fd, None)
            self._armed.discard(fd)
            os.write(self._rope, b"x")

    def _arm(self, fd: int) -> None:
        self._armed.add(fd)
        os.write(self._rope, b"x")

    def _run(self) -> None:
        while True:
            poll = select.poll()
            poll.register(self._bell, select.POLLIN)
            with self._lock:
                if not self._calls:
                    self._is_running = False
                    return
                for fd in self._armed:
                    poll.register(fd, select.POLLIN)
            for fd, _ in poll.poll():
                if fd == self._bell:
                    os.read(fd, 4_096)
                else:
                    self._readable(fd)

    def _readable(self, fd: int) -> None:
        with self._lock:
            if fd not in self._armed:
                return
            self._armed.discard(fd)
        loop = self._loop()
        try:
            if loop is not None:
                loop.call_soon_threadsafe(self._call, fd)
                return
        except RuntimeError:
            # The loop is closed: nobody will be called.
            pass
        self.remove(fd)

    def _call(self, fd: int) -> None:
        call, args = self._calls.get(fd, (None, ()))
        try:
            if call is not None:
                call(*args)
        finally:
            with self._lock:
                if fd in self._calls:
                    self._arm(fd)


_pollers: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, _Poller] = (
    weakref.WeakKeyDictionary()
)
