"""The same nouns for threads: what ``talkwire`` awaits, this waits for.

::

    with talkwire.sync.connect("ws://127.0.0.1:8080/v1/realtime") as connection:
        connection.conversation.item.create(item={...})
        connection.response.create()
        for event in connection:
            ...

Every wait lets other threads run and ends with Ctrl-C. A connection may be used from any thread; of
threads that read it at once, each event is for one. Media ports, events and exceptions are those of
``talkwire``.
"""

from __future__ import annotations

from ._client import ConnectionManager, connect
from ._connection import Connection
from ._recorder import Recorder
from ._stream import ResponseStream
from ._subscription import Subscription

__all__ = [
    "Connection",
    "ConnectionManager",
    "Recorder",
    "ResponseStream",
    "Subscription",
    "connect",
]
