"""Talks to the agent over microphone and loudspeaker, until Ctrl-C.

    python microphone.py [--url URL]

Needs `pip install sounddevice`. Without --url a local server gives back what it hears.
"""

import argparse
import asyncio
import contextlib
import sys
from typing import Any

import talkwire
from talkwire.testing import LocalServer

try:
    import sounddevice
except (ImportError, OSError) as missing:
    sys.exit(f"This example needs a sound card: pip install sounddevice ({missing})")

RATE_HZ = 24_000
FRAME = RATE_HZ // 50  # 20 ms
PCM = {"type": "audio/pcm", "rate": RATE_HZ}
SESSION = {
    "type": "realtime",
    "output_modalities": ["audio"],
    "audio": {
        "input": {"format": PCM, "turn_detection": {"type": "server_vad"}},
        "output": {"format": PCM},
    },
}


async def show(connection: talkwire.Connection) -> None:
    """What is said, and when somebody interrupts."""
    async for event in connection:
        if event.type == "conversation.item.input_audio_transcription.completed":
            print(f"you: {event.transcript}")
        elif event.type == "response.output_audio_transcript.done":
            print(f"agent: {event.transcript}")
        elif event.type == "response.output_text.done":
            print(f"agent: {event.text}")
        elif event.type == "barge_in.confirmed":
            print("(interrupted)")


async def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--url")
    given = parser.parse_args()
    async with contextlib.AsyncExitStack() as stack:
        url = given.url or (await stack.enter_async_context(LocalServer(brain="loop"))).url
        connection = await stack.enter_async_context(talkwire.connect(url, session=SESSION))
        call = stack.enter_context(
            connection.call(uplink=PCM, downlink=PCM, echo_gate={"tail_ms": 200})
        )
        over = asyncio.Event()
        loop = asyncio.get_running_loop()

        def frame(heard: Any, spoken: Any, frames: int, time: Any, status: Any) -> None:
            """Called by the sound card, in a thread of its own: neither call ever waits."""
            call.push(heard)
            call.pull_into(spoken)

        stream = sounddevice.RawStream(
            samplerate=RATE_HZ,
            blocksize=FRAME,
            channels=1,
            dtype="int16",
            callback=frame,
            finished_callback=lambda: loop.call_soon_threadsafe(over.set),
        )
        shown = asyncio.create_task(show(connection))
        with stream:
            print("Speak; Ctrl-C ends the call.")
            await over.wait()
        await connection.close()
        await shown


with contextlib.suppress(KeyboardInterrupt):
    asyncio.run(main())
