"""A live call as a telephone or a sound card makes it: a thread with a clock of its own gives 20 ms
of sound and takes 20 ms, while the program reads events.

live_call.py [--url URL]; without --url with a local server.
"""

import argparse
import asyncio
import contextlib
import threading
import time
import wave
from pathlib import Path

import talkwire
from talkwire.testing import LocalServer

CALLER = Path(__file__).parent.parent / "audio/caller.wav"
RATE_HZ = 24_000
FRAME = RATE_HZ // 50  # 20 ms
SAID_S = 5  # the first sentence of the file


class Line(threading.Thread):
    """What a driver of a microphone and a loudspeaker does: by its own clock, never waiting."""

    def __init__(self, call: talkwire.Call, said: memoryview) -> None:
        super().__init__(daemon=True)
        self.call, self.said = call, said
        self.heard = 0
        self.hung_up = threading.Event()

    def run(self) -> None:
        due = time.monotonic()
        at = 0
        while not self.hung_up.is_set():
            if at < len(self.said):
                self.call.push(self.said[at : at + FRAME])  # a numpy array of int16 will do, too
                at += FRAME
            _played, real = self.call.pull(FRAME)
            self.heard += real
            due += 0.02
            time.sleep(max(0.0, due - time.monotonic()))


async def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--url")
    given = parser.parse_args()
    with wave.open(str(CALLER), "rb") as wav:
        assert wav.getframerate() == RATE_HZ
        said = memoryview(wav.readframes(SAID_S * RATE_HZ)).cast("h")
    pcm = {"format": {"type": "audio/pcm", "rate": RATE_HZ}}
    vad = {"type": "server_vad", "silence_duration_ms": 500}
    session = {
        "output_modalities": ["audio"],
        "audio": {"input": {**pcm, "turn_detection": vad}, "output": pcm},
    }
    async with contextlib.AsyncExitStack() as stack:
        url = given.url or (await stack.enter_async_context(LocalServer())).url
        connection = await stack.enter_async_context(talkwire.connect(url, session=session))
        with connection.call() as call:
            line = Line(call, said)
            line.start()
            async for event in connection:
                if event.type == "turn.timeline":
                    print(
                        f"the agent answers {event.first_heard_ms - event.speech_stop_ms} ms later"
                    )
                elif event.type == "barge_in.confirmed":
                    print("the customer interrupts")
                elif event.type == "response.done":
                    break
            while call.stats.depth or call.stats.queued_ms:
                await asyncio.sleep(0.02)
            line.hung_up.set()
            line.join()
        tokens = connection.usage
    print(f"{line.heard / RATE_HZ:.1f} s were heard, {tokens.output_tokens} tokens written")


asyncio.run(main())
