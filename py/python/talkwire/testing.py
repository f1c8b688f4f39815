"""A realtime server inside the process, for tests and first steps: no cloud, no key."""

from __future__ import annotations

import asyncio
import json
import warnings
from collections.abc import Mapping, Sequence
from http.client import HTTPConnection
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self
from urllib.parse import urlsplit

from . import _native, _process
from ._brain import Brain, BrainDesk, Piece, Speech, ToolCall, Turn
from ._journal import Journal, Sender

__all__ = ["Brain", "Journal", "LocalServer", "Piece", "Sender", "Speech", "ToolCall", "Turn"]

_PATIENCE_S = 10


class LocalServer:
    """A local realtime server; use it with ``with`` or ``async with``.

    It starts when the block is entered and listens on a free port of this machine. Connect to
    ``url``; ``model`` may be left out.

    ``profile`` is the dialect it speaks, ``dialect`` a table of yours instead. ``script`` is a
    path, the YAML text itself, or a mapping; without one the brain is ``echo``. ``brain`` is
    ``echo``, ``loop``, ``script``, ``http:URL``, or an async function that gets a :class:`Turn` and
    returns an answer or yields it in pieces (texts, :class:`Speech`, :class:`ToolCall`), on the event
    loop on which the server is started, else on one of its own in a thread. ``ears`` are ``script``, ``dtmf``, ``none``,
    ``exec:COMMAND`` or ``http:URL``, ``voice`` is ``tone``, ``wav``, ``dtmf``, ``exec:COMMAND`` or
    ``http:URL``. ``faults`` are what goes wrong, as in a script. ``control`` opens a port for
    looking into it, see ``control_url``; ``journal`` keeps what is sent and received for
    ``journal()``, in memory (True) or as files in a directory (a path) too. ``api_key`` is the only
    credential accepted; any or none is, without it. ``tls`` is a certificate chain and its key,
    as PEM files. ``pacing`` is ``instant`` or ``realtime``. ``lifetime_ms`` bounds a session,
    ``think_ms`` is the time before an answer, ``seed`` makes the identifiers.

    Entering raises ConfigError for what is wrong in these or in a script (file, line, what was
    expected), FileError for what cannot be read.
    """

    def __init__(
        self,
        *,
        profile: str | None = None,
        dialect: Path | Mapping[str, Any] | None = None,
        script: str | Path | Mapping[str, Any] | None = None,
        brain: str | Brain | None = None,
        ears: str | None = None,
        voice: str | None = None,
        api_key: str | None = None,
        tls: tuple[str | Path, str | Path] | None = None,
        models: Sequence[str] | None = None,
        max_sessions: int | None = None,
        lifetime_ms: int | None = None,
        pacing: str | None = None,
        think_ms: int | None = None,
        seed: int | None = None,
        listen: str | None = None,
        allow_remote: bool = False,
        faults: Sequence[Mapping[str, Any]] = (),
        control: bool = False,
        journal: bool | str | Path = False,
    ) -> None:
        if isinstance(script, Mapping):
            # JSON is YAML; the line end tells it from a path.
            script = json.dumps(script) + "\n"
        is_text = isinstance(script, str) and "\n" in script
        self._given: dict[str, Any] = {
            "listen": listen,
            "allow_remote": allow_remote,
            "profile": profile,
            "dialect": _table(dialect),
            "script_text": script if is_text else None,
            "script_file": None if is_text else script,
            "script_base": Path.cwd(),
            "brain": brain if isinstance(brain, str) else None,
            "host": None,
            "ears": ears,
            "voice": voice,
            "api_key": api_key,
            "tls": tls,
            "models": None if models is None else list(models),
            "max_sessions": max_sessions,
            "lifetime_ms": lifetime_ms,
            "pacing": pacing,
            "think_ms": think_ms,
            "seed": seed,
            "faults": json.dumps([dict(fault) for fault in faults]),
            "control": control,
            "journal": journal is not False,
            "journal_dir": None if isinstance(journal, bool) else journal,
        }
        self._brain = brain if callable(brain) else None
        self._desk: BrainDesk | None = None
        self._native: _native.LocalServer | None = None
        self._born = _process.generation()

    @property
    def url(self) -> str:
        """The complete URL, e.g. ``ws://127.0.0.1:40123/v1/realtime``."""
        return self._started().url

    @property
    def control_url(self) -> str | None:
        """The URL for looking into it and steering it: a page for people, and endpoints for
        programs. None without ``control``."""
        return self._started().control_url

    def journal(self, session: int | None = None) -> Journal:
        """What the sessions did so far, or one of them (counted from 0): ``t_ms``, ``from``
        (``client``, ``server`` or ``journal``), ``lane``, ``name`` and ``event``, without audio and
        credentials. Without ``journal`` only their beginnings, ends and faults."""
        return Journal(json.loads(line) for line in self._started().journal(session))

    # ---- steering, with ``control`` -------------------------------------------------------------

    def advance(self, ms: int) -> None:
        """Puts the server's clock ahead: whatever was to happen until then happens now."""
        self._control("POST", "clock/advance", {"ms": ms})

    def inject(
        self,
        event: Mapping[str, Any],
        *,
        session: int = 0,
        to: Literal["client", "server"] = "client",
    ) -> None:
        """Sends an event to the client of a session (counted from 0) as it is, or lets the server
        take it as one of the client."""
        self._control("POST", f"sessions/{session}/inject", {"to": to, "event": dict(event)})

    def fault(
        self,
        do: str | Mapping[str, Any],
        *,
        when: Mapping[str, Any] | None = None,
        session: int | None = None,
    ) -> None:
        """Lets something go wrong, as in a script: in one session, at once or ``when``; or in all
        sessions to come, ``when``."""
        path = "fault" if session is None else f"sessions/{session}/fault"
        self._control("POST", path, {"do": do, **({} if when is None else {"when": dict(when)})})

    def report(self) -> dict[str, Any]:
        """Counts of events, errors, faults and refused upgrades, and how long clients waited."""
        return self._control("GET", "report")

    def _control(self, method: str, path: str, body: Any = None) -> dict[str, Any]:
        url = self.control_url
        if url is None:
            raise RuntimeError("steering needs `LocalServer(control=True)`")
        place = urlsplit(url)
        # Not urllib, which asks the proxies of the environment.
        connection = HTTPConnection(place.hostname or "", place.port, timeout=_PATIENCE_S)
        try:
            connection.request(
                method,
                f"/{path}",
                None if body is None else json.dumps(body),
                {} if body is None else {"content-type": "application/json"},
            )
            answer: dict[str, Any] = json.loads(connection.getresponse().read())
        finally:
            connection.close()
        if "error" in answer:
            raise ValueError(answer["error"]["message"])
        return answer

    # ---- life -----------------------------------------------------------------------------------

    def start(self) -> Self:
        """Starts it without a block; ``stop`` it then."""
        if self._native is not None:
            raise RuntimeError("a local server is started once")
        self._open_desk()
        try:
            self._native = _native.LocalServer(self._given)
        except BaseException:
            self._close_desk()
            raise
        return self

    def _open_desk(self) -> None:
        if self._brain is not None and self._desk is None:
            self._desk = BrainDesk(self._brain)
            self._given["host"] = self._desk.native

    def _close_desk(self) -> None:
        if self._desk is not None:
            self._desk.close()

    def stop(self) -> None:
        """Stops it: its sessions are closed with code 1001. Blocks for at most two seconds, and
        one more for a brain in a thread that will not be cancelled."""
        if not _process.is_forked(self._born):
            try:
                self._started().stop()
            finally:
                self._close_desk()

    def kill(self) -> None:
        """Ends it as a crash would: connections vanish without a closing handshake."""
        if not _process.is_forked(self._born):
            try:
                self._started().kill()
            finally:
                self._close_desk()

    def _started(self) -> _native.LocalServer:
        if self._native is None:
            raise RuntimeError(
                "the local server is not started: use `with LocalServer() as server`"
            )
        return self._native

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    async def __aenter__(self) -> Self:
        # A brain answers on this loop; the start itself is in a thread, as it reads files.
        self._open_desk()
        return await asyncio.to_thread(self.start)

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if not _process.is_forked(self._born):
            try:
                await asyncio.to_thread(self._started().stop)
            finally:
                self._close_desk()

    def __del__(self) -> None:
        native = getattr(self, "_native", None)
        if native is None:
            return
        if _process.is_forked(self._born):
            _process.leak(native)
        elif native.is_running:
            warnings.warn(f"unstopped {self!r}", ResourceWarning, source=self, stacklevel=2)

    def __repr__(self) -> str:
        at = self._native.url if self._native else "not started"
        return f"<talkwire.testing.LocalServer {at}>"


def _table(dialect: Path | Mapping[str, Any] | None) -> str | None:
    if isinstance(dialect, Path):
        return dialect.read_text(encoding="utf-8")
    return json.dumps(dialect) if dialect is not None else None
