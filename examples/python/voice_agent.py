"""A voice agent that takes orders: it speaks, and calls functions of this program.

    python voice_agent.py [--url URL]

Without --url it talks to a local server whose brain is written here, too, in place of a model.
"""

import argparse
import asyncio
import contextlib
import wave
from pathlib import Path
from typing import Annotated

import talkwire
from talkwire.testing import LocalServer, Piece, ToolCall, Turn

CALLER = Path(__file__).parent.parent / "audio/caller-en.wav"
SAID_S = 5  # the first sentence of the file
SAID = {
    "response.output_audio_transcript.done": "transcript",
    "response.output_text.done": "text",
}
PRICES = {"margherita": 600, "pepperoni": 700}
SESSION = {
    "type": "realtime",
    "instructions": "You take orders for pizza. Look prices up, never guess them.",
    "output_modalities": ["audio"],
    "audio": {"input": {"turn_detection": None}},
}


def add_tools(connection: talkwire.Connection) -> None:
    """What the model may call: schema and description come from the function."""

    @connection.tool
    def price(pizza: Annotated[str, "Name of the pizza, in lower case."]) -> str:
        """The price of a pizza in roubles."""
        print(f"(looks up {pizza})")
        return str(PRICES.get(pizza, "there is no such pizza"))


async def brain(turn: Turn) -> Piece:
    """Stands in for the model."""
    if turn.outputs:
        return f"One margherita, {turn.outputs[0].output} roubles."
    return ToolCall("price", {"pizza": "margherita"})


async def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--url")
    given = parser.parse_args()
    with wave.open(str(CALLER), "rb") as wav:
        said = wav.readframes(SAID_S * wav.getframerate())
    async with contextlib.AsyncExitStack() as stack:
        url = given.url or (await stack.enter_async_context(LocalServer(brain=brain))).url
        connection = await stack.enter_async_context(talkwire.connect(url, session=SESSION))
        add_tools(connection)
        await connection.input_audio_buffer.append(audio=said)
        await connection.input_audio_buffer.commit()
        await connection.response.create()
        heard_ms = 0
        async for event in connection:
            heard_ms += event.audio_ms
            if event.type in SAID:
                print(getattr(event, SAID[event.type]))
            elif event.type == "response.done" and not calls(event.response):
                break
    print(f"{heard_ms / 1000:.1f} s of answer")


def calls(response: talkwire.Object) -> bool:
    """Whether a response calls functions: then another one follows."""
    return any(item.type == "function_call" for item in response.output or [])


asyncio.run(main())
