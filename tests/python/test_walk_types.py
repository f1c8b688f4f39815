"""A random client walks through the local server, and the stock client's types judge every event.

The walk is seeded: a failure prints the seed, and the same seed walks the same way.
"""

from __future__ import annotations

import base64
import json
import random
from typing import Any

import pytest
from helpers import DEEP, run
from openai.types.realtime.realtime_server_event import RealtimeServerEvent
from pydantic import TypeAdapter
from talkwire.testing import LocalServer
from websockets.asyncio.client import ClientConnection, connect

EVENT: TypeAdapter[Any] = TypeAdapter(RealtimeServerEvent)
STEPS = 2_000 if DEEP else 200

SCRIPT = """
ears: ["one", "two and", "two and three", {fail: {message: "inaudible"}}, "five"]
turns:
  - when: {user: who is it}
    mcp_call: {server: crm, name: find, output: {city: Kazan}}
  - when: {tool: find}
    say: "Found."
  - when: {turn: 2}
    say: "One moment."
    call: {name: f, arguments: {a: [1, 2, 3]}}
  - when: {turn: 3}
    mcp_call: {server: crm, name: find, arguments: {phone: "1"}, output: {city: Kazan}}
  - when: {turn: 5}
    mcp_call: {server: crm, name: find, error: "no such customer"}
  - when: {turn: 6}
    server_tool: {name: web_search}
    say: "Three pages."
  - when: {turn: 7}
    fail: {code: rate_limit_exceeded, message: "Slow down."}
"""

# Of two dialects one has an older name, of an event with the shape of the present one, and sample
# rates that the types do not list. Nothing else of it may differ.
OLDER = {"conversation.item.created": "conversation.item.added"}
RATE = 24_000


def as_typed(value: Any) -> Any:
    """The same value with the only sample rate that the types know."""
    if isinstance(value, list):
        return [as_typed(one) for one in value]
    if not isinstance(value, dict):
        return value
    if value.get("type") == "audio/pcm":
        assert 8_000 <= value["rate"] <= 48_000
        return {**value, "rate": RATE}
    return {key: as_typed(one) for key, one in value.items()}


def audio(loud: bool, ms: int) -> str:
    level = 12_000 if loud else 0
    wave = (level if (i // 20) % 2 else -level for i in range(24 * ms))
    return base64.b64encode(b"".join(s.to_bytes(2, "little", signed=True) for s in wave)).decode()


class Walk:
    """What the walker knows of the session, and what it does next."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.items: list[str] = ["nobody"]
        self.calls: list[str] = ["nobody"]
        self.approvals: list[str] = ["nobody"]
        self.names: set[str] = set()

    def saw(self, event: dict[str, Any]) -> None:
        self.names.add(event["type"])
        item = event.get("item") or {}
        if event["type"] in ("conversation.item.added", "conversation.item.created"):
            self.items.append(item["id"])
        if event["type"] == "response.output_item.done":
            if item["type"] == "function_call":
                self.calls.append(item["call_id"])
            if item["type"] == "mcp_approval_request":
                self.approvals.append(item["id"])

    def step(self) -> dict[str, Any]:
        pick = self.random.choice
        text = [{"type": "input_text", "text": "some words"}]
        item = pick(self.items)
        vad: list[dict[str, Any] | None] = [
            None,
            {"type": "server_vad", "silence_duration_ms": 200, "idle_timeout_ms": 300},
            {"type": "semantic_vad", "eagerness": pick(["low", "high", "auto"])},
        ]
        mcp = {
            "type": "mcp",
            "server_label": "crm",
            "server_url": "https://h/mcp",
            "require_approval": pick(["always", "never"]),
        }
        search = {"type": "function", "name": "web_search", "parameters": {}}
        sessions: list[dict[str, Any]] = [
            {"output_modalities": [pick(["text", "audio"])]},
            {"audio": {"input": {"turn_detection": pick(vad)}}},
            {"audio": {"input": {"transcription": {"model": "any"}}}},
            {"tools": [mcp, search]},
            {"tools": []},
            {"truncation": pick(["auto", "disabled"])},
            {"foo": 1},
        ]
        responses: list[dict[str, Any]] = [
            {},
            {"output_modalities": ["text"]},
            {"conversation": "none", "metadata": {"topic": "summary"}},
            {"conversation": "none", "input": [{"type": "item_reference", "id": item}]},
            {"max_output_tokens": 1},
        ]
        items: list[dict[str, Any]] = [
            {"type": "message", "role": "user", "content": text},
            {"type": "message", "role": "system", "content": text},
            {
                "type": "message",
                "role": "assistant",
                "content": [{"type": "output_text", "text": "yes"}],
            },
            {"type": "function_call_output", "call_id": pick(self.calls), "output": "{}"},
            {
                "type": "mcp_approval_response",
                "approval_request_id": pick(self.approvals),
                "approve": pick([True, True, False]),
            },
        ]
        truncate = {"item_id": item, "content_index": 0, "audio_end_ms": 40}
        create = {"item": pick(items), "previous_item_id": pick([None, "root", item])}
        sound = {"audio": audio(pick([True, False]), pick([100, 400]))}
        steps: list[tuple[str, dict[str, Any]]] = [
            ("session.update", {"session": {"type": "realtime", **pick(sessions)}}),
            ("response.create", {"response": pick(responses)}),
            ("response.create", {"response": pick(responses)}),
            ("response.cancel", {}),
            ("conversation.item.create", create),
            ("conversation.item.create", create),
            ("conversation.item.retrieve", {"item_id": item}),
            ("conversation.item.truncate", truncate),
            ("conversation.item.delete", {"item_id": item}),
            ("input_audio_buffer.append", sound),
            ("input_audio_buffer.append", sound),
            ("input_audio_buffer.commit", {}),
            ("input_audio_buffer.clear", {}),
            ("no.such.event", {}),
        ]
        name, fields = pick(steps)
        return {"type": name, **fields}


async def judged(socket: ClientConnection, profile: str, place: str) -> dict[str, Any]:
    """The next event, which the types of the stock client accept."""
    frame = await socket.recv()
    event = json.loads(frame)
    if profile != "openai":
        event = as_typed(event)
        event["type"] = OLDER.get(event["type"], event["type"])
    try:
        typed = EVENT.validate_json(json.dumps(event), strict=True)
    except ValueError as error:
        raise AssertionError(f"{place}: {frame!s}") from error
    assert not set(typed.model_extra or ()), f"{place}: unknown fields in {frame!s}"
    return event


async def silence(url: str) -> set[str]:
    """An MCP call that succeeds and a prompt after silence, which quick walks seldom meet."""
    names: set[str] = set()
    tool = {
        "type": "mcp",
        "server_label": "crm",
        "server_url": "https://h/mcp",
        "require_approval": "never",
    }
    session = {
        "type": "realtime",
        "output_modalities": ["text"],
        "tools": [tool],
        "audio": {"input": {"turn_detection": {"type": "server_vad", "idle_timeout_ms": 50}}},
    }
    text = [{"type": "input_text", "text": "who is it"}]
    item = {"type": "message", "role": "user", "content": text}
    async with connect(url, max_size=None) as socket:
        for step in (
            {"type": "session.update", "session": session},
            {"type": "conversation.item.create", "item": item},
            {"type": "response.create"},
        ):
            await socket.send(json.dumps(step))
        while "input_audio_buffer.timeout_triggered" not in names:
            names.add((await judged(socket, "openai", "silence"))["type"])
    return names


async def walk(url: str, profile: str, seed: int) -> Walk:
    walker = Walk(seed)
    async with connect(url, max_size=None) as socket:
        for number in range(STEPS):
            step = {**walker.step(), "event_id": f"step_{number}"}
            await socket.send(json.dumps(step))
            if number % 5:
                continue
            # An event that nobody knows is answered at once: until then all frames are read.
            await socket.send(json.dumps({"type": "no.such.event", "event_id": f"mark_{number}"}))
            while True:
                event = await judged(socket, profile, f"seed {seed}, step {number}")
                walker.saw(event)
                if (event.get("error") or {}).get("event_id") == f"mark_{number}":
                    break
    return walker


@pytest.mark.timeout(600)
@pytest.mark.parametrize("profile", ["openai", "yandex"])
def test_the_stock_types_take_every_event_of_a_random_walk(profile: str) -> None:
    names: set[str] = set()
    wanted = {
        "conversation.item.added",
        "error",
        "mcp_list_tools.completed",
        "response.done",
        "response.function_call_arguments.done",
        "response.output_audio.delta",
        "session.updated",
    }
    with LocalServer(script=SCRIPT, profile=profile) as server:
        # What a walk meets depends on how fast the machine is.
        for seed in range(40):
            names |= run(walk(server.url, profile, seed)).names
            if seed > 0 and wanted <= names:
                break
        if profile == "openai":
            names |= run(silence(server.url))
            assert {"response.mcp_call.completed", "rate_limits.updated"} <= names
    assert wanted <= names
