"""The media port: a host with a clock of its own pushes and pulls."""

from __future__ import annotations

import array
import asyncio
import math
import threading
from typing import Any

import numpy as np
import pytest
import talkwire
from helpers import run
from talkwire.testing import LocalServer

LAW: dict[str, Any] = {"type": "audio/pcma"}
PCM_8K: dict[str, Any] = {"type": "audio/pcm", "rate": 8_000}
FRAME_S = 0.02
PATIENCE_S = 30


def speech(ms: int) -> array.array[int]:
    """What a voice detector takes for speech: a buzz of many harmonics."""
    wave = (
        sum(math.sin(2 * math.pi * 140 * n * i / 8_000) / n for n in range(1, 20))
        for i in range(8 * ms)
    )
    return array.array("h", (int(5_000 * sample) for sample in wave))


class Host(threading.Thread):
    """Pushes what is said and pulls, frame by frame, from a thread of its own."""

    def __init__(self, call: talkwire.Call, said: array.array[int]) -> None:
        super().__init__(daemon=True)
        self.call, self.said = call, said
        self.heard = array.array("h")
        self.stop = threading.Event()

    def run(self) -> None:
        frames = [self.said[i : i + 160] for i in range(0, len(self.said), 160)]
        while not self.stop.wait(FRAME_S):
            if frames:
                frame = frames.pop(0)
                assert self.call.push(frame) == len(frame)
            audio, real = self.call.pull(160)
            assert len(audio) == 320 and not any(audio[2 * real :])
            self.heard.frombytes(audio[: 2 * real])


def test_a_host_in_a_thread_is_answered_by_what_it_said() -> None:
    async def main() -> None:
        with LocalServer(brain="loop", profile="openai") as server:
            session = {"audio": {"input": {"turn_detection": None}}}
            connected = talkwire.connect(server.url, dialect="openai", session=session)
            async with connected as connection:
                call = connection.call(uplink=PCM_8K, downlink=PCM_8K)
                host = Host(call, speech(600))
                host.start()
                async with asyncio.timeout(PATIENCE_S):
                    while call.stats.pushed < len(host.said) or call.stats.inserted < 800:
                        await asyncio.sleep(FRAME_S)
                    await connection.input_audio_buffer.commit()
                    await connection.response.create()
                    samples = 0
                    async for event in connection:
                        samples += len(event.audio or b"") // 2
                        if event.type == "response.done":
                            break
                    assert samples >= 24 * 600
                    while call.stats.pulled < (samples + 1) // 3:
                        await asyncio.sleep(FRAME_S)
                    while call.position != (1, samples // 24):
                        await asyncio.sleep(FRAME_S)
                host.stop.set()
                host.join()
                assert len(host.heard) == (samples + 1) // 3
                assert max(host.heard) > 2_000
                call.detach()
                with pytest.raises(talkwire.ConnectionClosed):
                    call.push(host.said)

    run(main())


def test_buffers_of_every_kind_go_in_and_out() -> None:
    async def main() -> None:
        with LocalServer() as server:
            async with talkwire.connect(server.url) as connection:
                with connection.call(uplink=PCM_8K, downlink=LAW, tracks="two") as call:
                    samples = array.array("h", [1, 2, 3])
                    for audio in (samples, samples.tobytes(), memoryview(samples)):
                        assert call.push(audio) == 3
                    assert call.push(bytearray(8), track="agent") == 4
                    out = bytearray(b"\x11" * 5)
                    assert call.pull_into(out) == 0
                    assert out == b"\xd5" * 5
                    assert call.pull(0) == (b"", 0)
                    assert call.pull(2) == (b"\xd5\xd5", 0)
                    assert call.position is None
                    stats = call.stats
                    assert (stats.pushed, stats.silence, stats.overrun) == (13, 7, 0)
                    with pytest.raises(talkwire.ArgumentError):
                        call.push(b"odd")
                    with pytest.raises(ValueError, match="track"):
                        call.push(b"", track="left")  # type: ignore[arg-type]
                    with pytest.raises(talkwire.ArgumentError):
                        call.played(1)
                    with pytest.raises(talkwire.ArgumentError):
                        connection.call()
                with pytest.raises(talkwire.ConfigError, match="prebufer_ms"):
                    connection.call(prebufer_ms=1)  # type: ignore[call-arg]
                with pytest.raises(talkwire.ConfigError, match="ring_ms"):
                    connection.call(ring_ms=10)
                connection.call().detach()

    run(main())


def test_arrays_of_numpy_go_in_and_out() -> None:
    async def main() -> None:
        with LocalServer() as server:
            async with talkwire.connect(server.url) as connection:
                with connection.call(uplink=PCM_8K, downlink=PCM_8K) as call:
                    samples = np.arange(480, dtype=np.int16)
                    assert call.push(samples[:160]) == 160
                    both = samples.reshape(-1, 2)
                    # One channel of two is no contiguous memory; its copy is.
                    with pytest.raises((BufferError, TypeError, ValueError)):
                        call.push(both[:, 0])
                    assert call.push(np.ascontiguousarray(both[:, 0])) == 240
                    out = np.full(160, 7, dtype=np.int16)
                    assert call.pull_into(out) == 0
                    assert not out.any()
                    audio, _ = call.pull(160)
                    assert np.frombuffer(audio, dtype=np.int16).shape == (160,)
                    assert call.push(np.zeros(80, np.float32)) == 80
                    with pytest.raises(TypeError):
                        call.pull_into(np.zeros(80, np.float32))
                    assert call.stats.pushed == 480
                    with pytest.raises((talkwire.ArgumentError, BufferError, TypeError)):
                        call.push(samples.astype(np.float64)[::2])

    run(main())


def test_the_options_of_a_call_are_checked_and_do_what_they_say() -> None:
    async def main() -> None:
        with LocalServer() as server:
            async with talkwire.connect(server.url) as connection:
                gate = talkwire.EchoGate(erl_db=20.0, tail_ms=100, mute=False)
                with connection.call(
                    uplink={"type": "audio/pcmu", "rate": 16_000},
                    downlink=PCM_8K,
                    comfort_noise_dbfs=-50.0,
                    fade_ms=10,
                    hold_db=20.0,
                    echo_gate=gate,
                ) as call:
                    assert call.push(b"\xff" * 320) == 320
                    with pytest.raises(talkwire.ArgumentError):
                        call.push(np.zeros(160, np.float32))
                    audio, real = call.pull(8_000)
                    assert real == 0
                    noise = np.frombuffer(audio, dtype=np.int16).astype(float)
                    level_dbfs = 20 * math.log10(math.sqrt(np.mean(noise**2)) / 32_768)
                    assert abs(level_dbfs + 50) < 3
                for wrong in (
                    {"comfort_noise_dbfs": 0.0},
                    {"echo_gate": {"erl": 3}},
                    {"fade_ms": -1},
                    {"uplink": {"type": "audio/pcmu", "rate": 1}},
                ):
                    with pytest.raises(talkwire.RealtimeError):
                        connection.call(**wrong)  # type: ignore[arg-type]

    run(main())


def test_after_the_end_a_call_says_so() -> None:
    async def main() -> None:
        with LocalServer() as server:
            async with talkwire.connect(server.url) as connection:
                call = connection.call(downlink=LAW)
            with pytest.raises(talkwire.ConnectionClosed):
                call.push(b"")
            with pytest.raises(talkwire.ConnectionClosed):
                call.pull(160)
            out = bytearray(4)
            with pytest.raises(talkwire.ConnectionClosed):
                call.pull_into(out)
            assert out == b"\xd5" * 4

    run(main())
