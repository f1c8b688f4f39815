"""A conversation as an asyncio program holds it."""

from __future__ import annotations

import array
import asyncio
import base64
import gc
import json
import threading
import warnings
from pathlib import Path

import numpy as np
import pytest
import talkwire
from helpers import ONE_LINK, Told, run, say_text, told, until
from talkwire.testing import LocalServer

TEXT = {"type": "realtime", "output_modalities": ["text"]}
MANUAL = {"type": "realtime", "audio": {"input": {"turn_detection": None}}}
SECOND = bytes(48_000)


async def idle(server: Told) -> None:
    pass


def test_a_written_question_gets_a_written_answer_in_pieces() -> None:
    async def main() -> None:
        async with (
            LocalServer() as server,
            talkwire.connect(server.url, session=TEXT) as connection,
        ):
            await say_text(connection, "hello")
            events = await until(connection, "response.done")
            pieces = [e.delta for e in events if e.type == "response.output_text.delta"]
            done = next(e for e in events if e.type == "response.output_text.done")
            assert "".join(pieces) == done.text and "hello" in done.text
            assert events[-1].response.status == "completed"
            assert events[-1].response.output[0].content[0].text == done.text
        assert connection.end is not None and connection.end.expected
        assert (connection.end.who, connection.end.why) == ("app", "closed")

    run(main())


def test_a_spoken_turn_gets_a_spoken_answer_whose_delta_is_its_audio_in_base64() -> None:
    async def main() -> None:
        async with (
            LocalServer() as server,
            talkwire.connect(server.url, session=MANUAL) as connection,
        ):
            await connection.input_audio_buffer.append(audio=SECOND)
            await connection.input_audio_buffer.commit()
            await connection.response.create()
            events = await until(connection, "response.done")
            pieces = [e for e in events if e.type == "response.output_audio.delta"]
            assert pieces and all(base64.b64decode(e.delta) == e.audio for e in pieces)
            assert all(len(e.audio) % 2 == 0 and e.audio_ms > 0 for e in pieces)

    run(main())


SCRIPT = """
turns:
  - when: {tool: place_order}
    say: "Ordered."
  - when: {user: order}
    call: {name: place_order, arguments: {item: pizza}}
"""


def test_a_function_is_called_and_its_output_answered() -> None:
    async def main() -> None:
        async with (
            LocalServer(script=SCRIPT) as server,
            talkwire.connect(server.url, session=TEXT) as connection,
        ):
            await say_text(connection, "order")
            called = (await until(connection, "response.done"))[-1].response.output[0]
            assert (called.type, called.name) == ("function_call", "place_order")
            assert json.loads(called.arguments) == {"item": "pizza"}
            await connection.conversation.item.create(
                item={"type": "function_call_output", "call_id": called.call_id, "output": "{}"}
            )
            await connection.response.create()
            done = (await until(connection, "response.done"))[-1].response
            assert done.output[0].content[0].text == "Ordered."

    run(main())


def test_an_error_in_a_script_names_its_place(tmp_path: Path) -> None:
    file = tmp_path / "call.yaml"
    file.write_text("turns:\n  - whn: {user: x}\n", encoding="utf-8")
    for script in (file, file.read_text(encoding="utf-8")):
        with pytest.raises(talkwire.ConfigError, match="whn") as caught:
            LocalServer(script=script).start()
        assert ":2:" in str(caught.value)
    with pytest.raises((talkwire.ConfigError, talkwire.FileError), match="missing"):
        LocalServer(script=tmp_path / "missing.yaml").start()


def test_settings_can_be_changed_in_the_middle_of_a_call() -> None:
    async def main() -> None:
        async with (
            LocalServer() as server,
            talkwire.connect(server.url, session=TEXT) as connection,
        ):
            await say_text(connection, "one")
            await until(connection, "response.done")
            await connection.session.update(session={"instructions": "Be kind."})
            updated = (await until(connection, "session.updated"))[-1]
            assert updated.session.instructions == "Be kind."
            assert updated.session["output_modalities"] == ["text"]
            await say_text(connection, "two")
            assert (await until(connection, "response.done"))[-1].response.status == "completed"

    run(main())


def test_the_nouns_send_what_the_protocol_says() -> None:
    heard: list[dict[str, object]] = []

    async def listen(server: Told) -> None:
        while True:
            heard.append(await server.hear())
            if heard[-1]["type"] == "goodbye":
                return

    async def main() -> None:
        async with told(listen) as url, talkwire.connect(url) as connection:
            pcm = array.array("h", [1, -2])
            await connection.input_audio_buffer.append(audio=pcm)
            await connection.input_audio_buffer.append(audio=memoryview(pcm).cast("B")[:2])
            await connection.input_audio_buffer.append(audio=base64.b64encode(pcm).decode())
            await connection.input_audio_buffer.append(audio=pcm.tobytes(), event_id="a")
            await connection.input_audio_buffer.append(
                audio=np.array([0, 0.5, -1, 7, -7, np.nan], np.float32)
            )
            await connection.conversation.item.create(
                item={"type": "message"}, previous_item_id="root"
            )
            await connection.conversation.item.retrieve(item_id="i")
            await connection.conversation.item.truncate(
                item_id="i", content_index=0, audio_end_ms=7
            )
            await connection.conversation.item.delete(item_id="i", event_id="d")
            await connection.response.create(response={"metadata": {"k": "v"}})
            await connection.response.cancel(response_id="r")
            await connection.send({"type": "new.event", "x": {"ж": None}})
            await connection.send('{"type":"goodbye"}')

    run(main())
    audio = base64.b64encode(array.array("h", [1, -2]).tobytes()).decode()
    half = base64.b64encode(array.array("h", [1]).tobytes()).decode()
    floats = array.array("h", [0, 16_384, -32_768, 32_767, -32_768, 0]).tobytes()
    ids = [event.pop("event_id", None) for event in heard]
    assert ids[9 - 1] == "d"
    assert [(e.pop("type"), e) for e in heard] == [
        ("input_audio_buffer.append", {"audio": audio}),
        ("input_audio_buffer.append", {"audio": half}),
        ("input_audio_buffer.append", {"audio": audio}),
        ("input_audio_buffer.append", {"audio": audio}),
        ("input_audio_buffer.append", {"audio": base64.b64encode(floats).decode()}),
        ("conversation.item.create", {"item": {"type": "message"}, "previous_item_id": "root"}),
        ("conversation.item.retrieve", {"item_id": "i"}),
        ("conversation.item.truncate", {"item_id": "i", "content_index": 0, "audio_end_ms": 7}),
        ("conversation.item.delete", {"item_id": "i"}),
        ("response.create", {"response": {"metadata": {"k": "v"}}}),
        ("response.cancel", {"response_id": "r"}),
        ("new.event", {"x": {"ж": None}}),
        ("goodbye", {}),
    ]


@pytest.mark.parametrize("audio", [array.array("d", [0.5]), array.array("i", [1])])
def test_audio_that_is_no_16_bit_samples_is_a_type_error(audio: array.array[float]) -> None:
    async def main() -> None:
        async with told(idle) as url, talkwire.connect(url) as connection:
            with pytest.raises(TypeError, match="16-bit"):
                await connection.input_audio_buffer.append(audio=audio)
            with pytest.raises(talkwire.ArgumentError, match="base64"):
                await connection.input_audio_buffer.append(audio="A*A=")

    run(main())


def test_float_samples_are_refused_where_the_format_is_another() -> None:
    tone = array.array("f", [0.0] * 800)

    async def main() -> None:
        law = {"audio": {"input": {"format": {"type": "audio/pcmu"}}}}
        async with (
            LocalServer(profile="openai") as server,
            talkwire.connect(server.url, dialect="openai", session=law) as connection,
        ):
            with pytest.raises(talkwire.ArgumentError):
                await connection.input_audio_buffer.append(audio=tone)
            await connection.input_audio_buffer.append(audio=bytes(800))

    run(main())


def test_the_end_of_ours_ends_the_iteration_and_later_calls_say_so() -> None:
    async def main() -> None:
        async with told(idle) as url:
            connection = await talkwire.connect(url).enter()
            await connection.close()
            await connection.close()
            assert [e.type async for e in connection] == ["session.created"]
            assert [e async for e in connection] == []
            for call in (connection.recv(), connection.response.create()):
                with pytest.raises(talkwire.ConnectionClosedOK) as caught:
                    await call
                assert caught.value.end is connection.end

    run(main())


@pytest.mark.parametrize(
    ("code", "why"), [(1000, "server_closed"), (1001, "server_closed"), (1008, "fatal"),
                      (1011, "server_closed"), (4000, "fatal"), (None, "lost")],
)  # fmt: skip
def test_any_other_end_raises_after_the_last_event(code: int | None, why: str) -> None:
    async def cut(server: Told) -> None:
        await server.say({"type": "response.created", "response": {"id": "r"}})
        if code is None:
            server.socket.transport.abort()
        else:
            await server.socket.close(code, "because")

    async def main() -> None:
        async with told(cut) as url, talkwire.connect(url, **ONE_LINK) as connection:
            names = []
            with pytest.raises(talkwire.ConnectionClosedError) as caught:
                async for event in connection:
                    names.append(event.type)
            assert names == ["session.created", "response.created"]
            end = caught.value.end
            assert end is not None and end is connection.end
            assert (end.why, end.code, end.expected, end.mid_turn) == (why, code, False, True)
            assert caught.value.kind == why

    run(main())


def test_a_block_left_by_an_exception_ends_soon_and_lets_it_pass() -> None:
    async def main() -> None:
        released = asyncio.Event()

        async def deaf(server: Told) -> None:
            server.socket.transport.pause_reading()
            await released.wait()
            server.socket.transport.abort()

        async with told(deaf) as url:
            with pytest.raises(ZeroDivisionError):
                async with asyncio.timeout(10):
                    async with talkwire.connect(url, close_timeout_ms=60_000) as connection:
                        1 / 0  # noqa: B018
            assert connection.end is not None and connection.end.expected
            released.set()

    run(main())


def test_a_send_waits_while_the_queue_is_full_and_nothing_is_lost_or_reordered() -> None:
    async def main() -> None:
        heard: list[int] = []
        flooded = asyncio.Event()

        async def listen(server: Told) -> None:
            await flooded.wait()
            while len(heard) < 5_000:
                heard.append((await server.hear())["i"])

        async with told(listen) as url, talkwire.connect(url) as connection:

            async def flood() -> None:
                for i in range(5_000):
                    await connection.send({"type": "tick", "i": i, "pad": "x" * 10_000})

            flooding = asyncio.create_task(flood())
            done, _ = await asyncio.wait([flooding], timeout=0.5)
            flooded.set()
            assert not done, "50 MB cannot be on their way while nobody listens"
            async with asyncio.timeout(20):
                await flooding
        assert heard == list(range(5_000))

    run(main())


def test_two_readers_share_the_events() -> None:
    async def count(server: Told) -> None:
        await server.hear()
        for i in range(100):
            await server.say({"type": "tick", "i": i})

    async def main() -> None:
        async with told(count) as url, talkwire.connect(url) as connection:
            await connection.recv()
            seen: list[int] = []

            async def read() -> None:
                while len(seen) < 100:
                    seen.append((await connection.recv()).i)
                    await asyncio.sleep(0)

            readers = [asyncio.create_task(read()) for _ in range(3)]
            await connection.send({"type": "go"})
            await asyncio.wait(readers, return_when=asyncio.FIRST_COMPLETED)
            for reader in readers:
                reader.cancel()
            assert sorted(seen) == list(range(100))

    run(main())


def test_a_refused_command_comes_as_an_event() -> None:
    async def main() -> None:
        async with told(idle) as url, talkwire.connect(url) as connection:
            await connection.input_audio_buffer.commit()
            fault = (await until(connection, "protocol.fault"))[-1]
            assert isinstance(fault, talkwire.ProtocolFaultEvent)
            assert fault.error.type == "refused" and "commit" in fault.error.message

    run(main())


def test_after_a_close_all_that_is_asked_for_raises_the_end() -> None:
    async def main() -> None:
        async with told(idle) as url:
            async with talkwire.connect(url) as connection:
                pass
            # What came before the end can still be read.
            assert [event.type async for event in connection] == ["session.created"]

            async def stream() -> None:
                async with connection.stream_response():
                    pytest.fail("there is no response")

            asked = (
                connection.recv,
                connection.interrupt,
                connection.response.create,
                stream,
            )
            for ask in asked:
                with pytest.raises(talkwire.ConnectionClosedOK) as caught:
                    await ask()
                assert caught.value.end is not None and caught.value.end.code == 1000
            for refused in (connection.call, lambda: connection.tool(lambda: "", name="x")):
                with pytest.raises(talkwire.ConnectionClosedOK):
                    refused()
            assert connection.subscribe("audio").end is not None
            # What is known stays known.
            assert connection.usage.responses == 0 and connection.history == []
            await connection.close()

    run(main())


def test_an_unclosed_connection_is_told_of_when_it_goes() -> None:
    async def main() -> None:
        async with told(idle) as url:
            connection = await talkwire.connect(url).enter()
            await connection.recv()
            with pytest.warns(ResourceWarning, match="unclosed"):
                del connection
                gc.collect()

    run(main())


def test_use_from_another_loop_is_an_error() -> None:
    async def main() -> None:
        async with told(idle) as url, talkwire.connect(url) as connection:
            caught: list[BaseException] = []

            def elsewhere() -> None:
                for call in (connection.recv, connection.response.create, connection.close):
                    try:
                        asyncio.run(call())
                    except BaseException as error:
                        caught.append(error)

            thread = threading.Thread(target=elsewhere)
            thread.start()
            await asyncio.to_thread(thread.join)
            assert [str(e) for e in caught] == [
                "a connection belongs to the event loop that opened it"
            ] * 3

    run(main())


def test_capabilities_are_those_of_the_dialect() -> None:
    async def main() -> None:
        async with told(idle) as url:
            table = talkwire.connect(url, dialect="openai", model="m")
            async with table as connection:
                assert connection.capabilities["dialect"] == "openai"

    run(main())


def test_a_local_server_works_with_both_kinds_of_blocks_and_tells_of_being_forgotten() -> None:
    with LocalServer(profile="openai") as server:
        assert server.url.startswith("ws://127.0.0.1:")

        async def main() -> None:
            async with talkwire.connect(server.url, dialect="openai") as connection:
                assert (await connection.recv()).session.id

        run(main())
    with warnings.catch_warnings(record=True) as told_of:
        warnings.simplefilter("always")
        LocalServer().start()
        gc.collect()
    assert [w.category for w in told_of] == [ResourceWarning]
    with pytest.raises(RuntimeError, match="not started"):
        print(LocalServer().url)
    with pytest.raises(talkwire.ConfigError, match="brian"):
        LocalServer(brain="brian").start()
