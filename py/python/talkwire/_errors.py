"""Exceptions: one small tree, every one with the same attributes.

The class of each kind stands in ``CLASSES``; a test holds it against the status table of the core.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, TypeVar


@dataclass(frozen=True, slots=True)
class Unsent:
    """What was taken from the application and never sent."""

    audio_ms: int = 0
    commands: int = 0


@dataclass(frozen=True, slots=True)
class End:
    """How a session ended. Every session ends with exactly one."""

    who: str
    """Who ended it: ``app``, ``library``, ``server`` or ``network``."""
    why: str
    """Why, as the name of a kind of error; ``closed`` is the normal end."""
    code: int | None
    """WebSocket close code, if a close frame was seen."""
    http_status: int | None
    """HTTP status, if the upgrade was refused."""
    expected: bool
    """Whether the application asked for it."""
    mid_turn: bool
    """Whether somebody spoke, a response ran or a function call was unanswered."""
    unsent: Unsent
    """What was taken from the application and never sent."""
    message: str
    """A sentence for people."""

    def to_dict(self) -> dict[str, Any]:
        """The end as every tool of this project prints it."""
        return asdict(self)


class RealtimeError(Exception):
    """Base of all exceptions of this package; ``str()`` is a sentence for people."""

    kind: str = "panic"
    """Name of the kind of error, stable."""
    who: str = "library"
    """Whose fault it is: ``app``, ``library``, ``server`` or ``network``."""
    retryable: bool = False
    """Whether the same call may succeed a little later."""
    type: str | None = None
    """``type`` of the server's error."""
    code: str | None = None
    """``code`` of the server's error."""
    param: str | None = None
    """The parameter that the server complains about."""
    event_id: str | None = None
    """The client event that caused it."""
    http_status: int | None = None
    """HTTP status of a refused upgrade."""
    close_code: int | None = None
    """WebSocket close code."""
    body: str | None = None
    """Body of a refused upgrade, at most 4 KiB."""
    end: End | None = None
    """How the session ended, if that is what this exception is about."""


class ArgumentError(RealtimeError, ValueError):
    """An argument is missing, out of range or not valid."""


class ConfigError(RealtimeError, ValueError):
    """A configuration, dialect table or script has an error."""


class RefusedError(RealtimeError, ValueError):
    """The dialect's table knows the value to be wrong; nothing was sent."""


class UnsupportedError(RealtimeError):
    """The dialect of this endpoint cannot do that."""


class QueueFullError(RealtimeError):
    """A queue is full; nothing was taken."""


class ForkedProcessError(RealtimeError, RuntimeError):
    """The process forked after the library started its threads."""


class WouldDeadlockError(RealtimeError, RuntimeError):
    """The call would wait for itself."""


class DeadlineError(RealtimeError, TimeoutError):
    """A deadline passed."""


class ConnectError(RealtimeError, ConnectionError):
    """No session could be opened."""


class UnreachableError(ConnectError):
    """No connection could be made."""


class TlsError(ConnectError):
    """The TLS certificate or handshake failed."""


class HandshakeError(ConnectError):
    """The server answered the WebSocket upgrade with something else."""


class AuthError(ConnectError):
    """The credential is missing, wrong or without the needed role."""


class NotFoundError(ConnectError):
    """The endpoint, folder or model does not exist."""


class RateLimitedError(ConnectError):
    """A quota or rate limit was hit."""


class OverloadedError(ConnectError):
    """The server is overloaded or shutting down."""


class ProtocolError(RealtimeError):
    """The peer broke the protocol."""


class ServerError(RealtimeError):
    """The server reported an error."""


class ResponseError(ServerError):
    """A response failed."""

    response: Mapping[str, Any] | None = None
    """The response as the server tells it."""


class FileError(RealtimeError, OSError):
    """A file could not be read or written."""


class NativePanicError(RealtimeError):
    """A bug in this library; it was contained."""


class BusyError(RealtimeError):
    """Two threads called a function that is for one thread at a time; nothing was done."""


class ConnectionClosed(RealtimeError, ConnectionError):
    """The session is over; ``end`` says how."""


class ConnectionClosedOK(ConnectionClosed):
    """The session is over because the application closed it."""


class ConnectionClosedError(ConnectionClosed):
    """The session is over and the application did not ask for it."""


CLASSES: dict[str, type[RealtimeError]] = {
    "argument": ArgumentError,
    "closed": ConnectionClosed,
    "would_deadlock": WouldDeadlockError,
    "forked": ForkedProcessError,
    "queue_full": QueueFullError,
    "timeout": DeadlineError,
    "unsupported": UnsupportedError,
    "refused": RefusedError,
    "config": ConfigError,
    "unreachable": UnreachableError,
    "tls": TlsError,
    "handshake": HandshakeError,
    "auth": AuthError,
    "not_found": NotFoundError,
    "rate_limited": RateLimitedError,
    "protocol": ProtocolError,
    "server": ServerError,
    "expired": ConnectionClosedError,
    "lost": ConnectionClosedError,
    "server_closed": ConnectionClosedError,
    "fatal": ConnectionClosedError,
    "overloaded": OverloadedError,
    "slow_reader": ConnectionClosedError,
    "cancelled": ConnectionClosedError,
    "io": FileError,
    "panic": NativePanicError,
    "busy": BusyError,
}
"""The class of each kind of error."""

for _kind, _class in CLASSES.items():
    # One that a program raises, such as AuthError of a function for credentials, says what it is.
    if list(CLASSES.values()).count(_class) == 1:
        _class.kind = _kind

_E = TypeVar("_E", bound=RealtimeError)


def from_native(text: str) -> RealtimeError:
    """The exception of an error that the native module describes."""
    details = json.loads(text)
    return _filled(CLASSES.get(details["kind"], RealtimeError), details)


def end_from_native(text: str) -> tuple[End, dict[str, Any]]:
    """The end that the native module describes, and the error behind it."""
    fields = json.loads(text)
    details = fields.pop("error")
    return End(**{**fields, "unsent": Unsent(**fields["unsent"])}), details


def closed(end: End, details: dict[str, Any]) -> ConnectionClosed:
    """The exception of an end."""
    error = _filled(ConnectionClosedOK if end.expected else ConnectionClosedError, details)
    error.end = end
    return error


def _filled(kind: type[_E], details: dict[str, Any]) -> _E:
    error = kind(details["message"])
    for name, value in details.items():
        if name != "message":
            setattr(error, name, value)
    return error
