"""Tests of an agent: no cloud, no key, and what goes wrong goes wrong when it is told to.

pytest examples/python/agent; the fixtures are there where the wheel is installed, elsewhere
with -p talkwire.pytest_plugin
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from agent import NoAnswerError, ask
from talkwire.testing import LocalServer, Piece, ToolCall, Turn


@pytest.mark.local_server(script={"turns": [{"when": {"user": "any"}, "say": "Good day!"}]})
def test_the_agent_passes_on_what_the_model_says(local_server: LocalServer) -> None:
    assert asyncio.run(ask(local_server.url, "Hello?")) == "Good day!"
    local_server.journal().check_order("client response.create", "server response.done")


def test_the_agent_looks_up_the_hours(make_local_server: Callable[..., LocalServer]) -> None:
    async def model(turn: Turn) -> Piece:
        assert turn.instructions == "Be polite."
        if turn.outputs:
            return f"On Sunday: {turn.outputs[0].output}."
        return ToolCall("hours", {"day": "Sunday"})

    server = make_local_server(brain=model)
    assert asyncio.run(ask(server.url, "Are you open on Sunday?")) == "On Sunday: closed."


def test_the_agent_says_when_the_line_is_dead(local_server: LocalServer) -> None:
    local_server.fault({"close": 1011}, when={"sent": "response.created"})
    with pytest.raises(NoAnswerError):
        asyncio.run(ask(local_server.url, "Hello?"))
