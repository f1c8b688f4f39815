"""Mistakes that every type checker finds: each in a line that says so, and nothing else."""

from __future__ import annotations

import talkwire
from talkwire import events, sync


async def mistakes(url: str) -> None:
    talkwire.connect(url, ping_ms="often")  # wrong
    talkwire.connect(url, no_such_option=1)  # wrong
    talkwire.connect(url, barge_in={"policy": "never"})  # wrong
    talkwire.connect(url, fallbacks=[sync.connect(url)])  # wrong
    async with talkwire.connect(url) as connection:
        await connection.response.create(when_busy="later")  # wrong
        await connection.input_audio_buffer.append(audio=1)  # wrong
        await connection.input_audio_buffer.append(b"\0\0")  # wrong
        connection.subscribe("sound")  # wrong
        connection.call(prebuffer="long")  # wrong
        connection.send({"type": "response.create"}).close_it()  # wrong
        connection.recv(1.5)  # wrong
        print(connection.end.who)  # wrong
        with connection.call() as port:
            port.push(b"\0\0", track="both")  # wrong
        for _ in connection:  # wrong
            pass
        event = await connection.recv()
        if isinstance(event, events.AudioGapEvent):
            event.dropped_ms + "ms"  # wrong
        async with connection.stream_response() as answer:
            async for text in answer.text:
                text + b""  # wrong
    with sync.connect(url) as connection_of_thread:
        connection_of_thread.recv("soon")  # wrong
        async for _ in connection_of_thread:  # wrong
            pass
    talkwire.End("app")  # wrong
