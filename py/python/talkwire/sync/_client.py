"""The one way in, for threads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Unpack

from .. import _log, _process
from .._client import Endpoint, Options
from .._errors import RealtimeError
from .._keys import KeySource
from ._connection import Connection
from ._keys import KeyDesk
from ._reader import Limit


def connect(
    url: str | None = None,
    *,
    model: str | None = None,
    folder: str | None = None,
    api_key: str | KeySource | None = None,
    dialect: str | Path | Mapping[str, Any] | None = None,
    session: Mapping[str, Any] | None = None,
    extra_headers: Mapping[str, str] | None = None,
    extra_query: Mapping[str, str] | None = None,
    extra_ca: str | bytes | Path | None = None,
    waive: Sequence[str] = (),
    fallbacks: Sequence[ConnectionManager] = (),
    **options: Unpack[Options],
) -> ConnectionManager:
    """Opens a session: ``with talkwire.sync.connect(...) as connection``.

    The arguments are those of ``talkwire.connect``. A function for ``api_key`` runs in a thread, a
    coroutine function there on a loop of its own. Raises, when entered, what that raises.
    """
    return ConnectionManager(
        url=url,
        model=model,
        folder=folder,
        api_key=api_key,
        dialect=dialect,
        session=session,
        extra_headers=extra_headers,
        extra_query=extra_query,
        extra_ca=extra_ca,
        waive=waive,
        fallbacks=fallbacks,
        options=options,
    )


class ConnectionManager(Endpoint):
    """What ``connect`` returns: a context manager, or ``enter()`` without a block, after which the
    connection must be closed."""

    _connection: Connection | None = None

    def enter(self, within_s: float | None = None) -> Connection:
        """Opens the session; returns when the server acknowledged its settings. Raises DeadlineError
        when that took longer than ``within_s`` seconds; the options have limits of their own."""
        keys = self._keys()
        desks = [KeyDesk(one._key_source, at) for one, at in keys.items() if one._key_source]
        _log.begin()
        try:
            connection = Connection(self._open(keys), desks)
        except RealtimeError:
            for desk in desks:
                desk.close()
            _process.stay_behind()
            raise
        try:
            connection._opened(Limit(within_s))
        except BaseException:
            connection._abort()
            raise
        return connection

    def __enter__(self) -> Connection:
        self._connection = self.enter()
        return self._connection

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.__exit__(kind, error, trace)
