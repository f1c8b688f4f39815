"""Types: checkers are content with the package and with programs that use it well, and find what is
wrong in the others; the stubs of the native module say what is there."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import talkwire

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "py/python/talkwire"
TYPED = Path(__file__).parent / "typed"
SETTINGS = ROOT / "py/pyproject.toml"
INSTALLED = Path(talkwire.__file__).parents[1]
# Python that others read: it is looked at by the same rules.
PYTHON = ["py", "tests/python", "tests/e2e", "examples/python"]


@pytest.fixture(scope="module")
def node() -> None:
    """Pyright is a program of node, which its package installs with npm when it is first run."""
    for program in ("node", "npm"):
        if shutil.which(program) is None:
            pytest.skip(f"pyright needs {program}")
    command = [sys.executable, "-m", "pyright", "--version"]
    try:
        subprocess.run(command, capture_output=True, timeout=240, check=True)
    except subprocess.SubprocessError:
        pytest.skip("npm could not install pyright")


def ran(*command: str | Path, code: int | None = 0) -> str:
    done = subprocess.run(
        [sys.executable, "-m", *command],
        cwd=ROOT,
        env={**os.environ, "MYPYPATH": str(INSTALLED)},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert code is None or done.returncode == code, done.stdout + done.stderr
    return done.stdout


def mypy(*paths: Path, code: int | None = 0) -> str:
    cache = INSTALLED.parent / "mypy"
    return ran("mypy", "--config-file", SETTINGS, "--cache-dir", cache, *paths, code=code)


def pyright(where: Path, *paths: Path) -> list[tuple[str, int, str]]:
    """What it says of files, and in which lines."""
    settings = {
        "include": [os.path.relpath(path, where) for path in paths],
        "extraPaths": [str(INSTALLED)],
        "reportMissingModuleSource": False,
        "pythonVersion": "3.11",
    }
    (where / "pyrightconfig.json").write_text(json.dumps(settings))
    command = ["pyright", "--outputjson", "--pythonpath", sys.executable, "-p", where]
    report = json.loads(ran(*command, code=None))
    assert report["summary"]["filesAnalyzed"] >= len(paths)
    said = report["generalDiagnostics"]
    return [(Path(d["file"]).name, d["range"]["start"]["line"] + 1, d["message"]) for d in said]


def marked(path: Path) -> set[int]:
    lines = path.read_text().splitlines()
    return {number for number, line in enumerate(lines, 1) if line.endswith("# wrong")}


@pytest.mark.timeout(300)
def test_mypy_is_content_with_the_package_and_with_a_right_program() -> None:
    assert "no issues" in mypy(SOURCE)
    assert "no issues" in mypy(TYPED / "right.py")


@pytest.mark.timeout(300)
def test_mypy_finds_every_mistake_and_nothing_else() -> None:
    wrong = TYPED / "wrong.py"
    told = re.findall(r"wrong\.py:(\d+): error", mypy(wrong, code=1))
    assert {int(number) for number in told} == marked(wrong)


@pytest.mark.usefixtures("node")
@pytest.mark.timeout(600)
def test_pyright_is_content_with_the_package_and_finds_every_mistake(tmp_path: Path) -> None:
    assert pyright(tmp_path, INSTALLED / "talkwire", TYPED / "right.py") == []
    wrong = TYPED / "wrong.py"
    assert {line for _, line, _ in pyright(tmp_path, wrong)} == marked(wrong)


@pytest.mark.usefixtures("node")
@pytest.mark.timeout(600)
def test_all_that_is_public_has_a_type() -> None:
    told = ran("pyright", "--verifytypes", "talkwire", "--ignoreexternal", code=None)
    assert "Type completeness score: 100%" in told, told


@pytest.mark.timeout(300)
def test_the_stubs_say_what_the_native_module_is(tmp_path: Path) -> None:
    # The list that PyO3 makes; the module is private.
    allowed = tmp_path / "allowed"
    allowed.write_text(r"talkwire\._native\.__all__" + "\n")
    settings = ["--mypy-config-file", SETTINGS, "--allowlist", allowed]
    assert "no issues" in ran("mypy.stubtest", "talkwire._native", *settings)


def test_python_is_formatted_and_linted() -> None:
    ran("ruff", "format", "--check", "--config", SETTINGS, *PYTHON)
    # Tests are told by their names.
    ran("ruff", "check", "--no-cache", "--config", SETTINGS, "--extend-ignore", "D102", *PYTHON)
