"""One wheel for every Python from 3.11 on, with the command in it and nothing that it needs."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import tarfile
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest
from helpers import DEEP, program
from wheels import IS_FREE_THREADED, OWN, ROOT, TAG, files, interpreter, maturin, packed

VERSIONS = [OWN] if IS_FREE_THREADED else ["3.11", "3.12", "3.13", "3.14", "3.15"]
# A release build takes minutes, and both are of the same sources.
ORIGINS = ["clone"] if IS_FREE_THREADED else ["clone", "source distribution"]
PATIENCE_S = 60

PROGRAM = """
import asyncio, talkwire
from talkwire.testing import LocalServer
async def main():
    async with LocalServer() as server:
        text = {"type": "realtime", "output_modalities": ["text"]}
        item = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "hi"}]}
        async with talkwire.connect(server.url, session=text) as connection:
            await connection.conversation.item.create(item=item)
            async with connection.stream_response() as answer:
                print("".join([text async for text in answer.text]), talkwire.__version__)
        with talkwire.sync.connect(server.url, session=text) as connection:
            connection.recv(10)
asyncio.run(main())
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return packed(tmp_path_factory.mktemp("wheel"))


def ran(*command: str | Path, **environment: str) -> str:
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
        cwd="/",
        env={**os.environ, "PYTHONPATH": "", **environment},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def installed(python: Path, wheel: Path, target: Path) -> Path:
    pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-index"]
    ran(python, *pip, "--target", target, wheel)
    return target


@pytest.mark.parametrize("version", VERSIONS)
def test_one_wheel_is_for_every_python(version: str, wheel: Path, tmp_path: Path) -> None:
    python = interpreter(version)
    if python is None:
        pytest.skip(f"no Python {version} with pip is installed")
    target = installed(python, wheel, tmp_path)
    said = ran(python, "-W", "error", "-c", PROGRAM, PYTHONPATH=str(target))
    assert said.split() == ["hi", wheel.name.split("-")[1]]
    said = ran(target / "bin/talkwire", "--version", PYTHONPATH=str(target))
    assert wheel.name.split("-")[1] in said


def test_the_command_of_the_wheel_stops_on_ctrl_c(wheel: Path, tmp_path: Path) -> None:
    target = installed(Path(sys.executable), wheel, tmp_path)
    command, path = target / "bin/talkwire", str(target)
    with program(command, "serve", PYTHONPATH=path) as server:
        assert server.stdout is not None
        url = server.stdout.readline().removeprefix("listening on ").strip()
        said = ran(command, "call", "--url", url, "--text", "hi", "--json", PYTHONPATH=path)
        assert json.loads(said.splitlines()[-1])["end"]["expected"]
        server.send_signal(signal.SIGINT)
        assert server.wait(PATIENCE_S) == 0


def test_pytest_has_the_fixtures_where_the_wheel_is_installed(wheel: Path, tmp_path: Path) -> None:
    target = installed(Path(sys.executable), wheel, tmp_path)
    test = tmp_path / "test_agent.py"
    test.write_text("def test_url(local_server): assert local_server.url")
    said = ran(sys.executable, "-m", "pytest", "-p", "no:cacheprovider", test,
               PYTHONPATH=str(target))  # fmt: skip
    assert "1 passed" in said


def test_the_wheel_needs_nothing_and_says_what_it_is(wheel: Path) -> None:
    look(wheel)


def look(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as file:
        names = file.namelist()
        metadata = next(name for name in names if name.endswith(".dist-info/METADATA"))
        told = Parser().parsestr(file.read(metadata).decode())
    assert "Requires-Dist" not in told
    assert told["Requires-Python"] == ">=3.11"
    assert told["License-Expression"] == "MIT OR Apache-2.0"
    assert sorted(told.get_all("License-File") or []) == ["LICENSE-APACHE", "LICENSE-MIT"]
    for name in ("py.typed", "_native.pyi", "sync/__init__.py", "testing.py"):
        assert f"talkwire/{name}" in names
    (native,) = [name for name in names if name.endswith(".so")]
    assert native.startswith("talkwire/_native.") and ("abi3" in native) != IS_FREE_THREADED
    assert f"-{TAG}-" in wheel.name


@pytest.mark.skipif(sys.platform != "linux", reason="auditwheel is for Linux")
def test_the_wheel_asks_the_system_for_what_every_linux_has(wheel: Path) -> None:
    # It tells the oldest system that has all symbols; a library of this machine would have none.
    said = json.loads(ran(sys.executable, "-m", "auditwheel", "show", "--json", wheel))
    assert said["overall_tag"].startswith("manylinux_"), said
    assert not said["external_libs"]


@pytest.mark.skipif(IS_FREE_THREADED, reason="there is no stable ABI without the global lock")
def test_the_wheel_keeps_to_the_stable_abi(wheel: Path) -> None:
    said = ran(sys.executable, "-m", "abi3audit", "--strict", "--report", wheel)
    specs = json.loads(said)["specs"]
    (result,) = [kind["wheel"] for kind in specs.values()]
    assert [o["result"]["is_abi3"] for o in result] == [True]
    assert all(not o["result"]["non_abi3_symbols"] for o in result)


def test_the_source_distribution_has_all_that_it_builds_of(tmp_path: Path) -> None:
    maturin("sdist", "--out", tmp_path)
    (archive,) = tmp_path.glob("*.tar.gz")
    with tarfile.open(archive) as file:
        file.extractall(tmp_path, filter="data")
    (tree,) = [path for path in tmp_path.iterdir() if path.is_dir()]
    for name in ("PKG-INFO", "README.md", "LICENSE-MIT", "LICENSE-APACHE", "Cargo.lock"):
        assert (tree / name).is_file(), name
    source = ROOT / "py/python/talkwire"
    ours = {path.relative_to(source) for path in files(source) if path.suffix != ".so"}
    packed = tree / "python/talkwire"
    assert {path.relative_to(packed) for path in files(packed)} == ours
    # Every crate that is built, and every file of it; those of other systems were never fetched.
    host = re.findall("^host: (.*)$", ran("rustc", "-vV"), re.MULTILINE)[0]
    ran("cargo", "metadata", "--offline", "--format-version", "1", "--filter-platform", host,
        "--manifest-path", tree / "py/Cargo.toml")  # fmt: skip
    # What is compiled, and what it includes.
    for place in ("core/src", "server/src", "cli/src", "cli/demo", "py/src"):
        here = {path.relative_to(ROOT / place) for path in files(ROOT / place)}
        there = {path.relative_to(tree / place) for path in files(tree / place)}
        assert here == there, place


@pytest.mark.timeout(3_000)
@pytest.mark.parametrize("origin", ORIGINS)
def pip_builds_and_installs_it_with_rust_alone(origin: str, tmp_path: Path) -> None:
    source = ROOT / "py"
    if origin != "clone":
        maturin("sdist", "--out", tmp_path)
        (source,) = tmp_path.glob("*.tar.gz")
    venv = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", venv], check=True)
    python = venv / "bin/python"
    environment = {**os.environ, "PYTHONPATH": "", "CARGO_TARGET_DIR": str(ROOT / "target/wheel")}
    pip = [python, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    subprocess.run(
        [*pip, "wheel", "--no-deps", "--wheel-dir", tmp_path, source], check=True, env=environment
    )
    (wheel,) = tmp_path.glob("*.whl")
    look(wheel)
    subprocess.run([*pip, "install", "--no-index", wheel], check=True, env=environment)
    assert ran(python, "-W", "error", "-c", PROGRAM).startswith("hi")
    ran(venv / "bin/talkwire", "--version")
    test_the_wheel_asks_the_system_for_what_every_linux_has(wheel)
    if not IS_FREE_THREADED:
        test_the_wheel_keeps_to_the_stable_abi(wheel)


if DEEP:
    test_pip_builds_and_installs_it_with_rust_alone = pip_builds_and_installs_it_with_rust_alone
