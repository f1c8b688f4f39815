"""The one way in."""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, NotRequired, TypedDict, Unpack

from . import _log, _native, _process
from ._base import Topic, WhenBusy
from ._connection import Connection
from ._errors import RealtimeError
from ._keys import KeyDesk, KeySource


class BargeIn(TypedDict):
    """Interruption by the customer."""

    policy: NotRequired[Literal["off", "immediate", "staged"]]
    """``staged``, by default: what sounds is made quiet at once, and it is decided a moment later
    whether that was an interruption."""
    confirm: NotRequired[Literal["speech", "transcript", "app"]]
    """What confirms one: speech that lasts, words, or ``connection.interrupt()``."""
    min_speech_ms: NotRequired[int]
    """Speech that is long enough, in milliseconds."""
    min_words: NotRequired[int]
    """Words that are enough."""
    decision_ms: NotRequired[int]
    """Longest time to decide."""
    protect_greeting_ms: NotRequired[int]
    """The first milliseconds of the session's audio that cannot be interrupted."""
    resume: NotRequired[Literal["silent", "ask_rest"]]
    """What follows where it was no interruption and the server has cancelled by itself."""


class Rollover(TypedDict):
    """The planned change to a new link before the server's session is too old."""

    enabled: NotRequired[bool]
    """Whether it is done; ``True`` by default."""
    margin_ms: NotRequired[int]
    """Longest time before the end of the lifetime at which the next link is opened."""
    overlap_ms: NotRequired[int]
    """Audio of a silence that the new link gets once more."""
    replay_tokens: NotRequired[int]
    """Most tokens of the conversation that a new link is told, estimated."""


class Recovery(TypedDict):
    """What follows the loss of a link."""

    budget_ms: NotRequired[int]
    """Time from a loss in which the session must be open again; 0 ends it with the loss."""
    delay_ms: NotRequired[int]
    """Wait before the second attempt; each further wait is twice as long."""
    delay_max_ms: NotRequired[int]
    """Longest wait between attempts."""
    audio_ms: NotRequired[int]
    """Audio captured during the outage that is kept."""
    answer: NotRequired[Literal["go_on", "silent"]]
    """What becomes of an answer that was cut; it is never begun anew."""


class Options(TypedDict):
    """The way to the server and limits of a session; each has a default that suits a call."""

    proxy: NotRequired[str]
    """URL of a proxy, ``http://``, ``https://`` or ``socks5://``, user and password allowed; empty
    goes straight. Absent asks ``HTTPS_PROXY``, ``HTTP_PROXY``, ``ALL_PROXY`` and ``NO_PROXY``."""
    only_ca: NotRequired[str | bytes | Path]
    """PEM certificates to trust and no other ones: a path, or their text."""
    client_cert: NotRequired[str | bytes | Path]
    """PEM certificate chain to show to servers that ask: a path, or its text."""
    client_key: NotRequired[str | bytes | Path]
    """PEM key of ``client_cert``: a path, or its text."""
    connect_timeout_ms: NotRequired[int]
    """Time for name resolution, proxy, TCP and TLS."""
    handshake_timeout_ms: NotRequired[int]
    """Time for the WebSocket upgrade."""
    greeting_timeout_ms: NotRequired[int]
    """Time for the server's ``session.created``."""
    reply_timeout_ms: NotRequired[int]
    """Time for the answer to a command that has one."""
    close_timeout_ms: NotRequired[int]
    """Time for the closing handshake."""
    uplink_max_ms: NotRequired[int]
    """Audio kept while it cannot be sent; older audio is dropped."""
    topics: NotRequired[Sequence[Topic]]
    """What the connection itself is told of; ``audio``, ``transcript`` and ``control`` by default.
    Subscriptions have topics of their own."""
    mailbox_bytes: NotRequired[int]
    """Events kept unread before text is joined and audio dropped."""
    mailbox_events: NotRequired[int]
    """Unread events, audio apart, at which the session ends with ``slow_reader``."""
    barge_in: NotRequired[BargeIn]
    """How the customer interrupts the agent, where what is heard is known: with a media port
    (``connection.call()``) or ``connection.played()``."""
    when_busy: NotRequired[WhenBusy]
    """What becomes of a wish for a response while another one runs; ``merge`` by default."""
    wish_timeout_ms: NotRequired[int]
    """Longest wait of such a wish."""
    rollover: NotRequired[Rollover]
    """The planned change to a new link before the server's session is too old."""
    recovery: NotRequired[Recovery]
    """What follows the loss of a link."""
    ping_ms: NotRequired[int]
    """Silence of the server after which it is asked for a sign of life; 0 is never."""
    pong_timeout_ms: NotRequired[int]
    """Time for any sign of life after that."""
    flight_lines: NotRequired[int]
    """Steps that the flight recorder keeps; 500 by default."""
    flight_dir: NotRequired[str]
    """Directory where the flight recorder is written when the session ends in a way that nobody
    asked for."""
    seed: NotRequired[int]
    """Seed of identifiers; the same seed gives the same ones."""


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
    """Opens a session: ``async with talkwire.connect(...) as connection``.

    ``url`` is ``ws://`` or ``wss://`` with its path; the dialect's own endpoint otherwise.
    ``dialect`` is a built-in name or a table (a path, or the table itself). ``model`` may be a
    short name where ``folder`` completes it. ``api_key`` is by default in the environment variable
    that the dialect names; none is sent to this machine unless given. One that does not last, such
    as an IAM token, comes from a function (``async def``, or any other one, which runs in a thread):
    it is asked before each dial, so let it keep a token as long as it is good; AuthError of it is
    final, after other errors the next dial asks again. ``session`` is the first patch of the
    settings. ``extra_ca`` are PEM certificates to trust (a path, or their text).
    ``waive`` names checks to switch off. ``fallbacks`` are what ``connect`` returns, not entered:
    endpoints that are tried in turn when this one fails, at the opening and after a loss. Of each
    count ``url``, ``dialect``, ``api_key``, what reaching it takes, and ``session``, a patch of the
    settings for this endpoint; all else is as said here.

    Raises, when entered, ConfigError and RefusedError for what is known to be wrong,
    ConnectError and its kin (AuthError, NotFoundError, TlsError...) where no session came about,
    DeadlineError where it took too long.
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


class Endpoint:
    """What ``connect`` was told: where to open a session, and how."""

    def __init__(
        self,
        *,
        url: str | None,
        model: str | None,
        folder: str | None,
        api_key: str | KeySource | None,
        dialect: str | Path | Mapping[str, Any] | None,
        session: Mapping[str, Any] | None,
        extra_headers: Mapping[str, str] | None,
        extra_query: Mapping[str, str] | None,
        extra_ca: str | bytes | Path | None,
        waive: Sequence[str],
        fallbacks: Sequence[Endpoint],
        options: Options,
    ) -> None:
        self._key_source = api_key if callable(api_key) else None
        self._make = functools.partial(
            _native.Client,
            url=url,
            dialect=_dialect(dialect),
            key=api_key if isinstance(api_key, str) else None,
            extra_ca=None if extra_ca is None else _pem(extra_ca),
        )
        # Made here so that what is wrong is told here.
        self._client = self._make(keys=None)
        fields: dict[str, Any] = {
            "model": model,
            "folder": folder,
            "session": session or {},
            "headers": _pairs(extra_headers),
            "query": _pairs(extra_query),
            "waive": list(waive),
            **options,
        }
        for name in ("only_ca", "client_cert", "client_key"):
            if fields.get(name) is not None:
                fields[name] = _pem(fields[name]).decode()
        self._options = json.dumps(fields, ensure_ascii=False)
        self._fallbacks = list(fallbacks)

    @property
    def _env_key(self) -> str | None:
        key_env = self._client.key_env
        return os.environ.get(key_env) if key_env else None

    def _open(self, keys: Mapping[Endpoint, _native.Keys]) -> _native.Session:
        """Begins a session, which asks there for credentials."""
        client = self._asking(keys)
        for other in self._fallbacks:
            client = client.fallback(other._asking(keys), other._options, other._env_key)
        return client.open(self._options, self._env_key)

    def _keys(self) -> dict[Endpoint, _native.Keys]:
        """Where one session asks for the credentials that come from functions. Each has its own: the
        descriptor is for one reader."""
        endpoints = (self, *self._fallbacks)
        return {one: _native.Keys() for one in endpoints if one._key_source is not None}

    def _asking(self, keys: Mapping[Endpoint, _native.Keys]) -> _native.Client:
        return self._make(keys=keys[self]) if self in keys else self._client


class ConnectionManager(Endpoint):
    """What ``connect`` returns: a context manager, or ``await ... .enter()`` without a block, after
    which the connection must be closed."""

    _connection: Connection | None = None

    async def enter(self) -> Connection:
        """Opens the session; returns when the server acknowledged its settings."""
        keys = self._keys()
        desks = [KeyDesk(one._key_source, at) for one, at in keys.items() if one._key_source]
        _log.begin()
        try:
            connection = Connection(self._open(keys), desks)
        except RealtimeError:
            for desk in desks:
                desk.close()
            await _process.left_behind()
            raise
        try:
            await connection._opened()
        except BaseException:
            connection._abort()
            raise
        return connection

    async def __aenter__(self) -> Connection:
        self._connection = await self.enter()
        return self._connection

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.__aexit__(kind, error, trace)


def _dialect(dialect: str | Path | Mapping[str, Any] | None) -> str | None:
    if isinstance(dialect, Path) or (isinstance(dialect, str) and dialect.endswith(".json")):
        return Path(dialect).read_text(encoding="utf-8")
    if isinstance(dialect, Mapping):
        return json.dumps(dialect)
    return dialect


def _pem(given: str | bytes | Path) -> bytes:
    if isinstance(given, str):
        given = given.encode() if given.lstrip().startswith("-----") else Path(given)
    return given.read_bytes() if isinstance(given, Path) else given


def _pairs(given: Mapping[str, str] | None) -> list[tuple[str, str]]:
    return list(given.items()) if given else []
