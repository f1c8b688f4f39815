"""Credentials that do not last."""

from __future__ import annotations

import asyncio
import inspect
import weakref
from collections.abc import Awaitable, Callable

from . import _native, _process
from ._errors import RealtimeError
from ._poll import release, watch

KeySource = Callable[[], str | Awaitable[str]]
"""Gives a credential: a coroutine function, or any other one, which runs in a thread."""


class KeyDesk:
    """Answers those who dial, on the event loop of their connection."""

    def __init__(self, ask: KeySource, native: _native.Keys) -> None:
        self._ask = ask
        self._native = native
        self._born = _process.generation()
        self._loop = asyncio.get_running_loop()
        self._task: asyncio.Task[None] | None = None
        self._fd: int | None = native.fd
        held: weakref.ref[KeyDesk] = weakref.ref(self)
        watch(self._loop, self._fd, self._ready, held)

    @staticmethod
    def _ready(self_ref: weakref.ref[KeyDesk]) -> None:
        # A loop that kept the desk would keep the connection that nobody closes.
        self = self_ref()
        # While one is being fetched, whoever asks gets that one.
        if self is not None and self._native.wanted() and self._task is None:
            self._task = self._loop.create_task(self._answer())

    async def _answer(self) -> None:
        try:
            self._native.answer(await self._fetch(), "", "")
        except Exception as error:
            refuse(self._native, error)
        finally:
            self._task = None

    async def _fetch(self) -> str:
        ask = self._ask
        told = ask() if inspect.iscoroutinefunction(ask) else await asyncio.to_thread(ask)
        return text(await told if inspect.isawaitable(told) else told)

    def close(self) -> None:
        """Nobody will be answered any more."""
        if self._fd is not None and not _process.is_forked(self._born):
            release(self._loop, self._fd, self._native)
            if self._task is not None:
                self._task.cancel()
        self._fd = None

    def __del__(self) -> None:
        self.close()


def refuse(native: _native.Keys, error: Exception) -> None:
    """Tells those who dial why there is no credential."""
    if isinstance(error, RealtimeError):
        native.answer(None, error.kind, str(error))
    else:
        # One that may pass: it is asked again when the next dial is made.
        message = f"the function for the credential raised {type(error).__name__}: {error}"
        native.answer(None, "unreachable", message)


def text(key: object) -> str:
    """A credential, if it is one."""
    if not isinstance(key, str):
        raise TypeError(f"a credential is a str, not {type(key).__name__}")
    return key
