"""What was said is what arrived: telephone digits go there and come back, sample path included.

The tones are made and recognised here, independently of the library's own.
"""

from __future__ import annotations

import array
import math
from typing import Any

import talkwire
from helpers import run, until
from talkwire.testing import LocalServer

RATE_HZ = 24_000
ROWS_HZ, COLUMNS_HZ = (697, 770, 852, 941), (1209, 1336, 1477)
KEYS = ("123", "456", "789", "*0#")
FRAME = RATE_HZ // 50


def tones(digits: str) -> bytes:
    """Each digit for 100 ms, after 100 ms of silence."""
    samples = array.array("h")
    for digit in digits:
        row = next(i for i, keys in enumerate(KEYS) if digit in keys)
        pair = (ROWS_HZ[row], COLUMNS_HZ[KEYS[row].index(digit)])
        samples.extend([0] * (RATE_HZ // 10))
        samples.extend(
            int(8_000 * sum(math.sin(2 * math.pi * hz * i / RATE_HZ) for hz in pair))
            for i in range(RATE_HZ // 10)
        )
    samples.extend([0] * (RATE_HZ // 10))
    return samples.tobytes()


def power(frame: array.array[int], hz: int) -> float:
    """Goertzel's algorithm."""
    factor, before, last = 2 * math.cos(2 * math.pi * hz / RATE_HZ), 0.0, 0.0
    for sample in frame:
        before, last = last, sample + factor * last - before
    return last * last + before * before - factor * last * before


def digit_of(frame: array.array[int]) -> str | None:
    """The digit of a frame in which two tones hold most of the energy."""
    rows = [power(frame, hz) for hz in ROWS_HZ]
    columns = [power(frame, hz) for hz in COLUMNS_HZ]
    energy = sum(s * s for s in frame) * len(frame) / 2
    if energy < len(frame) ** 2 * 1e4 or max(rows) + max(columns) < energy * 0.8:
        return None
    return KEYS[rows.index(max(rows))][columns.index(max(columns))]


def digits_of(pcm: bytes) -> str:
    """The digits of an answer, each once however long it sounds."""
    samples = array.array("h", pcm)
    starts = range(0, len(samples) - FRAME + 1, FRAME)
    frames = [digit_of(samples[i : i + FRAME]) for i in starts]
    return "".join(b for a, b in zip([None, *frames], frames, strict=False) if b and a != b)


def test_the_tones_of_this_test_can_be_told_apart() -> None:
    assert digits_of(tones("1159*0#")) == "1159*0#"
    assert digits_of(bytes(48_000)) == ""


def test_digits_arrive_once_and_in_order_and_come_back_once_and_in_order() -> None:
    digits = "1593570286#*4"
    pcm = tones(digits)

    async def main() -> list[Any]:
        async with (
            LocalServer(profile="openai", brain="echo", ears="dtmf", voice="dtmf") as server,
            talkwire.connect(
                server.url,
                dialect="openai",
                session={
                    "type": "realtime",
                    "output_modalities": ["audio"],
                    "audio": {
                        "input": {"turn_detection": None, "transcription": {"model": "whisper-1"}}
                    },
                },
            ) as connection,
        ):
            for start in range(0, len(pcm), 960):
                await connection.input_audio_buffer.append(audio=pcm[start : start + 960])
            await connection.input_audio_buffer.commit()
            await connection.response.create()
            return await until(connection, "response.done")

    events = run(main())
    kind = "conversation.item.input_audio_transcription.completed"
    assert [e.transcript for e in events if e.type == kind] == [" ".join(digits)]
    assert digits_of(b"".join(e.audio for e in events if e.audio)) == digits
