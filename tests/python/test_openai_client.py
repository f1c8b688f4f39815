"""The stock client of the protocol's inventor talks to the local server, and its programs run here.

Its own parser accepts nearly everything, so each frame is validated strictly against its types.
"""

from __future__ import annotations

import base64
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import talkwire
from helpers import run
from openai import AsyncOpenAI
from openai.types.realtime.realtime_server_event import RealtimeServerEvent
from pydantic import TypeAdapter, ValidationError
from talkwire.testing import LocalServer

EVENT: TypeAdapter[Any] = TypeAdapter(RealtimeServerEvent)
SECOND = base64.b64encode(bytes(48_000)).decode()


def client_of(server: LocalServer) -> AsyncOpenAI:
    return AsyncOpenAI(
        base_url=server.url.replace("ws://", "http://").removesuffix("/realtime"),
        websocket_base_url=server.url.removesuffix("/realtime"),
        api_key="x",
    )


async def valid_until(connection: Any, name: str) -> list[Any]:
    """Validated events up to and including the first of that name."""
    events: list[Any] = []
    while not events or events[-1].type != name:
        events.append(EVENT.validate_json(await connection.recv_bytes(), strict=True))
        assert not set(events[-1].model_extra or ()), f"{events[-1].type} has unknown fields"
    return events


@pytest.mark.parametrize(
    "frame",
    [
        '{"type":"of.tomorrow","event_id":"e"}',
        '{"type":"response.output_text.delta","event_id":"e","delta":"x"}',
        '{"type":"input_audio_buffer.committed","event_id":"e","item_id":7}',
    ],
)
def test_the_judge_refuses_what_is_not_of_its_types(frame: str) -> None:
    with pytest.raises(ValidationError):
        EVENT.validate_json(frame, strict=True)


@pytest.fixture
def server() -> Any:
    with LocalServer(profile="openai") as server:
        yield server


def test_a_written_turn_is_valid_in_every_event(server: LocalServer) -> None:
    async def main() -> None:
        async with client_of(server).realtime.connect(model="gpt-realtime") as connection:
            await valid_until(connection, "session.created")
            await connection.session.update(
                session={"type": "realtime", "output_modalities": ["text"]}
            )
            await valid_until(connection, "session.updated")
            await connection.conversation.item.create(
                item={
                    "type": "message",
                    "role": "user",
                    "content": [{"type": "input_text", "text": "hello"}],
                }
            )
            await connection.response.create()
            events = await valid_until(connection, "response.done")
            text = "".join(e.delta for e in events if e.type == "response.output_text.delta")
            assert "hello" in text
            assert events[-1].response.output[0].content[0].text == text

    run(main())


def test_a_spoken_turn_is_valid_in_every_event(server: LocalServer) -> None:
    async def main() -> None:
        async with client_of(server).realtime.connect(model="gpt-realtime") as connection:
            await valid_until(connection, "session.created")
            await connection.session.update(
                session={"type": "realtime", "audio": {"input": {"turn_detection": None}}}
            )
            await valid_until(connection, "session.updated")
            await connection.input_audio_buffer.append(audio=SECOND)
            await connection.input_audio_buffer.commit()
            await valid_until(connection, "input_audio_buffer.committed")
            await connection.response.create()
            events = await valid_until(connection, "response.done")
            audio = [e.delta for e in events if e.type == "response.output_audio.delta"]
            assert audio and all(len(base64.b64decode(piece)) % 2 == 0 for piece in audio)
            assert any(e.type == "response.output_audio_transcript.done" for e in events)

    run(main())


def test_an_error_is_valid_and_names_its_cause(server: LocalServer) -> None:
    async def main() -> None:
        async with client_of(server).realtime.connect(model="gpt-realtime") as connection:
            await connection.send({"type": "no.such.event", "event_id": "bad"})  # type: ignore[typeddict-item]
            error = (await valid_until(connection, "error"))[-1]
            assert error.error.event_id == "bad"

    run(main())


async def program(connection: Any) -> list[str]:
    """A program as people write it for that client: it knows nothing of the package it runs on."""
    said: list[str] = []
    await connection.session.update(
        session={"type": "realtime", "output_modalities": ["text"], "instructions": "Be brief."}
    )
    await connection.conversation.item.create(
        item={
            "type": "message",
            "role": "user",
            "content": [{"type": "input_text", "text": "Say hello!"}],
        }
    )
    await connection.response.create()
    async for event in connection:
        if event.type == "session.updated":
            said.append(event.session.instructions)
        elif event.type == "response.output_text.delta":
            said.append(event.delta)
        elif event.type == "response.output_text.done":
            said.append(f"{event.content_index}{event.output_index}:{event.text}")
        elif event.type == "error":
            said.append(event.error.message)
        elif event.type == "response.done":
            said.append(event.response.status)
            for item in event.response.output or []:
                for part in item.content or []:
                    said.append(f"{item.role} {part.type} {part.text} {part.transcript}")
            if event.response.usage:
                said.append(str(event.response.usage.output_token_details.text_tokens))
            break
    return said


def test_a_program_for_that_client_runs_with_only_its_connect_lines_changed(
    server: LocalServer,
) -> None:
    async def theirs() -> list[str]:
        async with client_of(server).realtime.connect(model="gpt-realtime") as connection:
            return await program(connection)

    async def ours() -> list[str]:
        async with talkwire.connect(
            server.url, dialect="openai", model="gpt-realtime"
        ) as connection:
            return await program(connection)

    sides: list[Callable[[], Awaitable[list[str]]]] = [theirs, ours]
    first, second = (run(side()) for side in sides)  # type: ignore[arg-type]
    assert first == second and first[0] == "Be brief." and "completed" in first
