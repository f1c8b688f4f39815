"""What the tests share: a loop in debug mode, and a server that does exactly what it is told."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import os
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any, TypeVar

from websockets.asyncio.server import ServerConnection, serve

T = TypeVar("T")

DEEP = bool(os.environ.get("TALKWIRE_DEEP"))

# A session that ends with its link.
ONE_LINK: dict[str, Any] = {"rollover": {"enabled": False}, "recovery": {"budget_ms": 0}}

# Clauses that hold for every server: the greeting comes first, a close is answered.
GREETING = {
    "type": "session.created",
    "event_id": "event_0",
    "session": {"id": "sess_0", "audio": {"input": {"turn_detection": None}}},
}


def run(main: Coroutine[Any, Any, T]) -> T:
    """Runs a coroutine on a new loop in debug mode; what leaks is collected before it returns."""
    with asyncio.Runner(debug=True) as runner:
        result = runner.run(main)
    gc.collect()
    return result


@contextlib.contextmanager
def program(*command: str | Path, **environment: str) -> Iterator[subprocess.Popen[str]]:
    """A program whose output is read; it is gone after the block, whatever the block waited for."""
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **environment},
    ) as process:
        try:
            yield process
        finally:
            process.kill()


class Between:
    """A native object some of whose calls are those of the test."""

    def __init__(self, native: Any, **calls: Callable[..., Any]) -> None:
        self._native = native
        self._calls = calls

    def __getattr__(self, name: str) -> Any:
        return self._calls.get(name) or getattr(self._native, name)


class Told:
    """The server's side of one session."""

    def __init__(self, socket: ServerConnection) -> None:
        self.socket = socket

    async def say(self, event: dict[str, Any] | str) -> None:
        """Sends one event, or a frame as it is."""
        await self.socket.send(event if isinstance(event, str) else json.dumps(event))

    async def hear(self) -> dict[str, Any]:
        """The next event of the client."""
        return json.loads(await self.socket.recv())


@contextlib.asynccontextmanager
async def told(script: Callable[[Told], Awaitable[None]]) -> AsyncIterator[str]:
    """A server that greets and then follows ``script``; gives its URL."""

    async def serve_one(socket: ServerConnection) -> None:
        server = Told(socket)
        await server.say(GREETING)
        await script(server)
        await socket.wait_closed()

    async with serve(serve_one, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        yield f"ws://127.0.0.1:{port}/v1/realtime"


async def until(connection: Any, name: str) -> list[Any]:
    """Events up to and including the first of that name."""
    events = []
    while not events or events[-1].type != name:
        events.append(await connection.recv())
    return events


async def say_text(connection: Any, text: str) -> None:
    """A turn of the customer in writing."""
    await connection.conversation.item.create(
        item={
            "type": "message",
            "role": "user",
            "content": [{"type": "input_text", "text": text}],
        }
    )
    await connection.response.create()
