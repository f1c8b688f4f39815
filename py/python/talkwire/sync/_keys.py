"""Credentials that do not last, for connections of threads."""

from __future__ import annotations

import asyncio
import inspect
import os
import select
import threading
from collections.abc import Awaitable
from typing import cast

from .. import _native, _process
from .._keys import KeySource, refuse, text


class KeyDesk:
    """Answers those who dial, in a thread of its own: whoever waits for the connection cannot."""

    def __init__(self, ask: KeySource, native: _native.Keys) -> None:
        self._born = _process.generation()
        stopping, self._stop = os.pipe()
        # The thread holds what it needs and not the desk, which ends it when nobody holds it.
        thread = threading.Thread(
            target=_serve, args=(ask, native, stopping), name="talkwire-keys", daemon=True
        )
        thread.start()

    def close(self) -> None:
        """Nobody will be answered any more."""
        stop, self._stop = self._stop, -1
        if stop >= 0 and not _process.is_forked(self._born):
            os.close(stop)

    def __del__(self) -> None:
        self.close()


def _serve(ask: KeySource, native: _native.Keys, stopping: int) -> None:
    poll = select.poll()
    poll.register(native.fd, select.POLLIN)
    poll.register(stopping, select.POLLIN)
    try:
        while stopping not in dict(poll.poll()):
            # While one is being fetched, whoever asks gets that one.
            if native.wanted():
                _answer(ask, native)
    finally:
        os.close(stopping)


def _answer(ask: KeySource, native: _native.Keys) -> None:
    try:
        native.answer(text(_fetch(ask)), "", "")
    except Exception as error:
        refuse(native, error)


def _fetch(ask: KeySource) -> object:
    told = ask()
    return asyncio.run(_awaited(told)) if inspect.isawaitable(told) else told


async def _awaited(told: object) -> str:
    return await cast("Awaitable[str]", told)
