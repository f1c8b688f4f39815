"""A written conversation: each line is a question, each answer appears as it is made.

    python text_chat.py [--url ws://HOST:PORT/v1/realtime] [LINE ...]

Without --url it talks to a local server of its own; without lines it reads the keyboard.
"""

import argparse
import asyncio
import contextlib
import sys

import talkwire
from talkwire.testing import LocalServer

SESSION = {"type": "realtime", "output_modalities": ["text"], "instructions": "Be brief."}


async def ask(connection: talkwire.Connection, line: str) -> None:
    content = [{"type": "input_text", "text": line}]
    await connection.conversation.item.create(
        item={"type": "message", "role": "user", "content": content}
    )
    await connection.response.create()
    async for event in connection:
        if event.type == "response.output_text.delta":
            print(event.delta, end="", flush=True)
        elif event.type == "response.done":
            return print()
        elif event.type == "error":
            return print(event.error.message, file=sys.stderr)
    raise SystemExit("the conversation is over")


async def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--url")
    parser.add_argument("lines", nargs="*")
    given = parser.parse_args()
    lines = given.lines or (sys.stdin if sys.stdin.isatty() else ["Hello!"])
    async with contextlib.AsyncExitStack() as stack:
        url = given.url or (await stack.enter_async_context(LocalServer())).url
        connection = await stack.enter_async_context(talkwire.connect(url, session=SESSION))
        for line in lines:
            await ask(connection, line)


asyncio.run(main())
