"""The script that is told in every language: a text turn, a spoken turn, a tool call, settings
changed mid-call, an error, and the close.

    e2e.py --url URL --pcm FILE

FILE is raw 16-bit little-endian mono audio of 24 kHz. Prints one line of canonical JSON for each
event received, in order, and then `END` with the end as JSON. Each step waits for the event that
proves it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
from pathlib import Path

import talkwire

SESSION = {
    "type": "realtime",
    "output_modalities": ["text"],
    "instructions": "Be brief.",
    "audio": {"input": {"turn_detection": None}},
}

VOICE = "jane"

# 20 ms of audio.
CHUNK_BYTES = 960


def say(line: str) -> None:
    print(line, flush=True)


async def until(connection: talkwire.Connection, *names: str) -> list[talkwire.Event]:
    """Prints events up to and including the first of these names, and returns them."""
    events: list[talkwire.Event] = []
    while not events or events[-1].type not in names:
        events.append(await connection.recv())
        say(events[-1].to_json())
    return events


async def ask(connection: talkwire.Connection, text: str) -> list[talkwire.Event]:
    content = [{"type": "input_text", "text": text}]
    await connection.conversation.item.create(
        item={"type": "message", "role": "user", "content": content}
    )
    await connection.response.create()
    return await until(connection, "response.done")


async def spoken_turn(connection: talkwire.Connection, pcm: bytes) -> None:
    await connection.session.update(session={"type": "realtime", "output_modalities": ["audio"]})
    await until(connection, "session.updated")
    for start in range(0, len(pcm), CHUNK_BYTES):
        await connection.input_audio_buffer.append(audio=pcm[start : start + CHUNK_BYTES])
    await connection.input_audio_buffer.commit()
    await until(connection, "input_audio_buffer.committed")
    await connection.response.create()
    await until(connection, "response.done")


async def tool_call(connection: talkwire.Connection) -> None:
    events = await ask(connection, "order")
    calls = [item for item in events[-1].response.output if item.type == "function_call"]
    if len(calls) != 1:
        raise SystemExit(f"one function call was expected, not {len(calls)}")
    output = {"type": "function_call_output", "call_id": calls[0].call_id, "output": '{"ok":true}'}
    await connection.conversation.item.create(item=output)
    await connection.response.create()
    await until(connection, "response.done")


async def change(connection: talkwire.Connection) -> None:
    await connection.session.update(
        session={
            "type": "realtime",
            "instructions": "Be kind.",
            "audio": {"output": {"voice": VOICE}},
        }
    )
    # Where the voice is fixed once it was heard, the answer is an error.
    await until(connection, "session.updated", "error")


async def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--url", required=True)
    parser.add_argument("--pcm", type=Path, required=True)
    given = parser.parse_args()
    async with talkwire.connect(given.url, session=SESSION, seed=1) as connection:
        await until(connection, "session.updated")
        await ask(connection, "hello")
        await spoken_turn(connection, given.pcm.read_bytes())
        await tool_call(connection)
        await change(connection)
        await connection.send({"type": "no.such.event", "event_id": "bad"})
        await until(connection, "error")
        await connection.close()
        # What came after the last proof.
        async for event in connection:
            say(event.to_json())
    assert connection.end is not None
    say(f"END {json.dumps(connection.end.to_dict(), ensure_ascii=False)}")


asyncio.run(main())
