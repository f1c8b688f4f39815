"""The wheel of the package: packed from what is staged, as building it anew takes minutes."""

from __future__ import annotations

import base64
import hashlib
import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import talkwire

# Interpreters without the global lock share no stable ABI before 3.15: they have a wheel for each.
IS_FREE_THREADED = bool(sysconfig.get_config_var("Py_GIL_DISABLED"))
OWN = "{}.{}t".format(*sys.version_info)
TAG = f"cp{OWN[:-1]}-cp{OWN}".replace(".", "") if IS_FREE_THREADED else "cp311-abi3"

ROOT = Path(__file__).parents[2]
PACKAGE = Path(talkwire.__file__).parent


def maturin(*arguments: str | Path) -> None:
    """Runs the build back end in its folder."""
    # Of the commands of the environment it needs its own.
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    subprocess.run(
        [sys.executable, "-m", "maturin", *arguments],
        cwd=ROOT / "py",
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        check=True,
    )


def packed(folder: Path) -> Path:
    """A wheel with the native module of the test profile, and the build back end's metadata."""
    maturin("pep517", "write-dist-info", "--metadata-directory", folder)
    info = next(folder.glob("*.dist-info"))
    platform = sysconfig.get_platform().replace("-", "_").replace(".", "_")
    tag = f"{TAG}-{platform}"
    (info / "WHEEL").write_text(
        f"Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: false\nTag: {tag}\n"
    )
    sources = {f"talkwire/{path.relative_to(PACKAGE)}": path for path in files(PACKAGE)}
    sources |= {f"{info.name}/{path.relative_to(info)}": path for path in files(info)}
    wheel = folder / f"{info.name.removesuffix('.dist-info')}-{tag}.whl"
    record = ""
    with zipfile.ZipFile(wheel, "w") as file:
        for name, path in sources.items():
            file.write(path, name)
            digest = hashlib.sha256(path.read_bytes()).digest()
            encoded = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
            record += f"{name},sha256={encoded},{path.stat().st_size}\n"
        own = f"{info.name}/RECORD"
        file.writestr(own, f"{record}{own},,\n")
    return wheel


def files(folder: Path) -> list[Path]:
    """All files below a folder but compiled ones and the list that is made anew."""
    walk = os.walk(folder, followlinks=True)
    found = [Path(place, name) for place, _, names in walk for name in names]
    return [p for p in found if "__pycache__" not in p.parts and p.name != "RECORD"]


def interpreter(version: str) -> Path | None:
    """A Python of that version: of the path, or of pyenv."""
    versions = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    of_pyenv = sorted(versions.glob(f"*/bin/python{version}"))
    on_path = shutil.which(f"python{version}")
    candidates = [*([on_path] if on_path else []), *of_pyenv]
    # One of the path may be a shim for an interpreter that is not there.
    works = [c for c in candidates if subprocess.run([c, "-m", "pip", "-V"], check=False,
             capture_output=True).returncode == 0]  # fmt: skip
    return Path(works[0]) if works else None
