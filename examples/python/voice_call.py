"""A spoken question and its spoken answer, from one WAV file to another.

voice_call.py [--url URL] [--audio IN.wav] [--save OUT.wav]; without --url with a local server.
"""

import argparse
import asyncio
import contextlib
import wave
from pathlib import Path

import talkwire
from talkwire.testing import LocalServer

CALLER = Path(__file__).parent.parent / "audio/caller.wav"
SAID = {
    "conversation.item.input_audio_transcription.completed": "transcript",
    "response.output_audio_transcript.done": "transcript",
    "response.output_text.done": "text",
}


async def answer(connection: talkwire.Connection) -> bytes:
    audio = bytearray()
    while (event := await connection.recv()).type != "response.done":
        audio += event.audio or b""
        if event.type in SAID:
            print(getattr(event, SAID[event.type]))
        elif event.type == "error":
            raise SystemExit(event.error.message)
    return bytes(audio)


async def main() -> None:
    parser = argparse.ArgumentParser()
    for name, default in (("--url", None), ("--audio", CALLER), ("--save", None)):
        parser.add_argument(name, default=default)
    given = parser.parse_args()
    with wave.open(str(given.audio), "rb") as wav:
        rate_hz, pcm = wav.getframerate(), wav.readframes(wav.getnframes())
    side = {"format": {"type": "audio/pcm", "rate": rate_hz}}
    # The program says where the turn ends; with turn_detection the server would.
    audio = {"input": {**side, "turn_detection": None}, "output": side}
    session = {"type": "realtime", "output_modalities": ["audio"], "audio": audio}
    async with contextlib.AsyncExitStack() as stack:
        url = given.url or (await stack.enter_async_context(LocalServer())).url
        call = await stack.enter_async_context(talkwire.connect(url, session=session))
        for start in range(0, len(pcm), rate_hz // 25):  # 20 ms of 16-bit samples
            await call.input_audio_buffer.append(audio=pcm[start : start + rate_hz // 25])
        await call.input_audio_buffer.commit()
        await call.response.create()
        spoken = await answer(call)
    print(f"{len(spoken) / 2 / rate_hz:.1f} s of answer")
    if given.save:
        with wave.open(given.save, "wb") as wav:
            wav.setparams((1, 2, rate_hz, 0, "NONE", ""))
            wav.writeframes(spoken)


asyncio.run(main())
