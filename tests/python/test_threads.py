"""Threads of Python at once: meant for an interpreter that runs them so, true of any other."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import talkwire
from helpers import DEEP
from talkwire import _native, sync
from talkwire._keys import KeyDesk
from talkwire.testing import LocalServer, Turn
from wheels import IS_FREE_THREADED

TEXT = {"type": "realtime", "output_modalities": ["text"]}
THREADS = 8
ROUNDS = 200 if DEEP else 20
PATIENCE_S = 30


def item(number: str) -> dict[str, Any]:
    content = [{"type": "input_text", "text": number}]
    return {
        "id": f"item_{number}",
        "type": "message",
        "role": "user",
        "content": content,
    }


def at_once(work: Callable[[int], Any], threads: int = THREADS) -> list[Any]:
    """Runs the same in several threads, which begin at one moment."""
    begin = threading.Barrier(threads)

    def run(number: int) -> Any:
        begin.wait(PATIENCE_S)
        return work(number)

    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(run, range(threads)))


@pytest.mark.skipif(not IS_FREE_THREADED, reason="this interpreter has a global lock")
def test_the_package_does_not_turn_the_global_lock_on() -> None:
    program = "import sys, talkwire.sync, talkwire.testing; sys.exit(sys._is_gil_enabled())"
    subprocess.run([sys.executable, "-W", "error", "-c", program], check=True, timeout=PATIENCE_S)


def test_what_threads_send_over_one_connection_arrives_once_and_in_the_order_of_each() -> None:
    with (
        LocalServer(journal=True) as server,
        sync.connect(server.url, session=TEXT) as connection,
    ):

        def send(thread: int) -> None:
            for number in range(ROUNDS):
                connection.conversation.item.create(item=item(f"{thread}_{number}"))

        at_once(send)
        arrived: list[str] = []
        while len(arrived) < THREADS * ROUNDS:
            event = connection.recv(PATIENCE_S)
            if event.type == "conversation.item.added":
                arrived.append(event.item.id)
        for thread in range(THREADS):
            of_thread = [name for name in arrived if name.startswith(f"item_{thread}_")]
            assert of_thread == [f"item_{thread}_{number}" for number in range(ROUNDS)]


def test_each_event_is_for_one_of_the_threads_that_read() -> None:
    with LocalServer() as server, sync.connect(server.url, session=TEXT) as connection:
        added: list[list[str]] = [[] for _ in range(THREADS)]

        def read(thread: int) -> None:
            if thread == 0:
                for number in range(THREADS * ROUNDS):
                    connection.conversation.item.create(item=item(str(number)))
                connection.close()
            for event in connection:
                if event.type == "conversation.item.added":
                    added[thread].append(event.item.id)

        at_once(read)
        counts = Counter(name for of_thread in added for name in of_thread)
        assert set(counts.values()) == {1} and len(counts) <= THREADS * ROUNDS
        # What one thread reads is in order.
        for of_thread in added:
            numbers = [int(name.removeprefix("item_")) for name in of_thread]
            assert numbers == sorted(numbers)


def test_threads_open_talk_and_close_at_once() -> None:
    def talk(thread: int) -> list[str]:
        said = []
        for number in range(max(ROUNDS // 10, 2)):
            with sync.connect(server.url, session=TEXT) as connection:
                connection.conversation.item.create(item=item(f"{thread} {number}"))
                with connection.stream_response() as answer:
                    said.append("".join(answer.text))
        return said

    with LocalServer() as server:
        for thread, said in enumerate(at_once(talk)):
            assert said == [f"{thread} {number}" for number in range(len(said))]


def test_each_thread_has_a_loop_with_connections_of_its_own() -> None:
    async def talk(thread: int) -> list[str]:
        async def one(number: int) -> str:
            async with talkwire.connect(server.url, session=TEXT) as connection:
                await connection.conversation.item.create(item=item(f"{thread} {number}"))
                async with connection.stream_response() as answer:
                    return "".join([text async for text in answer.text])

        return await asyncio.gather(*(one(number) for number in range(ROUNDS // 2)))

    with LocalServer(max_sessions=THREADS * ROUNDS) as server:
        for thread, said in enumerate(at_once(lambda thread: asyncio.run(talk(thread)))):
            assert said == [f"{thread} {number}" for number in range(len(said))]


def test_a_brain_in_python_serves_connections_of_many_threads() -> None:
    async def echo(turn: Turn) -> str:
        return turn.text.upper()

    def talk(thread: int) -> str:
        with sync.connect(server.url, session=TEXT) as connection:
            connection.conversation.item.create(item=item(f"thread {thread}"))
            with connection.stream_response() as answer:
                return "".join(answer.text)

    with LocalServer(brain=echo) as server:
        assert at_once(talk) == [f"THREAD {thread}" for thread in range(THREADS)]


def test_a_tool_that_threads_call_at_once_runs_once_for_each_call() -> None:
    script = {
        "turns": [
            {"when": {"user": "any"}, "call": {"name": "count", "arguments": {}}},
            {"when": {"tool": "count"}, "say": "done"},
        ]
    }
    ran: list[str] = []

    def talk(_: int) -> None:
        with sync.connect(server.url, session=TEXT) as connection:

            @connection.tool
            def count(idempotency_key: str) -> str:
                ran.append(idempotency_key)
                return "counted"

            connection.conversation.item.create(item=item("go"))
            connection.response.create()
            while connection.recv(PATIENCE_S).type != "response.output_text.done":
                pass

    with LocalServer(script=script) as server:
        at_once(talk)
    assert len(ran) == len(set(ran)) == THREADS


def test_an_event_reads_the_same_in_every_thread() -> None:
    no_turns = {"audio": {"input": {"turn_detection": None}}}
    with LocalServer(profile="openai") as server:
        with sync.connect(server.url, dialect="openai", session=no_turns) as connection:
            connection.conversation.item.create(item=item("good day"))
            connection.response.create()
            events = []
            while not events or events[-1].type != "response.done":
                events.append(connection.recv(PATIENCE_S))

    def read(_: int) -> list[Any]:
        return [(e.audio, e.raw, e.to_dict(), e.type, e.event_id, repr(e)) for e in events]

    seen = at_once(read)
    assert all(told == seen[0] for told in seen)
    with_audio = [at for at, event in enumerate(events) if event.audio]
    assert with_audio
    # Decoded once, whoever asked first.
    assert all(told[at][0] is events[at].audio for told in seen for at in with_audio)


def test_a_media_port_is_pushed_pulled_and_asked_by_three_threads() -> None:
    frame, frames = bytes(960), ROUNDS * 5
    with LocalServer(profile="openai") as server:
        with sync.connect(server.url, dialect="openai") as connection:
            port: Any = {"type": "audio/pcm", "rate": 24_000}
            call = connection.call(uplink=port, downlink=port)
            over = threading.Event()

            def work(thread: int) -> int:
                if thread == 0:
                    taken = sum(call.push(frame) for _ in range(frames))
                    over.set()
                    return taken
                if thread == 1:
                    return sum(len(call.pull(480)[0]) for _ in range(frames))
                while not over.is_set():
                    assert call.stats.pushed <= frames * 480
                return 0

            taken, pulled, _ = at_once(work, 3)
            stats = call.stats
            assert stats.pushed == taken and taken + stats.overrun == frames * 480
            assert pulled == frames * 960 and stats.pulled + stats.silence == frames * 480


def test_what_a_loop_watched_is_let_go_of_in_its_own_thread() -> None:
    watched: set[int] = set()
    strangers: list[str] = []

    class Loop(asyncio.SelectorEventLoop):
        def _note(self, what: str) -> None:
            if thread.ident is not None and threading.current_thread() is not thread:
                strangers.append(what)

        def add_reader(self, fd: Any, callback: Any, *args: Any) -> None:
            self._note("add_reader")
            watched.add(fd)
            super().add_reader(fd, callback, *args)

        def remove_reader(self, fd: Any) -> bool:
            self._note("remove_reader")
            watched.discard(fd)
            return super().remove_reader(fd)

    async def watch() -> tuple[talkwire.Connection, list[Any]]:
        connection = await talkwire.connect(server.url, session=TEXT).enter()
        subscription = connection.subscribe("control")
        subscription._reader.be_eager()
        return connection, [subscription, KeyDesk(lambda: "a key", _native.Keys())]

    def there(main: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(main, loop).result(PATIENCE_S)

    loop = Loop()
    thread = threading.Thread(target=loop.run_forever)
    with LocalServer() as server:
        thread.start()
        connection, held = there(watch())
        before = set(watched)
        held.clear()
        # What was asked of the loop has happened by then.
        there(asyncio.sleep(0))
        assert len(before - watched) == 2
        there(connection.close())
        loop.call_soon_threadsafe(loop.stop)
        thread.join(PATIENCE_S)
    loop.close()
    assert not strangers
