"""Brains of the local server that are written in Python."""

from __future__ import annotations

import array
import asyncio
import gc
import threading
import warnings
from collections.abc import AsyncGenerator, AsyncIterator

import pytest
import talkwire
from helpers import run, say_text, until
from talkwire import sync
from talkwire.testing import LocalServer, Piece, Speech, ToolCall, Turn

TEXT = {"type": "realtime", "output_modalities": ["text"]}
NO_TURNS = {"audio": {"input": {"turn_detection": None}}}
PATIENCE_S = 30


async def answer(connection: talkwire.Connection, text: str) -> str:
    await say_text(connection, text)
    seen = await until(connection, "response.done")
    return "".join(e.delta for e in seen if e.type == "response.output_text.delta")


def test_a_function_answers_with_what_it_returns() -> None:
    turns: list[Turn] = []

    async def brain(turn: Turn) -> str:
        turns.append(turn)
        return f"{turn.number}: {turn.text}"

    async def main() -> None:
        async with (
            LocalServer(brain=brain) as server,
            talkwire.connect(
                server.url, session={**TEXT, "instructions": "Be brief."}
            ) as connection,
        ):
            assert await answer(connection, "good day") == "1: good day"
            assert await answer(connection, "and you?") == "2: and you?"
        assert turns[1].instructions == "Be brief."
        assert [item.role for item in turns[1].items] == ["user", "assistant", "user"]
        assert turns[0].audio is None

    run(main())


def test_a_generator_answers_in_pieces_while_they_come() -> None:
    go_on = asyncio.Event()

    async def brain(turn: Turn) -> AsyncGenerator[Piece]:
        yield "one "
        await go_on.wait()
        yield "two"

    async def main() -> None:
        async with (
            LocalServer(brain=brain) as server,
            talkwire.connect(server.url, session=TEXT) as connection,
        ):
            async with asyncio.timeout(PATIENCE_S), connection.stream_response() as stream:
                assert await anext(stream.text) == "one "
                go_on.set()
                assert [text async for text in stream.text] == ["two"]

    run(main())


def test_speech_is_heard_as_it_was_given() -> None:
    tone = array.array("h", [1_000, -1_000] * 2_400)

    async def brain(turn: Turn) -> AsyncGenerator[Piece]:
        yield Speech(tone, "a tone")

    async def main() -> None:
        async with (
            LocalServer(profile="openai", brain=brain) as server,
            talkwire.connect(server.url, dialect="openai", session=NO_TURNS) as connection,
        ):
            await say_text(connection, "go")
            seen = await until(connection, "response.done")
            assert b"".join(e.audio for e in seen if e.audio) == tone.tobytes()
            words = [e.delta for e in seen if e.type == "response.output_audio_transcript.delta"]
            assert "".join(words) == "a tone"

    run(main())


def test_the_speech_of_the_customer_is_there_to_be_heard() -> None:
    async def brain(turn: Turn) -> str:
        assert turn.audio is not None
        return f"{len(turn.audio) // 2} at {turn.rate_hz}"

    async def main() -> None:
        async with (
            LocalServer(profile="openai", brain=brain) as server,
            talkwire.connect(
                server.url, dialect="openai", session={**TEXT, **NO_TURNS}
            ) as connection,
        ):
            await connection.input_audio_buffer.append(audio=bytes(48_000))
            await connection.input_audio_buffer.commit()
            async with connection.stream_response() as stream:
                assert "".join([text async for text in stream.text]) == "24000 at 24000"

    run(main())


def test_a_brain_calls_functions_and_is_told_their_results() -> None:
    async def brain(turn: Turn) -> Piece:
        if turn.outputs:
            return f"It is {turn.outputs[0].output}."
        assert [tool.name for tool in turn.tools] == ["weather"]
        return ToolCall("weather", {"city": turn.text})

    async def main() -> None:
        async with (
            LocalServer(brain=brain) as server,
            talkwire.connect(server.url, session=TEXT) as connection,
        ):

            @connection.tool
            async def weather(city: str) -> str:
                return f"fine in {city}"

            await say_text(connection, "Oslo")
            await until(connection, "response.done")
            seen = await until(connection, "response.done")
            words = [e.delta for e in seen if e.type == "response.output_text.delta"]
            assert "".join(words) == "It is fine in Oslo."

    run(main())


def test_a_brain_that_raises_fails_its_response() -> None:
    async def brain(turn: Turn) -> str:
        if "wrong" in turn.text:
            return 7  # type: ignore[return-value]
        raise LookupError("no answer")

    async def main() -> None:
        async with (
            LocalServer(brain=brain) as server,
            talkwire.connect(server.url, session=TEXT) as connection,
        ):
            for text, told in (("hello", "LookupError: no answer"), ("wrong", "TypeError")):
                await connection.conversation.item.create(
                    item={
                        "type": "message",
                        "role": "user",
                        "content": [{"type": "input_text", "text": text}],
                    }
                )
                async with connection.stream_response() as stream:
                    with pytest.raises(talkwire.ResponseError, match=told):
                        await stream.final()

    run(main())


def test_an_answer_that_is_not_wanted_any_more_is_cancelled() -> None:
    started, cancelled = asyncio.Event(), asyncio.Event()

    async def brain(turn: Turn) -> AsyncGenerator[Piece]:
        try:
            yield "I "
            started.set()
            await asyncio.get_running_loop().create_future()
        finally:
            cancelled.set()

    async def main() -> None:
        async with (
            asyncio.timeout(PATIENCE_S),
            LocalServer(brain=brain) as server,
            talkwire.connect(server.url, session=TEXT) as connection,
        ):
            await say_text(connection, "hello")
            await started.wait()
            await connection.response.cancel()
            await cancelled.wait()
            done = (await until(connection, "response.done"))[-1]
            assert done.response.status == "cancelled"

    run(main())


def test_more_pieces_than_a_queue_holds_all_come_in_order() -> None:
    async def brain(turn: Turn) -> AsyncGenerator[Piece]:
        for number in range(2_000):
            yield f"{number} "

    async def main() -> None:
        async with (
            LocalServer(brain=brain) as server,
            talkwire.connect(server.url, session=TEXT) as connection,
        ):
            said = await answer(connection, "count")
            assert said.split() == [str(number) for number in range(2_000)]

    run(main())


def test_a_server_that_stops_stops_what_answers() -> None:
    started, cancelled = asyncio.Event(), asyncio.Event()

    async def brain(turn: Turn) -> str:
        started.set()
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            cancelled.set()
        return ""

    async def main() -> None:
        async with asyncio.timeout(PATIENCE_S), LocalServer(brain=brain) as server:
            one_link = {"rollover": {"enabled": False}, "recovery": {"budget_ms": 0}}
            async with talkwire.connect(server.url, session=TEXT, **one_link) as connection:
                await say_text(connection, "hello")
                await started.wait()
                server.kill()
                with pytest.raises(talkwire.ConnectionClosedError):
                    await until(connection, "response.done")
                await cancelled.wait()

    run(main())


def test_without_a_loop_a_brain_has_a_thread_of_its_own() -> None:
    threads: list[str] = []

    async def brain(turn: Turn) -> str:
        threads.append(threading.current_thread().name)
        await asyncio.sleep(0)
        return turn.text

    with LocalServer(brain=brain) as server:
        with sync.connect(server.url, session=TEXT) as connection:
            connection.conversation.item.create(
                item={
                    "type": "message",
                    "role": "user",
                    "content": [{"type": "input_text", "text": "hi"}],
                }
            )
            with connection.stream_response() as stream:
                assert "".join(stream.text) == "hi"
    assert threads == ["talkwire-brain"]
    assert "talkwire-brain" not in {thread.name for thread in threading.enumerate()}


def said_in_thread(server: LocalServer, text: str) -> str:
    with sync.connect(server.url, session=TEXT) as connection:
        item = {
            "type": "message",
            "role": "user",
            "content": [{"type": "input_text", "text": text}],
        }
        connection.conversation.item.create(item=item)
        with connection.stream_response() as stream:
            return "".join(stream.text)


def brain_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "talkwire-brain"]


@pytest.mark.parametrize("way", ["stopped", "not started", "forgotten"])
def test_a_loop_is_touched_by_its_own_thread_only(
    way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    removed: list[threading.Thread] = []

    async def brain(turn: Turn) -> str:
        return ""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        remove = loop.remove_reader

        def remove_reader(fd: int) -> bool:
            removed.append(threading.current_thread())
            return remove(fd)

        monkeypatch.setattr(loop, "remove_reader", remove_reader)
        if way == "not started":
            with pytest.raises(talkwire.ConfigError):
                async with LocalServer(brain=brain, profile="of nobody"):
                    pass
            return
        server = LocalServer(brain=brain).start()
        if way == "stopped":
            await asyncio.to_thread(server.stop)
            return
        held = [server]
        del server
        # One that was recorded would hold the server.
        with warnings.catch_warnings(action="ignore", category=ResourceWarning):
            await asyncio.to_thread(held.clear)

    run(main())
    assert removed == [threading.main_thread()]


def test_a_brain_in_a_thread_goes_with_a_server_that_is_forgotten() -> None:
    async def brain(turn: Turn) -> str:
        return turn.text

    server = LocalServer(brain=brain).start()
    (thread,) = brain_threads()
    with pytest.warns(ResourceWarning, match="unstopped"):
        del server
        gc.collect()
    thread.join(PATIENCE_S)
    assert not thread.is_alive()


def test_a_brain_that_blocks_does_not_hold_up_a_stop() -> None:
    begun, over = threading.Event(), threading.Event()

    async def brain(turn: Turn) -> AsyncGenerator[Piece]:
        yield "I "
        begun.set()
        over.wait()

    server = LocalServer(brain=brain).start()
    with sync.connect(server.url, session=TEXT) as connection:
        connection.response.create()
        assert begun.wait(PATIENCE_S)
    (thread,) = brain_threads()
    server.stop()
    assert thread.is_alive()
    over.set()
    thread.join(PATIENCE_S)
    assert not thread.is_alive()


def test_generators_that_a_brain_has_left_clean_up_when_its_thread_ends() -> None:
    held: list[AsyncIterator[str]] = []
    cleaned = threading.Event()

    async def words() -> AsyncGenerator[str]:
        try:
            yield "hello"
        finally:
            await asyncio.sleep(0)
            cleaned.set()

    async def brain(turn: Turn) -> str:
        held.append(words())
        return await anext(held[0])

    with LocalServer(brain=brain) as server:
        assert said_in_thread(server, "hi") == "hello"
    assert cleaned.is_set()
