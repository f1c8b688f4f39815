"""A hundred conversations at once on one event loop, and how long the first word takes.

python many_calls.py [--url URL] [--calls NUMBER]; without --url with a local server.
"""

import argparse
import asyncio
import contextlib
import random
import statistics
import time

import talkwire
from talkwire.testing import LocalServer

SESSION = {"type": "realtime", "output_modalities": ["text"]}


async def call(url: str, number: int) -> float:
    """One conversation, as soon as the server takes one more; the seconds from the question to the
    first word of its answer."""
    while True:
        try:
            return await conversation(url, number)
        except talkwire.RateLimitedError:
            await asyncio.sleep(random.random())


async def conversation(url: str, number: int) -> float:
    async with talkwire.connect(url, session=SESSION) as connection:
        content = [{"type": "input_text", "text": f"I am caller {number}."}]
        await connection.conversation.item.create(
            item={"type": "message", "role": "user", "content": content}
        )
        asked = time.monotonic()
        async with connection.stream_response() as answer:
            await anext(answer.text)
            first_s = time.monotonic() - asked
            await answer.final()
    return first_s


async def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--url")
    parser.add_argument("--calls", type=int, default=100)
    given = parser.parse_args()
    async with contextlib.AsyncExitStack() as stack:
        url = (
            given.url
            or (await stack.enter_async_context(LocalServer(max_sessions=given.calls))).url
        )
        began = time.monotonic()
        async with asyncio.TaskGroup() as group:
            calls = [group.create_task(call(url, number)) for number in range(given.calls)]
        took_s = time.monotonic() - began
    first = sorted(call.result() * 1_000 for call in calls)
    print(f"{len(first)} calls in {took_s:.1f} s; the first word after")
    print(f"{statistics.median(first):.0f} ms in the middle, {first[-1]:.0f} ms at most")


asyncio.run(main())
