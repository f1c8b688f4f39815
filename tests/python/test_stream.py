"""One response as it comes: its words, its sound, its end, and nothing of anything else."""

from __future__ import annotations

import asyncio
import contextlib
import random
from typing import Any

import pytest
import talkwire
from helpers import DEEP, ONE_LINK, Between, Told, run, say_text, told, until
from talkwire.testing import LocalServer

PATIENCE_S = 30
TEXT = {"type": "realtime", "output_modalities": ["text"]}
NO_TURNS = {"audio": {"input": {"turn_detection": None}}}
# Nobody reads the connection itself, which keeps 20,000 events: two for each piece.
PIECES = 9_000 if DEEP else 1_000


def user(text: str) -> dict[str, Any]:
    return {"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}]}


def created(name: str) -> dict[str, Any]:
    return {"type": "response.created", "event_id": f"e{name}", "response": {"id": name}}


def delta(name: str, text: str) -> dict[str, Any]:
    place = {"item_id": "item", "output_index": 0, "content_index": 0}
    return {"type": "response.output_text.delta", "response_id": name, "delta": text, **place}


def done(name: str, status: str = "completed", **details: Any) -> dict[str, Any]:
    response = {"id": name, "status": status, "output": [], **details}
    return {"type": "response.done", "event_id": f"d{name}", "response": response}


async def wish(server: Told) -> None:
    """Reads up to a wish for a response."""
    while (await server.hear())["type"] != "response.create":
        pass


def test_the_words_of_one_response_come_in_pieces_and_end_with_it() -> None:
    async def main() -> None:
        async with LocalServer() as server:
            async with talkwire.connect(server.url, session=TEXT) as connection:
                await connection.conversation.item.create(item=user("one two three"))
                async with connection.stream_response() as answer:
                    pieces = [text async for text in answer.text]
                    assert "".join(pieces) == "one two three"
                    assert (await answer.final()).status == "completed"
                    assert (await answer.final()).id == answer.response_id
                # Whoever reads the connection has missed nothing.
                seen = await until(connection, "response.done")
                deltas = [e.delta for e in seen if e.type == "response.output_text.delta"]
                assert deltas == pieces

    run(main())


def test_words_sound_and_events_are_read_at_the_same_time() -> None:
    async def main() -> None:
        async with LocalServer(profile="openai") as server:
            async with (
                asyncio.timeout(PATIENCE_S),
                talkwire.connect(server.url, dialect="openai", session=NO_TURNS) as connection,
            ):
                await connection.conversation.item.create(item=user("good day"))

                async def text(answer: talkwire.ResponseStream) -> str:
                    return "".join([piece async for piece in answer.text])

                async def audio(answer: talkwire.ResponseStream) -> bytes:
                    return b"".join([piece async for piece in answer.audio])

                async with connection.stream_response() as answer:
                    words, sound = await asyncio.gather(text(answer), audio(answer))
                    # One after another is as good: what was not read is kept.
                    events = [event async for event in answer]
                seen = await until(connection, "response.done")
                assert words == "good day"
                assert sound and sound == b"".join(e.audio for e in seen if e.audio)
                assert sound == b"".join(e.audio for e in events if e.audio)
                assert events[-1].type == "response.done"

    run(main())


def test_the_end_is_told_to_all_that_wait_for_it() -> None:
    async def main() -> None:
        async with LocalServer() as server:
            async with talkwire.connect(server.url, session=TEXT) as connection:
                await connection.conversation.item.create(item=user("one two three"))
                async with connection.stream_response() as answer:
                    finals = await asyncio.gather(*(answer.final() for _ in range(3)))
                    assert [final.status for final in finals] == ["completed"] * 3

    run(main())


def test_leaving_early_cancels_the_response() -> None:
    cancelled: dict[str, Any] = {}

    async def cancels(server: Told) -> None:
        await wish(server)
        await server.say(created("r1"))
        await server.say(delta("r1", "a"))
        heard = await server.hear()
        cancelled.update(heard)
        await server.say(done("r1", "cancelled"))

    async def main() -> None:
        async with told(cancels) as url, talkwire.connect(url) as connection:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05), connection.stream_response() as answer:
                    async for text in answer.text:
                        assert text == "a"
            last = (await until(connection, "response.done"))[-1]
            assert last.response.status == "cancelled"
            assert (cancelled["type"], cancelled["response_id"]) == ("response.cancel", "r1")

    run(main())


@pytest.mark.parametrize("is_entered", [True, False])
def test_a_cancel_waits_while_the_queue_is_full(is_entered: bool) -> None:
    async def script(server: Told) -> None:
        await wish(server)
        asked.set()
        if not is_entered:
            await given_up.wait()
        await server.say(created("r1"))
        cancel = await server.hear()
        assert (cancel["type"], cancel["response_id"]) == ("response.cancel", "r1")
        await server.say(done("r1", "cancelled"))

    asked, given_up = asyncio.Event(), asyncio.Event()

    async def main() -> None:
        async with told(script) as url, talkwire.connect(url) as connection:
            native, is_full = connection._native, True

            def send(text: str) -> None:
                nonlocal is_full
                if is_full:
                    is_full = False
                    raise talkwire.QueueFullError("full")
                native.send_json(text)

            connection._native = Between(native, send_json=send)  # type: ignore[assignment]
            if is_entered:
                async with connection.stream_response():
                    pass
            else:
                asking = asyncio.ensure_future(connection.stream_response().__aenter__())
                await asked.wait()
                asking.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await asking
                given_up.set()
            # Sooner than an answer that does not come is cancelled anyway.
            async with asyncio.timeout(10):
                await until(connection, "response.done")

    run(main())


def test_a_response_that_was_read_to_its_end_is_not_cancelled() -> None:
    async def main() -> None:
        async with LocalServer(journal=True) as server:
            async with talkwire.connect(server.url, session=TEXT) as connection:
                await connection.conversation.item.create(item=user("one"))
                async with connection.stream_response() as answer:
                    # Only its words: the end is found when the block is left.
                    await anext(answer.text)
                    await until(connection, "response.done")
            names = [entry["name"] for entry in server.journal() if entry["from"] == "client"]
            assert "response.create" in names and "response.cancel" not in names

    run(main())


def test_a_wish_that_is_cancelled_is_taken_back_when_it_begins() -> None:
    async def script(server: Told) -> None:
        await wish(server)
        asked.set()
        await given_up.wait()
        await server.say(created("r1"))
        cancel = await server.hear()
        assert (cancel["type"], cancel["response_id"]) == ("response.cancel", "r1")
        await server.say(done("r1", "cancelled"))

    asked, given_up = asyncio.Event(), asyncio.Event()

    async def main() -> None:
        async with told(script) as url, talkwire.connect(url) as connection:
            stream = connection.stream_response()
            asking = asyncio.ensure_future(stream.__aenter__())
            await asked.wait()
            asking.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asking
            given_up.set()
            async with asyncio.timeout(PATIENCE_S):
                await until(connection, "response.done")

    run(main())


def test_a_response_that_fails_raises_what_the_server_says() -> None:
    async def script(server: Told) -> None:
        await wish(server)
        await server.say(created("r1"))
        await server.say(delta("r1", "a"))
        error = {"type": "server_error", "code": "overloaded", "message": "too much to do"}
        await server.say(done("r1", "failed", status_details={"type": "failed", "error": error}))

    async def main() -> None:
        async with told(script) as url, talkwire.connect(url) as connection:
            async with connection.stream_response() as answer:
                with pytest.raises(talkwire.ResponseError, match="too much to do") as caught:
                    async for text in answer.text:
                        assert text == "a"
                assert (caught.value.code, caught.value.who) == ("overloaded", "server")
                assert caught.value.response is not None
                with pytest.raises(talkwire.ResponseError):
                    await answer.final()

    run(main())


def test_a_wish_that_the_server_refuses_raises_at_the_entry() -> None:
    async def script(server: Told) -> None:
        while (event := await server.hear())["type"] != "response.create":
            pass
        error = {"type": "invalid_request_error", "code": "no", "message": "not today"}
        await server.say({"type": "error", "error": {**error, "event_id": event["event_id"]}})

    async def main() -> None:
        async with told(script) as url, talkwire.connect(url) as connection:
            with pytest.raises(talkwire.ServerError, match="not today"):
                async with connection.stream_response():
                    pytest.fail("there is no response")

    run(main())


def test_the_end_of_the_connection_ends_the_response_with_its_reason() -> None:
    fault = {"when": {"sent": "response.output_text.delta"}, "do": {"close": 1011}}

    async def main() -> None:
        async with (
            LocalServer(faults=[fault]) as server,
            talkwire.connect(server.url, session=TEXT, **ONE_LINK) as connection,
        ):
            await connection.conversation.item.create(item=user("one two three"))
            async with connection.stream_response() as answer:
                with pytest.raises(talkwire.ConnectionClosedError) as caught:
                    async for _ in answer.text:
                        pass
                assert caught.value.end is not None and caught.value.end.code == 1011

    run(main())


def test_a_response_that_is_cut_by_a_loss_is_cancelled_and_the_connection_goes_on() -> None:
    fault = {"when": {"sent": "response.output_text.delta"}, "do": {"close": 1011}}

    async def main() -> None:
        async with (
            LocalServer(faults=[fault]) as server,
            talkwire.connect(server.url, session=TEXT) as connection,
        ):
            await connection.conversation.item.create(item=user("one two three"))
            async with asyncio.timeout(PATIENCE_S), connection.stream_response() as answer:
                assert [text async for text in answer.text] == ["one "]
                final = await answer.final()
                assert final.status == "cancelled"
                assert final.status_details.reason == "link_changed"
                await until(connection, "session.recovered")

    run(main())


def test_wishes_wait_for_their_turn_and_each_gets_its_own_response() -> None:
    async def ask(connection: talkwire.Connection, text: str) -> str:
        override = {"input": [user(text)], "conversation": "none"}
        async with connection.stream_response(response=override) as answer:
            return "".join([piece async for piece in answer.text])

    async def main() -> None:
        async with LocalServer(profile="openai") as server:
            async with (
                asyncio.timeout(PATIENCE_S),
                talkwire.connect(server.url, dialect="openai", session=TEXT) as connection,
            ):
                asked = [f"question {number}" for number in range(5)]
                answers = await asyncio.gather(*(ask(connection, text) for text in asked))
                assert answers == asked

    run(main())


def test_a_storm_of_timeouts_loses_no_piece() -> None:
    rest = random.Random(3)

    async def script(server: Told) -> None:
        await wish(server)
        await server.say(created("r1"))
        for number in range(PIECES):
            await server.say(delta("r1", f"{number} "))
            # Of another response, or of none.
            await server.say(delta("r0", "no "))
            if rest.random() < 0.1:
                await asyncio.sleep(0.001)
        await server.say(done("r1"))

    async def main() -> None:
        async with told(script) as url, talkwire.connect(url) as connection:
            seen: list[str] = []
            async with connection.stream_response() as answer:
                while len(seen) < PIECES:
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(rest.random() * 0.002):
                            seen.append(await anext(answer.text))
                assert (await answer.final()).status == "completed"
            assert seen == [f"{number} " for number in range(PIECES)]

    run(main())


def test_a_stream_that_nobody_entered_asks_for_nothing() -> None:
    async def main() -> None:
        async with LocalServer(journal=True) as server:
            async with talkwire.connect(server.url, session=TEXT) as connection:
                assert "not begun" in repr(connection.stream_response())
                await say_text(connection, "hello")
                await until(connection, "response.done")
            names = [entry["name"] for entry in server.journal() if entry["from"] == "client"]
            assert names.count("response.create") == 1

    run(main())
