"""Closing in each state and in each way: it is over in its time, has an end, and leaves nothing."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from typing import Any

import pytest
import talkwire
from doors import PATIENT, door
from helpers import ONE_LINK, run, say_text, until
from talkwire.testing import LocalServer

PATIENCE_S = 30
TEXT = {"output_modalities": ["text"], "audio": {"input": {"turn_detection": None}}}
HOLD_ANSWERS = {"when": {"sent": "response.output_text.delta"}, "do": {"delay": 600_000}}
CALLS = {"turns": [{"when": {"user": "any"}, "call": {"name": "look_up", "arguments": {}}}]}


def in_time(main: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Runs it to its end, after which no task is left but itself."""

    async def bounded() -> None:
        async with asyncio.timeout(PATIENCE_S):
            await main()
        left = asyncio.all_tasks() - {asyncio.current_task()}
        assert not left, left

    run(bounded())


# ---- before it is open --------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["silent", "mute", "idle"])
@pytest.mark.parametrize("way", ["cancelled", "timed out", "with its block"])
def test_opening_is_given_up_wherever_it_stands(kind: str, way: str) -> None:
    async def main() -> None:
        async with door(kind) as server:
            manager = talkwire.connect(server.url, session=TEXT, **PATIENT)

            async def in_block() -> None:
                async with manager:
                    pytest.fail("nobody has configured it")

            async def timed_out() -> None:
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(0.2):
                        await manager.enter()

            opening = {"cancelled": manager.enter, "timed out": timed_out}.get(way, in_block)
            task = asyncio.create_task(opening())
            if way == "timed out":
                await task
            else:
                await server.until_came(1)
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
            server.open()
            await server.until_all_gone()

    in_time(main)


# ---- after that ---------------------------------------------------------------------------------

State = contextlib.AbstractAsyncContextManager[talkwire.Connection]


@contextlib.asynccontextmanager
async def idle() -> AsyncIterator[talkwire.Connection]:
    async with LocalServer() as server:
        yield await talkwire.connect(server.url, session=TEXT, **PATIENT).enter()


@contextlib.asynccontextmanager
async def unheard() -> AsyncIterator[talkwire.Connection]:
    """The server reads nothing any more, not even a close."""
    deaf = {"when": {"received": "input_audio_buffer.clear"}, "do": "hang"}
    async with LocalServer(faults=[deaf]) as server:
        connection = await talkwire.connect(server.url, session=TEXT, **PATIENT).enter()
        await connection.input_audio_buffer.clear()
        yield connection


@contextlib.asynccontextmanager
async def in_an_answer() -> AsyncIterator[talkwire.Connection]:
    async with LocalServer(faults=[HOLD_ANSWERS]) as server:
        connection = await talkwire.connect(server.url, session=TEXT, **PATIENT).enter()
        await say_text(connection, "hello")
        await until(connection, "response.created")
        yield connection


@contextlib.asynccontextmanager
async def with_a_tool_out() -> AsyncIterator[talkwire.Connection]:
    begun, ended = asyncio.Event(), asyncio.Event()

    async def look_up() -> str:
        """Looks something up, for ever."""
        begun.set()
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            ended.set()
        return ""

    async with LocalServer(script=CALLS) as server:
        connection = await talkwire.connect(server.url, session=TEXT, **PATIENT).enter()
        connection.tool(look_up)
        await say_text(connection, "hello")
        await begun.wait()
        yield connection
        assert ended.is_set()


@contextlib.asynccontextmanager
async def dialling_again() -> AsyncIterator[talkwire.Connection]:
    async with door("idle", "silent") as server:
        connection = await talkwire.connect(server.url, **PATIENT).enter()
        server.cut()
        await server.until_came(2)
        yield connection
        server.open()
        await server.until_all_gone()


@contextlib.asynccontextmanager
async def not_greeted_again() -> AsyncIterator[talkwire.Connection]:
    async with door("idle", "mute") as server:
        connection = await talkwire.connect(server.url, **PATIENT).enter()
        server.cut()
        await server.until_came(2)
        yield connection
        await server.until_all_gone()


@contextlib.asynccontextmanager
async def waiting_to_dial_again() -> AsyncIterator[talkwire.Connection]:
    async with LocalServer(faults=[HOLD_ANSWERS]) as server:
        connection = await talkwire.connect(server.url, session=TEXT, **PATIENT).enter()
        await say_text(connection, "hello")
        await until(connection, "response.created")
        server.kill()
        await until(connection, "session.lost")
        yield connection


@contextlib.asynccontextmanager
async def dialling_before_its_time_is_over() -> AsyncIterator[talkwire.Connection]:
    async with door("idle", "silent", lives_s=5) as server:
        connection = await talkwire.connect(server.url, **PATIENT).enter()
        await server.until_came(2)
        yield connection
        server.open()
        await server.until_all_gone()


STATES = [
    idle,
    unheard,
    in_an_answer,
    with_a_tool_out,
    dialling_again,
    not_greeted_again,
    waiting_to_dial_again,
    dialling_before_its_time_is_over,
]

Way = Callable[[talkwire.Connection], Awaitable[None]]


async def by_another_task(connection: talkwire.Connection) -> None:
    """What waits for events is told of it."""
    reading = asyncio.create_task(read(connection))
    await asyncio.sleep(0)
    await asyncio.gather(connection.close(), connection.close())
    await reading


async def read(connection: talkwire.Connection) -> None:
    async for _ in connection:
        pass


async def by_cancelling_whoever_receives(connection: talkwire.Connection) -> None:
    async def receive() -> None:
        async with connection:
            await read(connection)

    await cancelled(receive())


async def by_cancelling_whoever_sends(connection: talkwire.Connection) -> None:
    async def send() -> None:
        async with connection:
            while True:
                await connection.send({"type": "tick", "pad": "x" * 100_000})
                await asyncio.sleep(0)

    await cancelled(send())


async def cancelled(work: Coroutine[Any, Any, None]) -> None:
    """Cancels it after it had a moment to come to where it waits."""
    task = asyncio.create_task(work)
    await asyncio.wait([task], timeout=0.2)
    task.cancel()
    with contextlib.suppress(talkwire.RealtimeError), pytest.raises(asyncio.CancelledError):
        await task


async def by_a_close_that_is_cancelled(connection: talkwire.Connection) -> None:
    closing = asyncio.create_task(connection.close())
    await asyncio.sleep(0)
    closing.cancel()
    await asyncio.wait([closing])
    await connection.close()


async def by_a_close_that_is_not_waited_for(connection: talkwire.Connection) -> None:
    closing = asyncio.create_task(connection.close())
    await asyncio.sleep(0)
    closing.cancel()
    await asyncio.wait([closing])
    await read(connection)


async def by_an_exception(connection: talkwire.Connection) -> None:
    with pytest.raises(ZeroDivisionError):
        async with connection:
            1 / 0  # noqa: B018


WAYS = [
    by_another_task,
    by_cancelling_whoever_receives,
    by_cancelling_whoever_sends,
    by_a_close_that_is_cancelled,
    by_a_close_that_is_not_waited_for,
    by_an_exception,
]


@pytest.mark.parametrize("state", STATES, ids=lambda state: state.__name__)
@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_a_close_is_the_end(state: Callable[[], State], way: Way) -> None:
    async def main() -> None:
        async with state() as connection:
            await way(connection)
            end = connection.end
            assert end is not None
            assert (end.who, end.why, end.expected) == ("app", "closed", True)
            await read(connection)
            for call in (connection.recv(), connection.send({"type": "tick"})):
                with pytest.raises(talkwire.ConnectionClosedOK):
                    await call
            await connection.close()

    in_time(main)


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_a_close_after_another_end_changes_nothing(way: Way) -> None:
    async def main() -> None:
        async with door("idle") as server:
            connection = await talkwire.connect(server.url, **{**PATIENT, **ONE_LINK}).enter()
            server.cut()
            with pytest.raises(talkwire.ConnectionClosedError):
                await read(connection)
            end = connection.end
            assert end is not None and (end.why, end.expected) == ("lost", False)
            with contextlib.suppress(talkwire.ConnectionClosedError):
                await way(connection)
            assert connection.end is end

    in_time(main)


def test_a_tool_that_will_not_be_cancelled_does_not_hold_up_a_close() -> None:
    async def main() -> None:
        begun, over = asyncio.Event(), asyncio.Event()

        async def look_up() -> str:
            """Looks something up, whatever happens."""
            begun.set()
            while not over.is_set():
                with contextlib.suppress(asyncio.CancelledError):
                    await over.wait()
            return ""

        async with LocalServer(script=CALLS) as server:
            connection = await talkwire.connect(server.url, session=TEXT, **PATIENT).enter()
            connection.tool(look_up)
            await say_text(connection, "hello")
            await begun.wait()
            await connection.close()
            assert connection.end is not None and connection.end.expected
            over.set()
            while len(asyncio.all_tasks()) > 1:
                await asyncio.sleep(0)

    in_time(main)
