"""Readers of a part of what a connection tells."""

from __future__ import annotations

import asyncio
import gc
import json
import warnings

import pytest
import talkwire
from helpers import run, say_text, until
from talkwire import events
from talkwire.testing import LocalServer

PATIENCE_S = 30
NO_TURNS = {"audio": {"input": {"turn_detection": None}}}


def test_each_reader_is_told_its_topics() -> None:
    async def words(subscription: talkwire.Subscription) -> str:
        return "".join([e.delta async for e in subscription if e.type.endswith("transcript.delta")])

    async def main() -> None:
        with LocalServer(profile="openai") as server:
            async with (
                asyncio.timeout(PATIENCE_S),
                talkwire.connect(
                    server.url, dialect="openai", session=NO_TURNS, topics=["control"]
                ) as connection,
            ):
                reader = asyncio.create_task(words(connection.subscribe("transcript")))
                sound = connection.subscribe("audio")
                await say_text(connection, "good day")
                seen = await until(connection, "response.done")
                assert all(e.audio is None and "delta" not in e.type for e in seen)
                assert (await sound.recv()).audio
                assert sound.backlog.dropped_ms == 0
            assert await reader == "good day"
            assert sound.end and sound.end.expected

    run(main())


def test_frames_are_told_in_both_directions() -> None:
    async def main() -> None:
        with LocalServer(profile="openai") as server:
            async with (
                asyncio.timeout(PATIENCE_S),
                talkwire.connect(server.url, dialect="openai", session=NO_TURNS) as connection,
            ):
                with connection.subscribe("raw") as wire:
                    await say_text(connection, "good day")
                    await until(connection, "response.done")
                frames = [frame async for frame in wire]
                assert all(isinstance(frame, events.WireFrameEvent) for frame in frames)
                sent = [json.loads(f.text)["type"] for f in frames if f.is_sent]
                assert sent == ["conversation.item.create", "response.create"]
                assert any("response.done" in f.text for f in frames if not f.is_sent)

    run(main())


def test_a_slow_subscription_ends_alone() -> None:
    async def main() -> None:
        with LocalServer() as server:
            async with (
                asyncio.timeout(PATIENCE_S),
                talkwire.connect(server.url, session=NO_TURNS) as connection,
            ):
                slow = connection.subscribe("control", max_events=2)
                await say_text(connection, "good day")
                await until(connection, "response.done")
                with pytest.raises(talkwire.ConnectionClosedError) as caught:
                    async for _ in slow:
                        pass
                assert caught.value.end and caught.value.end.why == "slow_reader"
                assert connection.end is None
                with pytest.raises(talkwire.RealtimeError):
                    connection.subscribe()

    run(main())


def test_a_cancelled_wait_loses_no_event_and_nothing_is_left_behind() -> None:
    async def main() -> None:
        with LocalServer() as server:
            async with (
                asyncio.timeout(PATIENCE_S),
                talkwire.connect(server.url, session=NO_TURNS) as connection,
            ):
                words = connection.subscribe("transcript")
                for _ in range(20):
                    waiting = asyncio.create_task(words.recv())
                    await asyncio.sleep(0)
                    waiting.cancel()
                    await asyncio.gather(waiting, return_exceptions=True)
                two = [asyncio.create_task(words.recv()) for _ in range(2)]
                await asyncio.sleep(0)
                await say_text(connection, "good day")
                await until(connection, "response.done")
                heard = [await task for task in two]
                words.close()
                heard += [event async for event in words]
                text = "".join(e.delta for e in heard if e.type.endswith(".delta"))
                assert text == "good day"
                del words, two, heard

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        run(main())
        gc.collect()
