"""Other event loops and ways to run programs: uvloop, anyio, trio, notebooks; and wrong ones."""

from __future__ import annotations

import ast
import asyncio
import inspect
import random
import threading
import types
from collections.abc import Callable
from typing import Any

import anyio
import pytest
import talkwire
import trio
import uvloop
from helpers import say_text, until
from talkwire import sync
from talkwire.testing import LocalServer

TEXT = {"type": "realtime", "output_modalities": ["text"]}
PATIENCE_S = 30
TURNS = 10


async def converse(url: str) -> list[str]:
    """Some turns, with waits that are given up at random moments."""
    rest = random.Random(5)
    answers = [""]
    async with talkwire.connect(url, session=TEXT) as connection:

        @connection.tool
        async def never(x: str) -> str:
            return x

        await say_text(connection, "0")
        while True:
            try:
                async with asyncio.timeout(rest.random() * 0.002):
                    event = await connection.recv()
            except TimeoutError:
                continue
            if event.type == "response.output_text.delta":
                answers[-1] += event.delta
            elif event.type == "response.done":
                if len(answers) == TURNS:
                    break
                await say_text(connection, str(len(answers)))
                answers.append("")
        async with connection.stream_response(response={"instructions": "x"}) as stream:
            await stream.final()
    return answers


@pytest.mark.parametrize("loop", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_a_loop_of_either_kind_loses_nothing(
    loop: Callable[[], asyncio.AbstractEventLoop],
) -> None:
    with LocalServer() as server, asyncio.Runner(debug=True, loop_factory=loop) as runner:
        assert runner.run(converse(server.url)) == [str(turn) for turn in range(TURNS)]


class NoReaders(asyncio.SelectorEventLoop):
    """A loop that watches no descriptors for others."""

    def add_reader(self, fd: Any, callback: Any, *args: Any) -> None:
        raise NotImplementedError

    def remove_reader(self, fd: Any) -> bool:
        raise NotImplementedError


def test_a_loop_that_watches_no_descriptors_loses_nothing_either() -> None:
    with LocalServer() as server, asyncio.Runner(debug=True, loop_factory=NoReaders) as runner:
        assert runner.run(converse(server.url)) == [str(turn) for turn in range(TURNS)]
    assert not [t for t in threading.enumerate() if t.name == "talkwire-poll" and not joined(t)]


def joined(thread: threading.Thread) -> bool:
    """Whether a thread ends, in its time."""
    thread.join(PATIENCE_S)
    return not thread.is_alive()


def test_a_brain_answers_on_uvloop() -> None:
    async def brain(turn: Any) -> str:
        assert type(asyncio.get_running_loop()).__module__.startswith("uvloop")
        return "from uvloop"

    async def main() -> None:
        async with LocalServer(brain=brain) as server:
            async with talkwire.connect(server.url, session=TEXT) as connection:
                async with connection.stream_response() as answer:
                    assert "".join([text async for text in answer.text]) == "from uvloop"

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())


@pytest.mark.parametrize("use_uvloop", [False, True])
def test_a_program_of_anyio_on_asyncio_needs_nothing_else(use_uvloop: bool) -> None:
    async def main() -> None:
        async with LocalServer() as server:
            async with talkwire.connect(server.url, session=TEXT) as connection:
                await until(connection, "session.updated")
                with anyio.move_on_after(0.01) as scope:
                    await connection.recv()
                assert scope.cancelled_caught
                said: list[str] = []

                async def read() -> None:
                    async with connection.stream_response() as answer:
                        said.extend([text async for text in answer.text])

                with anyio.fail_after(PATIENCE_S):
                    await say_text(connection, "hello")
                    async with anyio.create_task_group() as group:
                        group.start_soon(read)
                assert said

    anyio.run(main, backend_options={"use_uvloop": use_uvloop})


def test_a_program_of_trio_uses_threads() -> None:
    async def read(connection: sync.Connection) -> talkwire.Event:
        """The way that the manual tells: limits instead of cancellation."""
        while True:
            try:
                return await trio.to_thread.run_sync(connection.recv, 0.1)
            except talkwire.DeadlineError:
                await trio.lowlevel.checkpoint()

    async def main() -> None:
        with LocalServer() as server:
            manager = sync.connect(server.url, session=TEXT)
            connection = await trio.to_thread.run_sync(manager.enter)
            try:
                with trio.fail_after(PATIENCE_S):
                    content = [{"type": "input_text", "text": "hello"}]
                    connection.conversation.item.create(
                        item={"type": "message", "role": "user", "content": content}
                    )
                    connection.response.create()
                    while (await read(connection)).type != "response.done":
                        pass
                with trio.move_on_after(0.05) as scope:
                    while True:
                        await read(connection)
                assert scope.cancelled_caught
            finally:
                await trio.to_thread.run_sync(connection.close)

    trio.run(main)


CELLS = """
connection = await talkwire.connect(url, session=text).enter()
---
await connection.conversation.item.create(item=item)
async with connection.stream_response() as answer:
    said = "".join([text async for text in answer.text])
---
with talkwire.sync.connect(url, session=text) as other:
    first = other.recv(10).type
---
await connection.close()
""".split("---")


def test_the_cells_of_a_notebook_run_one_after_another_on_its_loop() -> None:
    item = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "hi"}]}

    async def kernel(url: str) -> dict[str, Any]:
        names: dict[str, Any] = {"talkwire": talkwire, "url": url, "text": TEXT, "item": item}
        for cell in CELLS:
            code = compile(cell, "cell", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
            run = types.FunctionType(code, names)
            if inspect.iscoroutinefunction(run):
                await run()
            else:
                run()
            # A kernel goes on with its own affairs between cells.
            await asyncio.sleep(0)
        return names

    with LocalServer() as server:
        names = asyncio.run(kernel(server.url))
    assert names["said"] == "hi"
    assert names["first"] == "session.created"
    assert names["connection"].end.expected


def test_what_belongs_to_another_loop_says_so() -> None:
    with LocalServer() as server, asyncio.Runner() as runner:
        connection = runner.run(talkwire.connect(server.url, session=TEXT).enter())

        async def subscribe() -> talkwire.Subscription:
            return connection.subscribe("audio")

        subscription = runner.run(subscribe())
        for wait, of in ((connection.recv, "connection"), (subscription.recv, "subscription")):
            with pytest.raises(RuntimeError, match=f"a {of} belongs to the event loop"):
                asyncio.run(wait())
        with pytest.raises(RuntimeError, match="no running event loop"):
            connection.call()
        runner.run(connection.close())
