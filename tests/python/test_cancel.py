"""Cancelling an await at any moment loses no event and repeats none."""

from __future__ import annotations

import asyncio
import contextlib
import random

import pytest
import talkwire
from helpers import DEEP, Told, run, told

EVENTS = 100_000 if DEEP else 10_000


async def storm(connection: talkwire.Connection, rest: random.Random) -> list[int]:
    """Reads all numbers, giving up each wait after a random moment."""
    seen: list[int] = []
    while len(seen) < EVENTS:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(rest.random() * 0.002):
                seen.append((await connection.recv()).i)
    return seen


@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed", [1, 2])
def test_a_storm_of_timeouts_loses_nothing(seed: int) -> None:
    rest = random.Random(seed)

    async def count(server: Told) -> None:
        for i in range(EVENTS):
            await server.say({"type": "tick", "i": i})
            if rest.random() < 0.1:
                # Lets the reader run dry, so that waits are cut and not only takes.
                await asyncio.sleep(0.001)

    async def main() -> None:
        async with told(count) as url:
            async with talkwire.connect(url) as connection:
                await connection.recv()
                assert await storm(connection, rest) == list(range(EVENTS))

    asyncio.run(main())


def test_a_cancelled_task_in_the_middle_of_a_block_closes_the_session() -> None:
    async def idle(server: Told) -> None:
        pass

    async def main() -> None:
        opened = asyncio.Event()
        held: list[talkwire.Connection] = []

        async def talk(url: str) -> None:
            async with talkwire.connect(url) as connection:
                held.append(connection)
                opened.set()
                async for _ in connection:
                    pass

        async with told(idle) as url:
            task = asyncio.create_task(talk(url))
            await opened.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            end = held[0].end
            assert end is not None and (end.who, end.expected) == ("app", True)

    run(main())


def test_opening_can_be_cancelled_and_leaves_nothing_behind() -> None:
    async def main() -> None:
        async def mute(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            with contextlib.suppress(ConnectionError):
                await reader.read()
            writer.close()
            gone.set()

        gone = asyncio.Event()
        async with await asyncio.start_server(mute, "127.0.0.1", 0) as server:
            url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1/realtime"
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05):
                    await talkwire.connect(url).enter()
            async with asyncio.timeout(5):
                await gone.wait()

    run(main())


def test_a_cancelled_close_goes_on_and_can_be_awaited_again() -> None:
    async def idle(server: Told) -> None:
        pass

    async def main() -> None:
        async with told(idle) as url:
            connection = await talkwire.connect(url).enter()
            closing = asyncio.create_task(connection.close())
            await asyncio.sleep(0)
            closing.cancel()
            await asyncio.wait([closing])
            await connection.close()
            assert connection.end is not None and connection.end.expected

    run(main())
