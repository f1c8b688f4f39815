"""Realtime voice agents: one spoken or written conversation per connection.

::

    async with talkwire.connect("ws://127.0.0.1:8080/v1/realtime") as connection:
        await connection.conversation.item.create(item={...})
        await connection.response.create()
        async for event in connection:
            ...
"""

from __future__ import annotations

from . import events, sync
from ._account import Segment, Stats, Usage
from ._base import Topic, WhenBusy
from ._call import Call, CallOptions, CallStats, EchoGate
from ._client import ConnectionManager, Options, connect
from ._connection import Connection
from ._errors import (
    ArgumentError,
    AuthError,
    BusyError,
    ConfigError,
    ConnectError,
    ConnectionClosed,
    ConnectionClosedError,
    ConnectionClosedOK,
    DeadlineError,
    End,
    FileError,
    ForkedProcessError,
    HandshakeError,
    NativePanicError,
    NotFoundError,
    OverloadedError,
    ProtocolError,
    QueueFullError,
    RateLimitedError,
    RealtimeError,
    RefusedError,
    ResponseError,
    ServerError,
    TlsError,
    UnreachableError,
    Unsent,
    UnsupportedError,
    WouldDeadlockError,
)
from ._event import AudioGapEvent, Event, Object, ProtocolFaultEvent, UnknownEvent
from ._native import version
from ._recorder import Recorder
from ._stream import ResponseStream
from ._subscription import Backlog, Subscription

__version__ = version()

__all__ = [
    "ArgumentError",
    "AudioGapEvent",
    "AuthError",
    "Backlog",
    "BusyError",
    "Call",
    "CallOptions",
    "CallStats",
    "ConfigError",
    "ConnectError",
    "Connection",
    "ConnectionClosed",
    "ConnectionClosedError",
    "ConnectionClosedOK",
    "ConnectionManager",
    "DeadlineError",
    "EchoGate",
    "End",
    "Event",
    "FileError",
    "ForkedProcessError",
    "HandshakeError",
    "NativePanicError",
    "NotFoundError",
    "Object",
    "Options",
    "OverloadedError",
    "ProtocolError",
    "ProtocolFaultEvent",
    "QueueFullError",
    "RateLimitedError",
    "RealtimeError",
    "Recorder",
    "RefusedError",
    "ResponseError",
    "ResponseStream",
    "Segment",
    "ServerError",
    "Stats",
    "Subscription",
    "TlsError",
    "Topic",
    "UnknownEvent",
    "UnreachableError",
    "Unsent",
    "UnsupportedError",
    "Usage",
    "WhenBusy",
    "WouldDeadlockError",
    "__version__",
    "connect",
    "events",
    "sync",
]
