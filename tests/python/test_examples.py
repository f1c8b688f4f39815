"""The examples run as they stand, with a server of their own and with a given one."""

from __future__ import annotations

import difflib
import os
import subprocess
import sys
import wave
from pathlib import Path

import pytest
from talkwire.testing import LocalServer

EXAMPLES = Path(__file__).parents[2] / "examples/python"
FAKES = Path(__file__).parent / "fakes"


def run(name: str, *arguments: str, sound: bool = True) -> subprocess.CompletedProcess[str]:
    path = os.environ.get("PYTHONPATH", "")
    # Without a sound card of ours there is none that a test could hear.
    hidden = "import sys; sys.modules['sounddevice'] = None; import runpy; sys.argv.pop(0)\n"
    hidden += "runpy.run_path(sys.argv[0], run_name='__main__')"
    start = [str(EXAMPLES / name)] if sound else ["-c", hidden, str(EXAMPLES / name)]
    return subprocess.run(
        [sys.executable, "-W", "error", *start, *arguments],
        env={**os.environ, "PYTHONPATH": f"{path}:{FAKES}"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def ran(name: str, *arguments: str) -> str:
    done = run(name, *arguments)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


@pytest.mark.parametrize("profile", ["yandex", "openai"])
@pytest.mark.parametrize("name", sorted(path.name for path in EXAMPLES.glob("*.py")))
def test_every_example_runs_against_a_given_server(name: str, profile: str) -> None:
    with LocalServer(profile=profile) as server:
        assert ran(name, "--url", server.url)


def test_a_text_chat_shows_each_answer() -> None:
    assert ran("text_chat.py", "one", "two") == "one\ntwo\n"


def test_a_voice_call_saves_the_answer(tmp_path: Path) -> None:
    saved = tmp_path / "answer.wav"
    assert "s of answer" in ran("voice_call.py", "--save", str(saved))
    with wave.open(str(saved), "rb") as wav:
        assert (wav.getnchannels(), wav.getsampwidth(), wav.getframerate()) == (1, 2, 24_000)
        assert any(wav.readframes(wav.getnframes()))


def test_a_voice_agent_calls_the_functions_of_its_program() -> None:
    assert ran("voice_agent.py").splitlines()[:2] == [
        "(looks up margherita)",
        "One margherita, 600 roubles.",
    ]


def test_what_a_microphone_hears_is_answered_through_the_loudspeaker() -> None:
    assert "agent: " in ran("microphone.py")


def test_without_a_sound_card_the_example_says_what_it_needs() -> None:
    done = run("microphone.py", sound=False)
    assert done.returncode == 1 and "pip install sounddevice" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_file_is_written_down_with_a_bar() -> None:
    *_, first, second, third = ran("transcribe_file.py").splitlines()
    assert "100%" in ran("transcribe_file.py")
    assert (first[:5], second[:6], third[:5]) == ("Hello", "Please", "Thank")


def test_a_hundred_calls_run_at_once() -> None:
    assert "100 calls" in ran("many_calls.py")


def test_the_tests_of_an_agent_pass() -> None:
    plugin = ["-p", "talkwire.pytest_plugin", "-p", "no:cacheprovider", "-W", "error"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", *plugin, str(EXAMPLES / "agent")],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert "3 passed" in done.stdout, done.stdout + done.stderr


def test_a_program_of_another_client_is_ported_by_its_import_and_its_connect() -> None:
    programs = [EXAMPLES / "port" / name for name in ("original.py", "ported.py")]
    original, ported = (path.read_text().split('"""', 2)[2].splitlines() for path in programs)
    changes = [line for line in difflib.ndiff(original, ported) if line[0] in "+-"]
    assert all(
        " import " in f" {line[2:]}" or "client" in line or "connect(" in line for line in changes
    )
    assert len(changes) == 5
    with LocalServer(profile="openai") as server:
        said = [ran(f"port/{path.name}", "--url", server.url) for path in programs]
    assert said[0] == said[1] != ""
