"""A program that every type checker accepts: what the types promise."""

from __future__ import annotations

import array
from collections.abc import AsyncIterator, Iterator
from typing import assert_type

import numpy as np
import talkwire
from talkwire import events, sync
from talkwire.testing import LocalServer


async def talk(url: str) -> str:
    said = ""
    async with talkwire.connect(url, session={"type": "realtime"}, ping_ms=5_000) as connection:
        assert_type(connection, talkwire.Connection)
        await connection.input_audio_buffer.append(audio=b"\0\0")
        await connection.input_audio_buffer.append(audio=bytearray(2))
        await connection.input_audio_buffer.append(audio=memoryview(b"\0\0"))
        await connection.input_audio_buffer.append(audio=array.array("h", [0]))
        await connection.input_audio_buffer.append(audio=np.zeros(160, np.int16))
        await connection.response.create(when_busy="merge")

        @connection.tool
        async def weather(city: str) -> str:
            return city

        assert_type(await weather("Oslo"), str)

        @connection.tool(timeout_ms=500)
        def time_of_day() -> int:
            return 12

        assert_type(time_of_day(), int)
        async with connection.stream_response() as answer:
            assert_type(answer.text, AsyncIterator[str])
            assert_type(answer.audio, AsyncIterator[bytes])
            async for text in answer.text:
                said += text
            assert_type(await answer.final(), talkwire.Object)
        async for event in connection:
            assert_type(event, talkwire.Event)
            match event:
                case events.ResponseOutputTextDeltaEvent(delta=delta):
                    said += delta
                case events.AudioGapEvent(item_id, dropped_ms):
                    said += item_id * dropped_ms
                case events.UnknownEvent():
                    said += event.type
                case _:
                    pass
        end = connection.end
        assert_type(end, talkwire.End | None)
    return said


def call(url: str) -> None:
    with LocalServer(brain="echo") as server, sync.connect(server.url or url) as connection:
        assert_type(connection.recv(1.5), talkwire.Event)
        with connection.stream_response() as answer:
            assert_type(answer.text, Iterator[str])
        with connection.call(prebuffer_ms=40) as port:
            assert_type(port.push(b"\0\0", track="agent"), int)
            assert_type(port.pull(80), tuple[bytes, int])
            assert_type(port.stats.underruns, int)
        with connection.subscribe("audio", "control", max_bytes=1_000) as subscription:
            for event in subscription:
                assert_type(event.audio, bytes | None)
    try:
        sync.connect(url, fallbacks=[sync.connect(url)]).enter(2.5)
    except talkwire.RealtimeError as error:
        assert_type(error.code, str | None)
        assert_type(error.retryable, bool)
