"""Recordings and transcripts."""

from __future__ import annotations

import array
import asyncio
import json
import threading
import wave
from pathlib import Path
from typing import Any

import pytest
import talkwire
from helpers import Between, run
from talkwire.testing import LocalServer

PCM_8K = {"type": "audio/pcm", "rate": 8_000}
PATIENCE_S = 30


def test_what_was_pushed_is_in_the_file_when_the_connection_is_closed(tmp_path: Path) -> None:
    said = array.array("h", range(1, 1_601))
    path = tmp_path / "call.wav"

    async def main() -> None:
        with LocalServer() as server:
            session = {"audio": {"input": {"turn_detection": None}}}
            async with (
                asyncio.timeout(PATIENCE_S),
                talkwire.connect(server.url, session=session) as connection,
            ):
                recorder = await connection.record(path, rate_hz=8_000)
                call = connection.call(uplink=PCM_8K, downlink=PCM_8K)
                assert call.push(said) == len(said)
                with pytest.raises(talkwire.ArgumentError):
                    await connection.record(tmp_path / "another.wav")
                assert recorder.rate_hz == 8_000

    run(main())
    with wave.open(str(path)) as file:
        assert (file.getframerate(), file.getnchannels()) == (8_000, 2)
        samples = array.array("h", file.readframes(file.getnframes()))
    assert [sample for sample in samples[::2] if sample] == list(said)
    notes = json.loads(path.with_suffix(".json").read_text())
    assert notes["end"]["expected"] and notes["rate_hz"] == 8_000


def test_a_recording_that_cannot_begin_raises_and_one_that_is_stopped_is_complete(
    tmp_path: Path,
) -> None:
    async def main() -> None:
        with LocalServer() as server:
            async with asyncio.timeout(PATIENCE_S), talkwire.connect(server.url) as connection:
                with pytest.raises(talkwire.FileError):
                    await connection.record(tmp_path / "missing" / "call.wav")
                recorder = await connection.record(tmp_path / "call.wav")
                await recorder.stop()
                assert json.loads(recorder.notes_path.read_text())["end"] is None
                await (await connection.record(tmp_path / "again.wav")).stop()

    run(main())


def test_a_conversation_is_written_down_in_three_forms() -> None:
    async def main() -> None:
        with LocalServer() as server:
            session = {"output_modalities": ["text"]}
            connected = talkwire.connect(server.url, session=session)
            async with asyncio.timeout(PATIENCE_S), connected as connection:
                part = {"type": "input_text", "text": "a --> b"}
                item = {"type": "message", "role": "user", "content": [part]}
                await connection.conversation.item.create(item=item)
                await connection.response.create()
                async for event in connection:
                    if event.type == "response.done":
                        break
                segments = json.loads(connection.transcript())["segments"]
                assert [s["role"] for s in segments] == ["customer", "agent"]
                assert "<v customer>a --&gt; b</v>" in connection.transcript("vtt")
                assert "customer: a -> b\n" in connection.transcript("srt")
                with pytest.raises(talkwire.ArgumentError):
                    connection.transcript("doc")  # type: ignore[arg-type]

    run(main())


def test_a_close_waits_for_a_recording_whose_beginning_was_given_up(tmp_path: Path) -> None:
    path = tmp_path / "call.wav"
    begun, go_on = threading.Event(), threading.Event()

    async def main() -> None:
        async with asyncio.timeout(PATIENCE_S), LocalServer() as server:
            connection = await talkwire.connect(server.url).enter()
            native = connection._native

            def record(file: Path, options: str) -> Any:
                recorder = native.record(file, options)
                begun.set()
                go_on.wait()
                return recorder

            connection._native = Between(native, record=record)  # type: ignore[assignment]
            recording = asyncio.create_task(connection.record(path))
            await asyncio.to_thread(begun.wait)
            recording.cancel()
            with pytest.raises(asyncio.CancelledError):
                await recording
            go_on.set()
            await connection.close()
            assert connection._recorder is not None

    run(main())
    assert json.loads(path.with_suffix(".json").read_text())["end"]["expected"]


def test_a_close_that_is_cancelled_after_the_end_lets_go_of_the_loop(tmp_path: Path) -> None:
    go_on = threading.Event()

    async def main() -> None:
        async with asyncio.timeout(PATIENCE_S), LocalServer() as server:
            connection = await talkwire.connect(server.url).enter()

            def record(file: Path, options: str) -> Any:
                go_on.wait()
                raise talkwire.FileError("no such folder")

            native = connection._native
            connection._native = Between(native, record=record)  # type: ignore[assignment]
            recording = asyncio.create_task(connection.record(tmp_path / "call.wav"))
            await asyncio.sleep(0)
            closing = asyncio.create_task(connection.close())
            while connection.end is None or connection._reader._fd is not None:
                await asyncio.sleep(0)
            closing.cancel()
            with pytest.raises(asyncio.CancelledError):
                await closing
            assert not connection._is_watched
            go_on.set()
            with pytest.raises(talkwire.FileError):
                await recording
            await connection.close()

    run(main())
