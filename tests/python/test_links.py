"""A session outlives its links: what an application sees of that."""

from __future__ import annotations

import pytest
import talkwire
from helpers import Told, run, say_text, told, until
from talkwire import events
from talkwire.testing import LocalServer

TEXT = {"type": "realtime", "output_modalities": ["text"]}


def test_a_lost_link_is_told_and_made_good() -> None:
    links = 0

    async def cut_the_first(server: Told) -> None:
        nonlocal links
        links += 1
        if links == 1:
            server.socket.transport.abort()

    async def main() -> None:
        async with told(cut_the_first) as url, talkwire.connect(url) as connection:
            seen = await until(connection, "session.recovered")
            lost, recovered = seen[-2], seen[-1]
            assert isinstance(lost, events.SessionLostEvent)
            assert (lost.why, lost.close_code, lost.cut) == ("lost", None, [])
            assert isinstance(recovered, events.SessionRecoveredEvent)
            assert (recovered.old, recovered.new) == ("sess_0", "sess_0")
            assert (recovered.attempts, recovered.lost_ms) == (1, 0)
            assert recovered.state_restored
        assert connection.end is not None and connection.end.expected

    run(main())
    assert links == 2


@pytest.mark.parametrize("profile", ["yandex", "openai"])
def test_a_session_changes_its_link_before_it_is_too_old(profile: str) -> None:
    async def main() -> None:
        async with (
            LocalServer(profile=profile, lifetime_ms=4000) as server,
            talkwire.connect(server.url, dialect=profile, session=TEXT) as connection,
        ):
            await say_text(connection, "hello")
            await until(connection, "response.done")
            rolled = (await until(connection, "session.rolled"))[-1]
            match rolled:
                case events.SessionRolledEvent(old, new, gap_ms, lost_ms):
                    assert old != new
                    assert (gap_ms, lost_ms) == (0, 0)
                case _:
                    pytest.fail(f"{rolled!r}")
            await say_text(connection, "good morning")
            seen = await until(connection, "response.done")
            assert all(event.type != "session.created" for event in seen)

    run(main())
