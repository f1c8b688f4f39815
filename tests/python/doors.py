"""A server that leaves each of its clients standing where the test wants it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator
from typing import Any

from helpers import GREETING
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

# Nothing but a close ends these: a wait that goes on is one that a close has to cut short.
PATIENT: dict[str, Any] = {
    "connect_timeout_ms": 600_000,
    "handshake_timeout_ms": 600_000,
    "greeting_timeout_ms": 600_000,
    "reply_timeout_ms": 600_000,
    "close_timeout_ms": 1_000,
    "recovery": {"budget_ms": 600_000, "delay_ms": 60_000, "delay_max_ms": 60_000},
}


class Door:
    """The n-th connection meets the n-th kind, later ones the last: ``silent`` answers no upgrade,
    ``mute`` does not greet, ``idle`` greets and says no more."""

    def __init__(self, kinds: tuple[str, ...], lives_s: int | None) -> None:
        self._kinds = kinds
        self._lives_s = lives_s
        self._changed = asyncio.Condition()
        self._over = asyncio.Event()
        self.came: list[ServerConnection] = []
        self.url = ""

    async def until_came(self, number: int) -> None:
        """Returns when so many connections have come."""
        async with self._changed:
            await self._changed.wait_for(lambda: len(self.came) >= number)

    async def until_all_gone(self) -> None:
        """Returns when no connection is left."""
        for socket in self.came:
            await socket.wait_closed()

    def cut(self) -> None:
        """Breaks the connections that are there."""
        for socket in self.came:
            socket.transport.abort()

    def open(self) -> None:
        """Lets go of whoever waits for an answer to the upgrade."""
        self._over.set()

    def _kind(self, socket: ServerConnection) -> str:
        return self._kinds[min(self.came.index(socket), len(self._kinds) - 1)]

    async def upgrade(self, socket: ServerConnection, _: object) -> None:
        async with self._changed:
            self.came.append(socket)
            self._changed.notify_all()
        if self._kind(socket) == "silent":
            await self._over.wait()

    async def serve(self, socket: ServerConnection) -> None:
        if self._kind(socket) == "idle":
            session = dict(GREETING["session"])
            if self._lives_s is not None:
                session["expires_at"] = int(time.time()) + self._lives_s
            await socket.send(json.dumps({**GREETING, "session": session}))
        with contextlib.suppress(ConnectionClosed):
            async for _ in socket:
                pass


@contextlib.asynccontextmanager
async def door(*kinds: str, lives_s: int | None = None) -> AsyncIterator[Door]:
    """A door of these kinds; sessions live so many seconds, as the greeting says."""
    made = Door(kinds, lives_s)
    # Its own pings and time limits would be other ways for a connection to go.
    options: dict[str, Any] = {"open_timeout": None, "ping_interval": None, "close_timeout": 1}
    async with serve(made.serve, "127.0.0.1", 0, process_request=made.upgrade, **options) as server:
        made.url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1/realtime"
        try:
            yield made
        finally:
            made.open()
