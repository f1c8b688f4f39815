"""Tools: functions that the model calls, while the session keeps flowing."""

from __future__ import annotations

import asyncio
import threading
from typing import Annotated, Any, Literal

import pytest
import talkwire
from helpers import run, say_text, until
from talkwire._tools import describe
from talkwire.testing import LocalServer

TEXT = {"type": "realtime", "output_modalities": ["text"]}
SCRIPT = {
    "turns": [
        {"when": {"tool": "price"}, "say": "That is all."},
        {
            "when": {"user": "any"},
            "call": [
                {"name": "price", "arguments": {"dish": "soup"}},
                {"name": "price", "arguments": {"dish": "tea"}},
            ],
        },
    ]
}


def said(events: list[Any]) -> str:
    return next(e.text for e in events if e.type == "response.output_text.done")


async def answer(connection: talkwire.Connection) -> list[Any]:
    return await until(connection, "response.output_text.done")


@pytest.mark.parametrize("kind", ["coroutine", "thread"])
def test_each_call_runs_once_and_the_model_goes_on_once(kind: str) -> None:
    async def main() -> None:
        ran: list[tuple[str, str, bool]] = []
        main_thread = threading.get_ident()

        def note(dish: str, key: str) -> dict[str, int]:
            ran.append((dish, key, threading.get_ident() == main_thread))
            return {"rub": 3}

        async with (
            LocalServer(profile="openai", script=SCRIPT) as server,
            talkwire.connect(server.url, dialect="openai", session=TEXT) as connection,
        ):
            if kind == "coroutine":

                @connection.tool
                async def price(dish: str, idempotency_key: str) -> dict[str, int]:
                    await asyncio.sleep(0)
                    return note(dish, idempotency_key)
            else:

                @connection.tool(timeout_ms=20_000)
                def price(dish: str, idempotency_key: str) -> dict[str, int]:
                    return note(dish, idempotency_key)

            await say_text(connection, "How much?")
            events = await answer(connection)
            assert said(events) == "That is all."
            assert sum(e.type == "response.created" for e in events) == 2
        assert sorted(dish for dish, *_ in ran) == ["soup", "tea"]
        assert len({key for _, key, _ in ran}) == 2
        assert all(here == (kind == "coroutine") for *_, here in ran)

    run(main())


def test_what_a_tool_raises_is_told_to_the_model_and_stays_there() -> None:
    async def main() -> None:
        async with (
            LocalServer(profile="openai", script=SCRIPT) as server,
            talkwire.connect(server.url, dialect="openai", session=TEXT) as connection,
        ):

            @connection.tool
            def price(dish: str) -> str:
                raise ValueError(f"no {dish}")

            await say_text(connection, "How much?")
            events = await answer(connection)
            outputs = [
                e.item.output
                for e in events
                if e.type == "conversation.item.added" and e.item.type == "function_call_output"
            ]
            assert len(outputs) == 2 and all("ValueError: no " in text for text in outputs)

    run(main())


def test_tools_run_while_nobody_reads_events_and_end_with_the_session() -> None:
    async def main() -> None:
        started, cancelled = asyncio.Event(), asyncio.Event()
        async with (
            LocalServer(profile="openai", script=SCRIPT) as server,
            talkwire.connect(server.url, dialect="openai", session=TEXT) as connection,
        ):

            @connection.tool
            async def price(dish: str) -> str:
                started.set()
                try:
                    await asyncio.Event().wait()
                except asyncio.CancelledError:
                    cancelled.set()
                    raise
                return dish

            await say_text(connection, "How much?")
            await asyncio.wait_for(started.wait(), 20)
        assert cancelled.is_set()

    run(main())


def test_a_tool_may_close_the_session_it_runs_in() -> None:
    async def main() -> None:
        closed = asyncio.Event()
        async with LocalServer(profile="openai", script=SCRIPT) as server:
            connection = await talkwire.connect(server.url, dialect="openai", session=TEXT).enter()

            @connection.tool
            async def price(dish: str) -> str:
                await connection.close()
                closed.set()
                return dish

            await say_text(connection, "How much?")
            await asyncio.wait_for(closed.wait(), 20)
            assert connection.end is not None and connection.end.expected

    run(main())


def test_the_loop_forgets_the_descriptor_of_a_session_that_is_closed() -> None:
    async def main() -> None:
        async with LocalServer() as server:
            connection = await talkwire.connect(server.url, session=TEXT).enter()
            connection.tool(lambda: "", name="idle")
            await until(connection, "session.updated")
            assert connection._reader._fd is not None
            await connection.close()
            assert connection._reader._fd is None

    run(main())


def test_usage_and_interruption_are_asked_for() -> None:
    async def main() -> None:
        async with (
            LocalServer() as server,
            talkwire.connect(server.url, session=TEXT, when_busy="queue") as connection,
        ):
            await say_text(connection, "hello")
            await until(connection, "response.done")
            usage = connection.usage
            assert usage.responses == 1 and usage.input_tokens > 0
            assert usage.context_tokens == usage.input_tokens + usage.output_tokens
            await connection.interrupt()
            fault = (await until(connection, "protocol.fault"))[-1]
            assert "nothing to interrupt" in fault.error.message
            await connection.response.create(when_busy="refuse")
            await until(connection, "response.done")

    run(main())


def test_the_schema_of_a_function_comes_from_its_hints_and_its_docstring() -> None:
    def order(
        dish: Annotated[str, "what to cook"],
        count: int,
        size: Literal["small", "large"] = "small",
        extras: list[str] | None = None,
        idempotency_key: str = "",
    ) -> str:
        """Orders a dish."""
        return dish

    assert describe(order, {"timeout_ms": 5}) == {
        "name": "order",
        "description": "Orders a dish.",
        "parameters": {
            "type": "object",
            "properties": {
                "dish": {"type": "string", "description": "what to cook"},
                "count": {"type": "integer"},
                "size": {"enum": ["small", "large"]},
                "extras": {"type": "array", "items": {"type": "string"}},
            },
            "required": ["dish", "count"],
        },
        "timeout_ms": 5,
    }
