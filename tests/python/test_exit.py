"""The interpreter may exit at any stage: no crash, no hang, nothing on stderr but what is due."""

from __future__ import annotations

import subprocess
import sys

import pytest
from helpers import DEEP

RUNS = 10 if DEEP else 2

START = """
import asyncio, sys, threading, talkwire
from talkwire.testing import LocalServer
server = LocalServer().start()
text = {"output_modalities": ["text"]}
item = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "hello"}]}
async def ask(connection):
    await connection.conversation.item.create(item=item)
    await connection.response.create()
"""

STAGES = {
    "imported": "import talkwire",
    "server started": START,
    "server stopped": START + "server.stop()",
    "opening": START + """
async def main():
    asyncio.ensure_future(talkwire.connect(server.url).enter())
    await asyncio.sleep(0)
    sys.exit(0)
asyncio.run(main())
""",
    "open": START + """
async def main():
    global connection
    connection = await talkwire.connect(server.url).enter()
asyncio.run(main())
""",
    "in the middle of an answer": START + """
async def main():
    global connection
    connection = await talkwire.connect(server.url, session=text).enter()
    await ask(connection)
    while (await connection.recv()).type != "response.output_text.delta":
        pass
asyncio.run(main())
""",
    "in a block": START + """
async def main():
    async with talkwire.connect(server.url, session=text) as connection:
        await ask(connection)
        async for event in connection:
            if event.type == "response.created":
                sys.exit(0)
asyncio.run(main())
""",
    "in a daemon thread": START + """
opened = threading.Event()
async def main():
    async with talkwire.connect(server.url, session=text) as connection:
        opened.set()
        while True:
            await ask(connection)
            await connection.recv()
threading.Thread(target=lambda: asyncio.run(main()), daemon=True).start()
opened.wait()
""",
    # Handlers run last first: this one gives the thread time to be told of the shutdown.
    "in a daemon thread that outlives the shutdown": """
import atexit, threading
atexit.register(lambda: thread.join(0.3))
""" + START + """
opened = threading.Event()
async def main():
    async with talkwire.connect(server.url, session=text) as connection:
        opened.set()
        await connection.recv()
        while True:
            await connection.recv()
thread = threading.Thread(target=lambda: asyncio.run(main()), daemon=True)
thread.start()
opened.wait()
""",
    "events unread": START + """
async def main():
    global connection
    connection = await talkwire.connect(server.url, session=text).enter()
    for _ in range(20):
        await ask(connection)
asyncio.run(main())
""",
    "closed": START + """
async def main():
    async with talkwire.connect(server.url, session=text) as connection:
        await ask(connection)
asyncio.run(main())
server.stop()
""",
}  # fmt: skip


@pytest.mark.timeout(300)
@pytest.mark.parametrize("stage", STAGES)
def test_the_interpreter_exits_cleanly(stage: str) -> None:
    for _ in range(RUNS):
        command = [sys.executable, "-W", "ignore::ResourceWarning", "-c", STAGES[stage]]
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
        assert (done.returncode, done.stderr) == (0, "")
