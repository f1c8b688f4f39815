"""The page of the control port, as a browser of the distribution shows it."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import urllib.request
from collections.abc import Iterator

import pytest

COMMAND = [sys.executable, "-W", "error", "-m", "talkwire"]
BROWSER = next(filter(None, map(shutil.which, ["chromium", "chromium-browser"])), None)


@pytest.fixture
def control() -> Iterator[tuple[str, str]]:
    """A server: its URL, and that of its page."""
    with subprocess.Popen(
        [*COMMAND, "serve", "--control"], stdout=subprocess.PIPE, text=True
    ) as server:
        assert server.stdout is not None
        url = server.stdout.readline().removeprefix("listening on ").strip()
        page = server.stdout.readline().removeprefix("control on ").strip()
        yield url, page
        server.terminate()


def call(url: str) -> None:
    done = [*COMMAND, "call", "--url", url, "--text", "<b>good</b> day", "--json"]
    subprocess.run(done, capture_output=True, timeout=30, check=True)


def test_the_endpoints_answer_a_program(control: tuple[str, str]) -> None:
    url, page = control
    call(url)
    with urllib.request.urlopen(f"{page}report", timeout=10) as answer:
        assert b"to_done" in answer.read()


def test_a_browser_shows_the_events_of_a_session(control: tuple[str, str]) -> None:
    # Some distributions install a program of this name that only says where to get the real one.
    if BROWSER is None or subprocess.run([BROWSER, "--version"], capture_output=True).returncode:
        pytest.skip("no chromium is installed")
    url, page = control
    call(url)
    # The budget is of the page's own time: it ends when the page has nothing left to do in it.
    show = [BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
    show += ["--virtual-time-budget=3000", "--dump-dom", page]
    shown = subprocess.run(show, capture_output=True, text=True, timeout=50, check=True).stdout
    assert 'data-state="live"' in shown
    for name in ("session.created", "response.create", "response.done"):
        assert f'data-name="{name}"' in shown, name
    lanes = set(re.findall(r'data-lane="(\w+)"', shown))
    assert {"link", "session", "conversation", "response"} <= lanes
    # Marks in the timeline, a row of latencies, and no event that became part of the page.
    assert re.search(r'<rect[^>]*class="server"', shown)
    waits = shown.split('id="waits"')[1].split("</table>")[0]
    assert "completed" in waits
    assert "<b>good</b>" not in shown
