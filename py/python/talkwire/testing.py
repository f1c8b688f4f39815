"""A realtime server inside the process, for tests and first steps: no cloud, no key."""

from __future__ import annotations

import asyncio
import json
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from . import _native, _process


class LocalServer:
    """A local realtime server; use it with ``with`` or ``async with``.

    It starts when the block is entered and listens on a free port of this machine. Connect to
    ``url``; ``model`` may be left out.

    ``profile`` is the dialect it speaks, ``dialect`` a table of yours instead. ``script`` is a
    path, the YAML text itself, or a mapping; without one the brain is ``echo``. ``brain`` is
    ``echo``, ``loop``, ``script`` or ``http:URL``, ``ears`` are ``script``, ``dtmf``, ``none``,
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
        brain: str | None = None,
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
            "brain": brain,
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

    def journal(self, session: int | None = None) -> list[dict[str, Any]]:
        """What the sessions did so far, or one of them (counted from 0): ``t_ms``, ``from``
        (``client``, ``server`` or ``journal``), ``lane``, ``name`` and ``event``, without audio and
        credentials. Without ``journal`` only their beginnings, ends and faults."""
        return [json.loads(line) for line in self._started().journal(session)]

    def start(self) -> Self:
        """Starts it without a block; ``stop`` it then."""
        if self._native is not None:
            raise RuntimeError("a local server is started once")
        self._native = _native.LocalServer(self._given)
        return self

    def stop(self) -> None:
        """Stops it: its sessions are closed with code 1001. Blocks for at most two seconds."""
        if not _process.is_forked(self._born):
            self._started().stop()

    def kill(self) -> None:
        """Ends it as a crash would: connections vanish without a closing handshake."""
        if not _process.is_forked(self._born):
            self._started().kill()

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
        return await asyncio.to_thread(self.start)

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await asyncio.to_thread(self.stop)

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
