"""The five lines of the README are true in each language."""

from __future__ import annotations

import asyncio
import os
import re
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import talkwire
from helpers import say_text, until

ROOT = Path(__file__).parents[2]


def block(language: str) -> str:
    """The code of that language in the section of the local server."""
    section = (ROOT / "README.md").read_text().split("\n## Local server\n")[1].split("\n## ")[0]
    found = re.search(rf"```{language}\n(.*?)```", section, re.DOTALL)
    assert found is not None, language
    assert len(found[1].splitlines()) == 5, found[1]
    return found[1]


def stands_in(text: str, path: str) -> None:
    """Whether the lines stand in a file that a test runs, one after another."""
    lines = [line.strip() for line in text.splitlines()]
    whole = (ROOT / path).read_text().splitlines()
    inside = [line.strip().removeprefix("///").strip() for line in whole]
    starts = range(len(inside) - len(lines) + 1)
    assert any(inside[at : at + len(lines)] == lines for at in starts), f"{path}: {text}"


def test_the_lines_of_rust_and_c_stand_in_what_tests_run() -> None:
    stands_in(block("rust"), "server/src/local.rs")
    stands_in(block("c"), "tests/c/int_readme_local_server.c")


def test_the_lines_of_python_run() -> None:
    def my_agent(url: str, words: str) -> str:
        async def ask() -> str:
            async with talkwire.connect(url, dialect="openai") as connection:
                await connection.session.update(session={"output_modalities": ["text"]})
                await say_text(connection, words)
                events = await until(connection, "response.done")
                return "".join(e.delta for e in events if e.type == "response.output_text.delta")

        return asyncio.run(ask())

    names = {"my_agent": my_agent}
    exec(block("python"), names)
    names["test_my_agent"]()


def test_the_lines_of_the_shell_run(tmp_path: Path) -> None:
    command = tmp_path / "talkwire"
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -m talkwire "$@"\n')
    command.chmod(0o755)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    lines = block("sh").replace("8089", str(port))
    path = f"{tmp_path}:{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-c", lines],
        cwd=tmp_path,
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        timeout=50,
        check=True,
    )
    assert "response.done" in done.stdout, done


def blocks_of_the_package() -> list[str]:
    return re.findall(r"```python\n(.*?)```", (ROOT / "py/README.md").read_text(), re.DOTALL)


def test_the_quickstart_of_the_package_is_short_and_runs_as_it_stands() -> None:
    quickstart, threads, _ = blocks_of_the_package()
    assert len(quickstart.splitlines()) <= 15
    for code, said in ((quickstart, "Hello!"), (threads, "session.created\n")):
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False
        )
        assert (done.returncode, done.stdout, done.stderr) == (0, said, "")


def test_the_test_of_the_package_readme_passes() -> None:
    def my_agent(url: str, words: str) -> str:
        async def ask() -> str:
            text = {"output_modalities": ["text"]}
            async with talkwire.connect(url, session=text) as connection:
                connection.tool(lambda city: "fine", name="weather")
                await say_text(connection, words)
                await until(connection, "response.done")
                events = await until(connection, "response.done")
                return "".join(e.delta for e in events if e.type == "response.output_text.delta")

        return asyncio.run(ask())

    names: dict[str, Any] = {"my_agent": my_agent}
    exec(blocks_of_the_package()[2], names)
    names["test_my_agent"]()
