"""The command of the package is the command of the binary."""

from __future__ import annotations

import json
import signal
import subprocess
import sys

import pytest

COMMAND = [sys.executable, "-W", "error", "-m", "talkwire"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_server_of_the_command_serves_a_call_of_it_and_stops_on_a_signal(
    number: signal.Signals,
) -> None:
    with subprocess.Popen([*COMMAND, "serve"], stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        url = server.stdout.readline().removeprefix("listening on ").strip()
        call = [*COMMAND, "call", "--url", url, "--text", "hello", "--json"]
        done = subprocess.run(call, capture_output=True, text=True, timeout=30, check=False)
        server.send_signal(number)
        assert server.wait(10) == 0
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1])["end"]["expected"]


def test_a_wrong_command_line_is_told_with_code_2() -> None:
    done = subprocess.run([*COMMAND, "nosuch"], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "nosuch" in done.stderr
