"""One script, four languages: the application sees the same events in the same order."""

import json
import math
import os
import shlex
import signal
import struct
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
HERE = ROOT / "tests" / "e2e"
BIN = Path(os.environ["TALKWIRE_BIN"])
STAGE = Path(os.environ["TALKWIRE_STAGE"])
EXAMPLES = BIN.parent / "examples"
LOW = {"1": 697, "2": 697, "3": 697, "4": 770, "5": 770, "6": 770, "7": 852, "8": 852, "9": 852}
HIGH = {
    "1": 1209,
    "4": 1209,
    "7": 1209,
    "2": 1336,
    "5": 1336,
    "8": 1336,
    "3": 1477,
    "6": 1477,
    "9": 1477,
}


def tones(digits: str, rate: int = 24_000) -> bytes:
    """Digits as telephone tones of 100 ms with pauses of 100 ms, 16-bit little-endian."""
    samples: list[int] = [0] * (rate // 10)
    for digit in digits:
        for n in range(rate // 10):
            t = 2 * math.pi * n / rate
            samples.append(int(8000 * (math.sin(LOW[digit] * t) + math.sin(HIGH[digit] * t)) / 2))
        samples += [0] * (rate // 10)
    return struct.pack(f"<{len(samples)}h", *samples)


@pytest.fixture(scope="module")
def pcm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("e2e") / "digits.pcm"
    path.write_bytes(tones("42"))
    return path


@pytest.fixture(scope="module", params=["yandex", "openai"])
def url(request: pytest.FixtureRequest):
    command = [BIN, "serve", "--profile", request.param, "--script", HERE / "script.yaml"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        line = server.stdout.readline()
        yield line.removeprefix("listening on ").strip()
        server.send_signal(signal.SIGTERM)
        assert server.wait(10) == 0


def built(compiler: list[str], source: Path, target: Path) -> list[str]:
    """A program built as a stranger builds it: from the installed package, by pkg-config."""
    environment = {**os.environ, "PKG_CONFIG_PATH": str(STAGE / "lib" / "pkgconfig")}
    flags = subprocess.check_output(
        ["pkg-config", "--cflags", "--libs", "talkwire"], env=environment, text=True
    )
    rpath = f"-Wl,-rpath,{STAGE / 'lib'}"
    command = [*compiler, "-Wall", "-Werror", str(source), "-o", str(target)]
    subprocess.check_call([*command, *shlex.split(flags), rpath])
    return [str(target)]


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    out = tmp_path_factory.mktemp("programs")
    return {
        "rust": [str(EXAMPLES / "e2e")],
        "c": built(["cc", "-std=c11"], HERE / "c" / "e2e.c", out / "e2e-c"),
        "cpp": built(["c++", "-std=c++17"], HERE / "cpp" / "e2e.cpp", out / "e2e-cpp"),
        "python": [sys.executable, str(HERE / "python" / "e2e.py")],
    }


def play(program: list[str], url: str, pcm: Path) -> tuple[list[str], dict]:
    """The normalised events of a program, and the end it reports."""
    run = subprocess.run(
        [*program, "--url", url, "--pcm", str(pcm)], capture_output=True, text=True, timeout=60
    )
    assert run.returncode == 0, run.stderr
    *events, end = run.stdout.splitlines()
    assert end.startswith("END "), end
    normal = subprocess.run(
        [EXAMPLES / "normalise"], input="\n".join(events), capture_output=True, text=True
    )
    assert normal.returncode == 0, normal.stderr
    return normal.stdout.splitlines(), json.loads(end.removeprefix("END "))


def test_every_language_sees_the_same_events(
    url: str, pcm: Path, programs: dict[str, list[str]]
) -> None:
    seen = {name: play(program, url, pcm) for name, program in programs.items()}
    reference, end = seen["rust"]
    text = "\n".join(reference)
    for wanted in ["Good day.", "4 2", "place_order", "Ordered.", "no.such.event"]:
        assert wanted in text, f"the script did not get to {wanted}:\n{text}"
    assert end["why"] == "closed" and end["expected"] and end["who"] == "app"
    for name, (events, its_end) in seen.items():
        assert events == reference, f"{name} differs from rust"
        for key in ("who", "why", "expected", "mid_turn", "unsent"):
            assert its_end[key] == end[key], f"{name}: {key}"
