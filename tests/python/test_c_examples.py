"""What the C examples do beyond a plain run, which `examples` of `cargo xtask test` is."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from programs import PATIENCE_S, ROOT, built

Build = Callable[[str], Path]


@pytest.fixture(scope="session")
def build(tmp_path_factory: pytest.TempPathFactory) -> Build:
    out = tmp_path_factory.mktemp("c_examples")

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


@pytest.mark.parametrize("source", ["c/text_chat.c", "c/voice_call.c", "c/live_call.c"])
def test_an_example_says_what_is_wrong_with_a_url(build: Build, source: str) -> None:
    done = ran(build(source), "--url", "nonsense")
    assert done.returncode == 1
    assert "the URL must begin with ws:// or wss://" in done.stderr
