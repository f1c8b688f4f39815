"""The examples run as they stand, with a server of their own and with a given one."""

from __future__ import annotations

import subprocess
import sys
import wave
from pathlib import Path

import pytest
from talkwire.testing import LocalServer

EXAMPLES = Path(__file__).parents[2] / "examples/python"


def ran(name: str, *arguments: str) -> str:
    command = [sys.executable, "-W", "error", str(EXAMPLES / name), *arguments]
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=30, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


@pytest.mark.parametrize("profile", ["yandex", "openai"])
def test_every_example_runs_against_a_given_server(profile: str) -> None:
    with LocalServer(profile=profile) as server:
        for example in EXAMPLES.glob("*.py"):
            assert ran(example.name, "--url", server.url)


def test_a_text_chat_shows_each_answer() -> None:
    assert ran("text_chat.py", "one", "two") == "one\ntwo\n"


def test_a_voice_call_saves_the_answer(tmp_path: Path) -> None:
    saved = tmp_path / "answer.wav"
    assert "s of answer" in ran("voice_call.py", "--save", str(saved))
    with wave.open(str(saved), "rb") as wav:
        assert (wav.getnchannels(), wav.getsampwidth(), wav.getframerate()) == (1, 2, 24_000)
        assert any(wav.readframes(wav.getnframes()))
