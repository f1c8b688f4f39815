"""What a session did so far: history, usage, stats, in the middle of a call and after its end."""

import dataclasses

import talkwire
from helpers import run, say_text, until
from talkwire.testing import LocalServer

TEXT = {"type": "realtime", "output_modalities": ["text"]}


def test_history_usage_and_stats_are_there_without_waiting_and_after_the_end() -> None:
    async def main() -> None:
        async with LocalServer() as server:
            connected = talkwire.connect(server.url, session=TEXT)
            async with connected as connection:
                assert connection.history == [] and connection.usage.responses == 0
                await say_text(connection, "hello")
                await until(connection, "response.done")
                customer, agent = connection.history
                assert (customer.role, customer.text) == ("customer", "hello")
                assert agent.role == "agent" and agent.is_final and agent.heard is None
                usage = connection.usage
                assert usage.responses == 1 and usage.input_tokens > 0
                assert usage.context_tokens == usage.input_tokens + usage.output_tokens
                stats = connection.stats
                assert stats.links == 1 and stats.frames_sent >= 2 and stats.losses == 0
            assert [segment.text for segment in connection.history] == ["hello", agent.text]
            assert connection.usage == usage
            assert connection.stats.frames_received >= stats.frames_received
            assert "customer: hello\n" in connection.transcript("srt")

    run(main())


def test_what_is_told_of_a_session_is_frozen_and_can_be_matched() -> None:
    segment = talkwire.Segment("agent", "yes", 0, 400, "item_1", True, "y", 100, 400)
    match segment:
        case talkwire.Segment(role="agent", text=text, heard=heard):
            assert (text, heard) == ("yes", "y")
        case _:
            raise AssertionError(segment)
    try:
        segment.text = "no"  # type: ignore[misc]
    except dataclasses.FrozenInstanceError:
        return
    raise AssertionError("it was changed")
