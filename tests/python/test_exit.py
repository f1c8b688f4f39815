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

# What passes the first connections on to the server, and answers no later one; on threads, as tasks
# of the loop would have an end of their own to tell of.
DOOR = (
    START
    + """
import socket
class Door:
    def __init__(self, passes):
        self.passes, self.came = passes, threading.Semaphore(0)
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.url = "ws://127.0.0.1:%d/v1/realtime" % self.socket.getsockname()[1]
        self.held = []
        threading.Thread(target=self.run, daemon=True).start()
    async def until_came(self, number):
        for _ in range(number):
            await asyncio.to_thread(self.came.acquire)
    def run(self):
        while True:
            client, _ = self.socket.accept()
            self.held.append(client)
            if len(self.held) <= self.passes:
                port = int(server.url.split(":")[2].split("/")[0])
                away = socket.create_connection(("127.0.0.1", port))
                threading.Thread(target=self.carry, args=(client, away), daemon=True).start()
                threading.Thread(target=self.carry, args=(away, client), daemon=True).start()
            self.came.release()
    def carry(self, there, here):
        try:
            while data := there.recv(65536):
                here.sendall(data)
            here.shutdown(socket.SHUT_WR)
        except OSError:
            pass
patient = {"handshake_timeout_ms": 600_000, "greeting_timeout_ms": 600_000}
forever = {"recovery": {"budget_ms": 600_000, "delay_ms": 50, "delay_max_ms": 50}, **patient}
async def until(connection, name):
    while (await connection.recv()).type != name:
        pass
"""
)

# In a daemon thread, which the end of the program takes by surprise.
DAEMON = """
there = threading.Event()
threading.Thread(target=lambda: asyncio.run(main()), daemon=True).start()
there.wait()
"""

LOST = """
async def main():
    global connection
    connection = await talkwire.connect(server.url, session=text, **forever).enter()
    await ask(connection)
    await until(connection, "response.done")
    server.kill()
    await until(connection, "session.lost")
"""

ROLLING = """
server = LocalServer(lifetime_ms=4_000).start()
async def main():
    global connection
    door = Door(passes=1)
    connection = await talkwire.connect(door.url, session=text, **forever).enter()
    await door.until_came(2)
"""

CALLED = """
server = LocalServer(script={"turns": [
    {"when": {"user": "any"}, "call": {"name": "look_up", "arguments": {}}}]}).start()
async def main():
    global connection
    connection = await talkwire.connect(server.url, session=text).enter()
    connection.tool(look_up)
    await ask(connection)
    await asyncio.to_thread(is_called.wait)
is_called = threading.Event()
"""

SYNC = (
    START
    + """
connection = talkwire.sync.connect(server.url, session=text).enter()
connection.conversation.item.create(item=item)
connection.response.create()
"""
)

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
    "dialling": DOOR + """
async def main():
    door = Door(passes=0)
    opening = asyncio.ensure_future(talkwire.connect(door.url, **patient).enter())
    await door.until_came(1)
    sys.exit(0)
asyncio.run(main())
""",
    "dialling in a daemon thread": DOOR + """
async def main():
    door = Door(passes=0)
    opening = asyncio.ensure_future(talkwire.connect(door.url, **patient).enter())
    await door.until_came(1)
    there.set()
    await opening
""" + DAEMON,
    "after a loss": DOOR + LOST + "asyncio.run(main())",
    "after a loss, in a block": DOOR + """
async def main():
    async with talkwire.connect(server.url, session=text, **forever) as connection:
        server.kill()
        await until(connection, "session.lost")
        sys.exit(0)
asyncio.run(main())
""",
    "after a loss, in a daemon thread": DOOR + LOST + """
    there.set()
    await connection.recv()
""" + DAEMON,
    "dialling the next link": DOOR + ROLLING + "asyncio.run(main())",
    "dialling the next link, in a daemon thread": DOOR + ROLLING + """
    there.set()
    await connection.recv()
""" + DAEMON,
    "after a change of links": DOOR + """
server = LocalServer(lifetime_ms=4_000).start()
async def main():
    global connection
    connection = await talkwire.connect(server.url, session=text).enter()
    await until(connection, "session.rolled")
asyncio.run(main())
""",
    # Handlers run last first: this one looks at the file when the package is done.
    "with a call that is recorded": """
import atexit, os, tempfile, wave
folder = tempfile.TemporaryDirectory()
path = os.path.join(folder.name, "call.wav")
@atexit.register
def look():
    with wave.open(path) as file:
        assert (file.getframerate(), file.getnchannels()) == (8_000, 2)
        assert file.getnframes() >= 4_000
""" + START + """
pcm = {"type": "audio/pcm", "rate": 8_000}
async def main():
    global connection, recorder, call
    connection = await talkwire.connect(server.url).enter()
    recorder = await connection.record(path, rate_hz=8_000)
    call = connection.call(uplink=pcm, downlink=pcm)
    call.push(bytes(8_000))
    while not connection.stats.audio_sent_ms:
        await asyncio.sleep(0)
asyncio.run(main())
""",
    "with a media thread": DOOR + """
pcm = {"type": "audio/pcm", "rate": 8_000}
def pump():
    try:
        while True:
            call.push(bytes(320))
            call.pull(160)
            there.set()
    except talkwire.RealtimeError:
        # The session ends while the interpreter does.
        pass
async def main():
    global connection, call
    connection = await talkwire.connect(server.url).enter()
    call = connection.call(uplink=pcm, downlink=pcm)
    threading.Thread(target=pump, daemon=True).start()
there = threading.Event()
asyncio.run(main())
there.wait()
""",
    "with a tool that runs": DOOR + CALLED + """
async def look_up():
    is_called.set()
    await asyncio.get_running_loop().create_future()
asyncio.run(main())
""",
    # The interpreter waits for its threads, as for those of any other program.
    "with a tool that blocks": DOOR + CALLED + """
def look_up():
    is_called.set()
    over.wait(0.5)
over = threading.Event()
asyncio.run(main())
""",
    "closing": DOOR + """
server = LocalServer(faults=[
    {"when": {"received": "input_audio_buffer.clear"}, "do": "hang"}]).start()
async def main():
    global connection
    connection = await talkwire.connect(server.url, close_timeout_ms=600_000).enter()
    await connection.input_audio_buffer.clear()
    closing = asyncio.ensure_future(connection.close())
    await asyncio.sleep(0)
    sys.exit(0)
asyncio.run(main())
""",
    "in a response": DOOR + """
async def main():
    async with talkwire.connect(server.url, session=text) as connection:
        await connection.conversation.item.create(item=item)
        async with connection.stream_response() as answer:
            async for _ in answer.text:
                sys.exit(0)
asyncio.run(main())
""",
    "with a brain that thinks": DOOR + """
from talkwire.testing import LocalServer
async def main():
    global connection
    asked = asyncio.Event()
    async def brain(turn):
        asked.set()
        await asyncio.get_running_loop().create_future()
    server = LocalServer(brain=brain).start()
    connection = await talkwire.connect(server.url, session=text).enter()
    await ask(connection)
    await asked.wait()
    sys.exit(0)
asyncio.run(main())
""",
    "in a thread": SYNC,
    "waiting in a thread": SYNC + """
there = threading.Event()
def wait():
    there.set()
    while True:
        connection.recv()
threading.Thread(target=wait, daemon=True).start()
there.wait()
""",
    "in a block of a daemon thread": SYNC + """
there = threading.Event()
def talk():
    with talkwire.sync.connect(server.url, session=text) as other:
        there.set()
        for event in other:
            pass
threading.Thread(target=talk, daemon=True).start()
there.wait()
""",
    "with tools and credentials in threads": SYNC + """
other = talkwire.sync.connect(server.url, session=text, api_key=lambda: "key").enter()
other.tool(lambda: "", name="idle")
""",
}  # fmt: skip


@pytest.mark.timeout(300)
@pytest.mark.parametrize("stage", STAGES)
def test_the_interpreter_exits_cleanly(stage: str) -> None:
    for _ in range(RUNS):
        command = [sys.executable, "-W", "ignore::ResourceWarning", "-c", STAGES[stage]]
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
        assert (done.returncode, done.stderr) == (0, "")
