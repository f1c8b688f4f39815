"""Events: every name of the protocol, lazily read, nothing lost."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path
from typing import Any

import pytest
import talkwire
from helpers import Told, run, told
from talkwire._names import WIRE_NAMES
from talkwire.events import EVENT_CLASSES

WIRE = json.loads((Path(__file__).parents[1] / "wire/events.json").read_text(encoding="utf-8"))
SERVER = [event for event in WIRE if event["direction"] == "server"]

# Names that are told under another.
RENAMED = {
    "conversation.item.created": "conversation.item.added",
    "transcription_session.updated": "session.updated",
}


def decoded(*frames: dict[str, Any] | str) -> list[talkwire.Event]:
    """What an application gets for these frames."""

    async def script(server: Told) -> None:
        for frame in frames:
            await server.say(frame)
        await server.say({"type": "last"})

    async def main() -> list[talkwire.Event]:
        events: list[talkwire.Event] = []
        async with (
            told(script) as url,
            talkwire.connect(url, dialect="openai", model="m") as connection,
        ):
            await connection.recv()
            async for event in connection:
                if event.type == "last":
                    break
                events.append(event)
        return events

    return run(main())


def sample(event: dict[str, Any]) -> dict[str, Any]:
    """A frame with a value of the right type in every top-level field."""
    values: dict[str, Any] = {"string": "AAA=", "integer": 3, "number": 0.5, "boolean": True}
    frame: dict[str, Any] = {"type": event["name"], "event_id": "event_7"}
    for field in event["fields"]:
        kind = field["type"].split("|")[0]
        if re.fullmatch(r"\w+", field["path"]) and field["path"] != "type":
            value = (
                [] if kind.startswith("array") else values.get(kind, {"id": "x", "type": "message"})
            )
            frame.setdefault(field["path"], value)
    return {**frame, "event_id": "event_7"}


def test_every_event_of_the_protocol_has_its_class_and_all_its_fields() -> None:
    frames = [sample(event) for event in SERVER]
    events = decoded(*frames)
    names = [frame["type"] for frame in frames]
    assert sorted(names) == sorted(EVENT_CLASSES)
    assert [e.type for e in events] == [RENAMED.get(name, name) for name in names]
    for event, frame in zip(events, frames, strict=True):
        assert type(event) is EVENT_CLASSES[event.type]
        assert json.loads(event.raw or "") == frame
        frame["type"] = event.type
        for name, value in frame.items():
            assert getattr(event, name) == value, f"{event.type}.{name}"
        assert event.event_id == "event_7"


def test_a_field_that_a_server_left_out_reads_as_none_and_a_misspelt_one_does_not_exist() -> None:
    done = {"type": "response.done", "response": {"id": "r", "output": [{"content": [{}]}]}}
    [event] = decoded(done)
    assert event.event_id is None and event.response.usage is None
    assert event.response.output[0].content[0].transcript is None
    with pytest.raises(AttributeError, match="respnose"):
        print(event.respnose)
    with pytest.raises(AttributeError, match="outptu"):
        print(event.response.outptu)
    assert not hasattr(event, "_private") and not hasattr(event.response, "__html__")


def test_an_unknown_event_keeps_its_name_and_payload() -> None:
    [event] = decoded({"type": "of.tomorrow", "x": {"y": [None, 1.5]}, "items": 1})
    assert isinstance(event, talkwire.UnknownEvent)
    assert event.type == "of.tomorrow" and event.x.y == [None, 1.5] and event["items"] == 1
    assert event.to_dict() == {"type": "of.tomorrow", "x": {"y": [None, 1.5]}, "items": 1}


def test_nested_objects_are_mappings_with_attributes() -> None:
    [event] = decoded({"type": "response.created", "response": {"id": "r", "metadata": {"k": 1}}})
    assert event.response.id == event.response["id"] == event["response"]["id"] == "r"
    assert {**event.response.metadata} == {"k": 1}
    assert json.loads(json.dumps(event.response)) == event.to_dict()["response"]


def test_the_delta_of_audio_is_base64_made_of_the_same_bytes() -> None:
    pcm = bytes(range(256)) * 4
    delta = {"type": "response.output_audio.delta", "response_id": "r", "item_id": "i",
             "output_index": 1, "content_index": 2, "delta": base64.b64encode(pcm).decode()}  # fmt: skip
    [event] = decoded(delta)
    assert event.audio == pcm and event.audio is event.audio
    assert event.delta == delta["delta"] and event.audio_ms == 1024 // 48
    where = (event.response_id, event.item_id, event.output_index, event.content_index)
    assert where == ("r", "i", 1, 2)
    assert event.to_dict() == delta


def test_a_sample_cut_in_two_is_made_whole_in_audio_and_delta_alike() -> None:
    def delta(pcm: bytes) -> dict[str, str]:
        text = base64.b64encode(pcm).decode()
        return {
            "type": "response.output_audio.delta",
            "item_id": "i",
            "response_id": "r",
            "delta": text,
        }

    first, second = decoded(delta(b"\1\2\3"), delta(b"\4\5\6"))
    assert (first.audio, second.audio) == (b"\1\2", b"\3\4\5\6")
    assert base64.b64decode(second.delta) == second.audio


def test_a_beta_name_is_told_under_its_name_of_today() -> None:
    [event] = decoded({"type": "response.audio_transcript.delta", "item_id": "i", "delta": "hi"})
    assert (event.type, event.delta) == ("response.output_audio_transcript.delta", "hi")
    assert '"response.audio_transcript.delta"' in (event.raw or "")


def test_what_is_no_event_is_told_as_a_fault() -> None:
    events = decoded("nonsense", "{}", '{"type":"response.output_audio.delta","delta":"A*A="}')
    assert [type(e) for e in events] == [talkwire.ProtocolFaultEvent] * 3
    assert events[0].error.type == "protocol" and events[0].raw == "nonsense"


def test_an_event_is_frozen_matches_patterns_and_never_prints_its_content() -> None:
    [event] = decoded({"type": "response.output_text.delta", "item_id": "i", "delta": "secret"})
    for name in ("delta", "type", "new"):
        with pytest.raises(AttributeError):
            setattr(event, name, 1)
    match event:
        case talkwire.events.ResponseOutputTextDeltaEvent(delta=delta, item_id="i"):
            assert delta == "secret"
        case _:
            pytest.fail("no match")
    assert "secret" not in repr(event) and "ResponseOutputTextDeltaEvent" in repr(event)
    assert {"delta", "item_id", "audio", "to_dict"} <= set(dir(event))


def test_the_list_of_names_is_that_of_the_protocol() -> None:
    paths = [field["path"] for event in WIRE for field in event["fields"]]
    plain = [re.sub(r"<[^>]*>|\[\]", "", path) for path in paths]
    assert {name for path in plain for name in path.split(".")} == WIRE_NAMES
