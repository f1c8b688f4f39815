"""The same nouns for threads: `talkwire.sync`."""

from __future__ import annotations

import gc
import inspect
import os
import signal
import sys
import threading
import time
import wave
import weakref
from pathlib import Path
from typing import Any

import pytest
import talkwire
from helpers import Between, program
from talkwire import sync
from talkwire.sync import _connection as faces
from talkwire.testing import LocalServer

TEXT = {"type": "realtime", "output_modalities": ["text"]}
ONE_LINK: dict[str, Any] = {"rollover": {"enabled": False}, "recovery": {"budget_ms": 0}}
PATIENCE_S = 30
WEATHER = {"turns": [{"when": {"user": "any"}, "call": {"name": "weather", "arguments": {"city": "Oslo"}}},
                     {"when": {"tool": "weather"}, "say": "It rains."}]}  # fmt: skip


def user(text: str) -> dict[str, Any]:
    return {"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}]}


def say(connection: sync.Connection, text: str) -> None:
    connection.conversation.item.create(item=user(text))
    connection.response.create()


def until(connection: sync.Connection, name: str) -> list[Any]:
    events = []
    while not events or events[-1].type != name:
        events.append(connection.recv(PATIENCE_S))
    return events


def test_a_conversation_without_an_event_loop() -> None:
    with LocalServer() as server, sync.connect(server.url, session=TEXT) as connection:
        say(connection, "one two")
        words = ""
        for event in connection:
            if event.type == "response.output_text.delta":
                words += event.delta
            if event.type == "response.done":
                connection.close()
        assert words == "one two"
        assert connection.end is not None and connection.end.expected
        with pytest.raises(talkwire.ConnectionClosedOK):
            connection.recv()
        with pytest.raises(talkwire.ConnectionClosedOK):
            connection.response.create()


def test_a_response_is_streamed_and_other_readers_miss_nothing() -> None:
    with LocalServer() as server, sync.connect(server.url, session=TEXT) as connection:
        connection.conversation.item.create(item=user("one two three"))
        with connection.stream_response() as answer:
            pieces = list(answer.text)
            assert "".join(pieces) == "one two three"
            assert answer.final().status == "completed"
            assert [e.type for e in answer][-1] == "response.done"
        seen = until(connection, "response.done")
        assert [e.delta for e in seen if e.type == "response.output_text.delta"] == pieces


def test_sound_is_streamed_in_a_thread_beside_the_words() -> None:
    sound: list[bytes] = []
    no_turns = {"audio": {"input": {"turn_detection": None}}}
    with LocalServer(profile="openai") as server:
        with sync.connect(server.url, dialect="openai", session=no_turns) as connection:
            connection.conversation.item.create(item=user("good day"))
            with connection.stream_response() as answer:
                thread = threading.Thread(target=lambda: sound.extend(answer.audio))
                thread.start()
                assert "".join(answer.text) == "good day"
                thread.join(PATIENCE_S)
            seen = until(connection, "response.done")
            assert sound and b"".join(sound) == b"".join(e.audio for e in seen if e.audio)


def test_leaving_a_response_early_cancels_it() -> None:
    long = {"turns": [{"when": {"user": "any"}, "say": "word " * 2_000}]}
    with LocalServer(script=long, pacing="realtime") as server:
        with sync.connect(server.url, session=TEXT) as connection:
            connection.conversation.item.create(item=user("go"))
            with connection.stream_response() as answer:
                next(answer.text)
            assert until(connection, "response.done")[-1].response.status == "cancelled"


def test_a_wait_has_a_limit_and_loses_nothing() -> None:
    with LocalServer() as server, sync.connect(server.url, session=TEXT) as connection:
        until(connection, "session.updated")
        with pytest.raises(TimeoutError) as caught:
            connection.recv(0.01)
        assert isinstance(caught.value, talkwire.DeadlineError)
        with pytest.raises(talkwire.DeadlineError):
            connection.recv(0)
        say(connection, "hello")
        assert until(connection, "response.done")


def test_an_opening_has_a_limit() -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"ws://127.0.0.1:{silent.getsockname()[1]}/v1/realtime"
        began = time.monotonic()
        with pytest.raises(talkwire.DeadlineError):
            sync.connect(url).enter(0.05)
        assert time.monotonic() - began < PATIENCE_S


def test_an_end_that_nobody_asked_for_is_raised() -> None:
    fault = {"when": {"sent": "response.created"}, "do": {"close": 1011}}
    with LocalServer(faults=[fault]) as server:
        with sync.connect(server.url, session=TEXT, **ONE_LINK) as connection:
            say(connection, "hello")
            with pytest.raises(talkwire.ConnectionClosedError) as caught:
                for _ in connection:
                    pass
            assert caught.value.end is not None and caught.value.end.code == 1011


def test_a_server_that_is_not_there_raises_at_the_entry() -> None:
    with pytest.raises(talkwire.ConnectError):
        with sync.connect("ws://127.0.0.1:9/v1/realtime"):
            pass


def test_each_event_is_for_one_of_the_threads_that_read() -> None:
    turns, threads = 20, 4
    numbers: list[str] = []
    with LocalServer() as server, sync.connect(server.url, session=TEXT) as connection:
        until(connection, "session.updated")

        def read() -> None:
            numbers.extend(e.event_id for e in connection if e.type == "response.done")

        readers = [threading.Thread(target=read) for _ in range(threads)]
        for reader in readers:
            reader.start()
        watch = connection.subscribe("control")
        for turn in range(turns):
            say(connection, f"turn {turn}")
            while watch.recv(PATIENCE_S).type != "response.done":
                pass
        connection.close()
        for reader in readers:
            reader.join(PATIENCE_S)
            assert not reader.is_alive()
    assert len(numbers) == len(set(numbers)) == turns


def test_waiting_lets_other_threads_run() -> None:
    with LocalServer() as server, sync.connect(server.url, session=TEXT) as connection:
        until(connection, "session.updated")
        waiting = threading.Thread(target=until, args=(connection, "response.done"))
        waiting.start()
        # With the interpreter held by the wait, this would never be reached.
        say(connection, "hello")
        waiting.join(PATIENCE_S)
        assert not waiting.is_alive()


def test_a_subscription_is_read_in_a_thread_and_ends_with_its_connection() -> None:
    words: list[str] = []
    with LocalServer() as server, sync.connect(server.url, session=TEXT) as connection:
        subscription = connection.subscribe("transcript")

        def read() -> None:
            words.extend(e.delta for e in subscription if e.type.endswith("text.delta"))

        reader = threading.Thread(target=read)
        reader.start()
        say(connection, "hello")
        until(connection, "response.done")
        assert subscription.backlog.dropped_ms == 0
        connection.close()
        reader.join(PATIENCE_S)
        assert "".join(words) == "hello" and subscription.end is not None


def test_a_tool_runs_in_a_thread_whether_or_not_anybody_reads() -> None:
    ran: list[str] = []
    done = threading.Event()
    with LocalServer(script=WEATHER) as server:
        with sync.connect(server.url, session=TEXT) as connection:

            @connection.tool
            def weather(city: str) -> str:
                """The weather in a city."""
                ran.append(threading.current_thread().name)
                done.set()
                return f"rain in {city}"

            say(connection, "What is the weather?")
            assert done.wait(PATIENCE_S)
            assert ran == ["talkwire-weather"]
            until(connection, "response.output_text.done")
            assert "It rains." in connection.transcript()


@pytest.mark.parametrize("kind", ["coroutine", "failing"])
def test_a_tool_may_be_a_coroutine_or_fail(kind: str) -> None:
    with LocalServer(script=WEATHER, journal=True) as server:
        with sync.connect(server.url, session=TEXT) as connection:
            if kind == "coroutine":

                @connection.tool
                async def weather(city: str) -> dict[str, str]:
                    return {"city": city}

            else:

                @connection.tool(name="weather")
                def fails(city: str) -> str:
                    raise LookupError(city)

            say(connection, "What is the weather?")
            until(connection, "response.output_text.done")
        outputs = [e["event"]["item"]["output"] for e in server.journal()
                   if e["from"] == "client" and "function_call_output" in str(e["event"])]  # fmt: skip
        wanted = '{"city": "Oslo"}' if kind == "coroutine" else "LookupError"
        assert len(outputs) == 1 and wanted in outputs[0]


def test_a_credential_comes_from_a_function_in_a_thread() -> None:
    asked: list[str] = []

    def key() -> str:
        asked.append(threading.current_thread().name)
        return "right"

    async def late() -> str:
        return "right"

    def wrong() -> str:
        raise talkwire.AuthError("nobody is known")

    with LocalServer(api_key="right") as server:
        for source in (key, late):
            with sync.connect(server.url, api_key=source, session=TEXT) as connection:
                say(connection, "hello")
                until(connection, "response.done")
        assert asked == ["talkwire-keys"]
        with pytest.raises(talkwire.AuthError):
            with sync.connect(server.url, api_key=wrong):
                pass


def test_connections_of_one_manager_have_desks_of_their_own() -> None:
    asked: list[threading.Thread] = []

    def key() -> str:
        asked.append(threading.current_thread())
        return "right"

    with LocalServer(api_key="right") as server:
        manager = sync.connect(server.url, api_key=key, session=TEXT)
        with manager.enter(), manager.enter():
            # Both threads live: had they one descriptor, either would answer for both.
            assert len(set(asked)) == 2


def test_a_call_is_recorded(tmp_path: Path) -> None:
    path = tmp_path / "call.wav"
    pcm = {"type": "audio/pcm", "rate": 8_000}
    with LocalServer() as server, sync.connect(server.url) as connection:
        recorder = connection.record(path, rate_hz=8_000)
        with connection.call(uplink=pcm, downlink=pcm) as call:
            assert call.push(bytes(1_600)) == 800
            assert connection.usage.responses == 0
        recorder.stop()
        recorder.finished()
    with wave.open(str(path)) as file:
        assert file.getframerate() == 8_000


def test_a_tool_is_there_before_the_model_is_told_of_it() -> None:
    with LocalServer() as server, sync.connect(server.url, session=TEXT) as connection:
        native, tools = connection._native, connection._tools

        def register(tool: str) -> None:
            assert "weather" in tools._functions
            if "forecast" in tool:
                raise talkwire.ArgumentError("not that one")
            native.register_tool(tool)

        tools._native = Between(native, register_tool=register)  # type: ignore[assignment]
        connection.tool(lambda city: "", name="weather")
        with pytest.raises(talkwire.ArgumentError):
            connection.tool(lambda city: "", name="forecast")
        assert set(tools._functions) == {"weather"}


def test_a_handler_of_a_signal_may_close_in_the_middle_of_a_read() -> None:
    with LocalServer() as server, sync.connect(server.url, session=TEXT) as connection:
        reader = connection._reader
        native = reader._native

        def drain(*arguments: Any) -> list[Any]:
            # What a handler does, in the same thread.
            reader._native = native
            connection.close()
            return native.drain(*arguments)

        reader._native = Between(native, drain=drain)  # type: ignore[assignment]
        assert [event.type for event in connection][:1] == ["session.created"]
        assert connection.end is not None and connection.end.expected


def test_a_wish_that_ctrl_c_gives_up_is_taken_back_when_it_begins(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    hold = {"when": {"sent": "response.output_text.delta"}, "do": {"delay": 600_000}}
    wait, waits = faces.until, 0

    def until_ctrl_c(*arguments: Any) -> None:
        nonlocal waits
        waits += 1
        if waits == 1:
            raise KeyboardInterrupt
        wait(*arguments)

    with LocalServer(faults=[hold]) as server:
        with sync.connect(server.url, session=TEXT) as connection:
            connection.conversation.item.create(item=user("hello"))
            monkeypatch.setattr(faces, "until", until_ctrl_c)
            with pytest.raises(KeyboardInterrupt), connection.stream_response():
                pass
            done = until(connection, "response.done")[-1]
            assert done.response.status == "cancelled"


def test_an_unclosed_connection_is_told_of_and_ends() -> None:
    with LocalServer(script=WEATHER) as server:
        connection = sync.connect(server.url, session=TEXT).enter()
        connection.tool(lambda city: "", name="weather")
        native = weakref.ref(connection._reader)
        with pytest.warns(ResourceWarning, match=r"unclosed <talkwire\.sync\.Connection"):
            del connection
            gc.collect()
        assert native() is None
        names = {"talkwire-tools"}
        for thread in threading.enumerate():
            if thread.name in names:
                thread.join(PATIENCE_S)
                assert not thread.is_alive()


def test_an_exception_in_the_block_closes_the_session_and_is_raised() -> None:
    with LocalServer(journal=True) as server:
        with pytest.raises(LookupError):
            with sync.connect(server.url, session=TEXT) as connection:
                raise LookupError
        assert connection.end is not None
        assert (connection.end.who, connection.end.expected) == ("app", True)


PROGRAM = """
import sys, talkwire
from talkwire.testing import LocalServer
with LocalServer() as server:
    try:
        with talkwire.sync.connect(server.url) as connection:
            print("open", flush=True)
            {wait}
    finally:
        print(connection.end.why, connection.end.expected)
"""


@pytest.mark.parametrize(
    "wait", ["for event in connection: pass", "while True: connection.subscribe('audio').recv()"]
)
def test_ctrl_c_ends_a_wait_and_closes_the_session(wait: str) -> None:
    with program(sys.executable, "-c", PROGRAM.format(wait=wait)) as stopped:
        assert stopped.stdout is not None
        assert stopped.stdout.readline() == "open\n"
        stopped.send_signal(signal.SIGINT)
        out, err = stopped.communicate(timeout=PATIENCE_S)
    assert out == "closed True\n"
    assert stopped.returncode == -signal.SIGINT and err.endswith("KeyboardInterrupt\n")


def test_a_child_of_the_process_is_told_that_it_has_no_connection() -> None:
    with LocalServer() as server, sync.connect(server.url, session=TEXT) as connection:
        child = os.fork()
        if child == 0:
            code = 1
            try:
                connection.recv(1)
            except talkwire.ForkedProcessError:
                code = 0
            finally:
                os._exit(code)
        assert os.waitpid(child, 0)[1] == 0
        say(connection, "hello")
        until(connection, "response.done")


def public(kind: type) -> set[str]:
    return {name for name in dir(kind) if not name.startswith("_")}


# What differs by its nature.
OWN = {"recv"}


@pytest.mark.parametrize("name", ["Connection", "Subscription", "Recorder", "ResponseStream"])
def test_both_faces_have_the_same_names_and_arguments(name: str) -> None:
    ours, theirs = getattr(talkwire, name), getattr(sync, name)
    assert public(ours) == public(theirs)
    for member in public(ours) - OWN:
        if callable(getattr(ours, member)):
            mine, other = (inspect.signature(getattr(k, member)) for k in (ours, theirs))
            assert list(mine.parameters) == list(other.parameters), member


def test_both_ways_in_have_the_same_arguments() -> None:
    ours, theirs = inspect.signature(talkwire.connect), inspect.signature(sync.connect)
    assert ours.parameters == theirs.parameters
