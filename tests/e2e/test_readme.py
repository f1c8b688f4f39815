"""The quickstarts of the README run as they are written."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from test_e2e import ROOT, built, url

__all__ = ["url"]

AS_WRITTEN = "ws://127.0.0.1:8080/v1/realtime"


def quickstart(language: str) -> str:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    section = text.split("\n## Quickstart\n")[1].split("\n## ")[0]
    (block,) = re.findall(rf"^```{language}\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)
    assert block.count(AS_WRITTEN) == 1
    return block


@pytest.mark.parametrize("language", ["python", "c", "cpp"])
def test_a_quickstart_prints_the_answer(language: str, url: str, tmp_path: Path) -> None:
    source = tmp_path / f"hello.{language}"
    source.write_text(quickstart(language).replace(AS_WRITTEN, url), encoding="utf-8")
    compilers = {"c": ["cc", "-std=c11"], "cpp": ["c++", "-std=c++17"]}
    if language in compilers:
        program = built(compilers[language], source, tmp_path / "hello")
    else:
        program = [sys.executable, str(source)]
    run = subprocess.run(program, capture_output=True, text=True, timeout=60, check=False)
    assert (run.returncode, run.stderr) == (0, "")
    assert run.stdout.strip() == "Good day."
