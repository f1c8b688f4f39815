"""The local server as tests use it: faults, a journal, a port for looking into it."""

from __future__ import annotations

import json
import subprocess
import sys
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


def test_a_server_is_steered_by_the_program() -> None:
    silence = {"turns": [{"when": {"user": "any"}, "say": "Well.", "after_ms": 3_600_000}]}

    async def main() -> None:
        async with (
            LocalServer(script=silence, control=True) as server,
            talkwire.connect(server.url, session=TEXT, reply_timeout_ms=5_000_000) as connection,
        ):
            await until(connection, "session.updated")
            server.inject({"type": "brand.new", "x": 1})
            assert (await until(connection, "brand.new"))[-1].x == 1
            server.inject({"type": "no.such.event"}, to="server")
            assert "no.such.event" in (await until(connection, "error"))[-1].error.message
            server.fault({"close": 1011}, when={"sent": "response.done"}, session=0)
            await say_text(connection, "hello")
            await until(connection, "response.created")
            # An hour passes at once.
            server.advance(3_600_000)
            await until(connection, "session.lost")
            assert server.report()["sessions"]

    run(main())


def test_steering_needs_a_port_for_it_and_says_what_is_wrong() -> None:
    with LocalServer() as server, pytest.raises(RuntimeError, match="control=True"):
        server.advance(1)
    with LocalServer(control=True) as server:
        with pytest.raises(ValueError, match="session 7"):
            server.inject({"type": "x"}, session=7)
        with pytest.raises(ValueError, match="when"):
            server.fault("drop")


def test_a_journal_checks_order_and_absence() -> None:
    async def main() -> None:
        async with LocalServer(journal=True) as server:
            async with talkwire.connect(server.url, session=TEXT) as connection:
                await say_text(connection, "hello")
                await until(connection, "response.done")
            journal = server.journal()
            journal.check_order(
                "session.update", "client response.create", "server response.done"
            ).check_none("error")
            assert journal.of("client").named("response.create").events[0]["type"]
            with pytest.raises(AssertionError, match=r"no 'client response\.create' after"):
                journal.check_order("server response.done", "client response.create")
            with pytest.raises(AssertionError, match=r"response\.done"):
                journal.check_none("response.done")

    run(main())


PYTEST = """
import pytest, talkwire

@pytest.mark.local_server(script={"turns": [{"when": {"user": "any"}, "say": "Hello!"}]})
def test_agent(local_server):
    with talkwire.sync.connect(local_server.url, session={"output_modalities": ["text"]}) as c:
        c.conversation.item.create(item={"type": "message", "role": "user",
            "content": [{"type": "input_text", "text": "hi"}]})
        with c.stream_response() as answer:
            assert "".join(answer.text) == "Hello!"
    local_server.journal().check_order("client response.create", "server response.done")

def test_two(make_local_server):
    one, two = make_local_server(), make_local_server(brain="loop", journal=False)
    assert one.url != two.url and one.control_url
"""


def test_the_fixtures_of_pytest_start_and_stop_servers(tmp_path: Path) -> None:
    (tmp_path / "test_agent.py").write_text(PYTEST)
    (tmp_path / "pytest.ini").write_text("[pytest]\nfilterwarnings = error\n")
    plugin = ["-p", "talkwire.pytest_plugin", "--strict-markers", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", *plugin, tmp_path],
        capture_output=True,
        text=True,
        check=False,
    )
    assert "2 passed" in done.stdout, done.stdout + done.stderr
