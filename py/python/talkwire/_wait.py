"""Waiting on an event loop for what comes about in the native module."""

from __future__ import annotations

import asyncio

from . import _native, _process
from ._errors import RealtimeError
from ._poll import unwatch, watch


async def until(waiting: _native.Waiting) -> None:
    """Waits for something to come about; raises what prevented it."""
    loop = asyncio.get_running_loop()
    try:
        while not waiting.poll():
            await _readable(loop, waiting.fd)
    except RealtimeError:
        await _process.left_behind()
        raise


async def _readable(loop: asyncio.AbstractEventLoop, fd: int) -> None:
    waiter: asyncio.Future[None] = loop.create_future()
    watch(loop, fd, _wake, waiter)
    try:
        await waiter
    finally:
        unwatch(loop, fd)


def _wake(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)
