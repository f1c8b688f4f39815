"""The local server as tests use it: faults, a journal, a port for looking into it."""

from __future__ import annotations

import json
from pathlib import Path
from urllib.request import urlopen

import pytest
import talkwire
from helpers import ONE_LINK, run, say_text, until
from talkwire.testing import LocalServer

TEXT = {"type": "realtime", "output_modalities": ["text"]}


def test_a_fault_happens_when_it_is_told_to() -> None:
    fault = {"when": {"sent": "response.created"}, "do": {"close": 1011}}

    async def main() -> None:
        async with (
            LocalServer(faults=[fault]) as server,
            talkwire.connect(server.url, session=TEXT, **ONE_LINK) as connection,
        ):
            await say_text(connection, "hello")
            with pytest.raises(talkwire.ConnectionClosedError):
                await until(connection, "response.done")
            assert connection.end is not None and connection.end.code == 1011

    run(main())


def test_a_fault_that_makes_no_sense_names_its_key() -> None:
    with pytest.raises(talkwire.ConfigError, match="sent"):
        LocalServer(faults=[{"when": {"sent": "no.such.event"}, "do": "drop"}]).start()


def test_the_journal_tells_what_was_said_and_the_control_port_shows_it(tmp_path: Path) -> None:
    async def main() -> None:
        async with LocalServer(journal=tmp_path, control=True) as server:
            async with talkwire.connect(server.url, session=TEXT) as connection:
                await say_text(connection, "hello")
                await until(connection, "response.done")
            names = [(entry["from"], entry["name"]) for entry in server.journal(0)]
            assert names.index(("client", "session.update")) < names.index(
                ("server", "session.updated")
            )
            assert server.journal(7) == []
            assert server.control_url is not None
            with urlopen(server.control_url + "sessions") as answer:
                assert len(json.load(answer)["sessions"]) == 1
        assert any(tmp_path.iterdir())

    run(main())


def test_without_a_journal_only_beginnings_ends_and_faults_are_kept() -> None:
    async def main() -> None:
        async with LocalServer() as server:
            async with talkwire.connect(server.url, session=TEXT):
                pass
            assert {entry["from"] for entry in server.journal()} == {"journal"}
            assert server.control_url is None

    run(main())
