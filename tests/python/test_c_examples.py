"""What the C examples do beyond a plain run, which `examples` of `cargo xtask test` is."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from programs import PATIENCE_S, ROOT, built
from talkwire.testing import LocalServer

NOBODY = "ws://127.0.0.1:1/v1/realtime"

Build = Callable[[str], Path]


@pytest.fixture(scope="session")
def build(tmp_path_factory: pytest.TempPathFactory) -> Build:
    out = tmp_path_factory.mktemp("c_examples")
    built("plugin/agent_plugin.c", out / "agent_plugin.so", "-shared", "-fPIC")

    def build(source: str) -> Path:
        target = out / Path(source).stem
        return target if target.exists() else built(source, target)

    return build


def ran(program: Path, *arguments: str, typed: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [program, *arguments],
        input=typed,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
        cwd=ROOT,
    )


def test_each_typed_line_is_a_turn(build: Build) -> None:
    done = ran(build("c/poll_loop.c"), typed="one\n\ntwo\nthree")
    turns = [f"customer: {said}\nagent: {said}\n" for said in ("one", "two", "three")]
    assert (done.returncode, done.stdout, done.stderr) == (0, "".join(turns), "")


def test_many_sessions_share_one_loop(build: Build) -> None:
    with LocalServer(max_sessions=50) as server:
        done = ran(build("c/epoll_host.c"), "--url", server.url, "50")
    assert (done.returncode, done.stderr) == (0, "")
    for number in range(1, 51):
        assert f"session {number}: Question {number}: what is your number?" in done.stdout


def test_a_tool_is_run_before_the_answer(build: Build) -> None:
    done = ran(build("c/voice_agent.c"))
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[:3] == [
        "agent: One moment.",
        'tool: order_status {"order":"4217"}',
        "agent: Your order is on its way.",
    ]


@pytest.mark.parametrize(
    "source",
    [
        "c/text_chat.c",
        "c/voice_call.c",
        "c/live_call.c",
        "c/poll_loop.c",
        "c/epoll_host.c",
        "c/voice_agent.c",
    ],
)
def test_an_example_says_what_is_wrong_with_a_url(build: Build, source: str) -> None:
    done = ran(build(source), "--url", "nonsense")
    assert done.returncode == 1
    assert "the URL must begin with ws:// or wss://" in done.stderr


@pytest.mark.parametrize(
    "source",
    [
        "c/text_chat.c",
        "c/voice_call.c",
        "c/live_call.c",
        "c/poll_loop.c",
        "c/epoll_host.c",
        "c/voice_agent.c",
        "plugin/host.c",
    ],
)
def test_an_example_says_that_nobody_answers(build: Build, source: str) -> None:
    done = ran(build(source), "--url", NOBODY)
    assert done.returncode == 1
    assert "Connection refused" in done.stdout + done.stderr


def test_a_plugin_whose_agent_hangs_up_unloads_all_the_same(build: Build) -> None:
    fault = {"when": {"sent": "session.updated"}, "do": {"close": 1008}, "every": True}
    with LocalServer(faults=[fault]) as server:
        done = ran(build("plugin/host.c"), "--url", server.url)
    assert done.returncode == 1
    assert done.stderr.count("the agent hung up") == 2
    assert "2 were told their end, the plugin is unmapped" in done.stdout
