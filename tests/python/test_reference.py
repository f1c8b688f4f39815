"""The reference is made of the docstrings, by pdoc, into target/api."""

from __future__ import annotations

import inspect
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
import talkwire
from talkwire import events, sync, testing

API = Path(talkwire.__file__).parents[2] / "api"
MODULES = [talkwire, sync, events, testing]


def test_the_reference_is_made_without_a_warning() -> None:
    # Modules that the package names in __all__ come with it.
    names = ["talkwire", "talkwire.testing"]
    # What a name leads to and cannot be found is a warning.
    command = [sys.executable, "-W", "error", "-m", "pdoc", "-d", "restructuredtext"]
    done = subprocess.run(
        [*command, "-o", API, *names], capture_output=True, text=True, timeout=50, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    pages = {module: page(module).read_text(encoding="utf-8") for module in MODULES}
    assert 'id="Connection.stream_response"' in pages[talkwire]
    assert 'id="LocalServer.advance"' in pages[testing]
    for module, text in pages.items():
        for name in module.__all__:
            assert f'id="{name}"' in text or inspect.ismodule(getattr(module, name)), name


def page(module: ModuleType) -> Path:
    return API / f"{module.__name__.replace('.', '/')}.html"


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__)
def test_all_that_is_public_is_documented(module: ModuleType) -> None:
    missing = []
    for name in module.__all__:
        thing = getattr(module, name)
        if inspect.isclass(thing) and issubclass(thing, talkwire.Event) and thing.__doc__:
            continue
        if inspect.isclass(thing):
            members = {n: m for n, m in vars(thing).items() if not n.startswith("_")}
            functions = {n: m for n, m in members.items() if callable(m) or isinstance(m, property)}
            missing += [f"{name}.{n}" for n, m in functions.items() if not inspect.getdoc(m)]
        if (inspect.isclass(thing) or inspect.isfunction(thing)) and not inspect.getdoc(thing):
            missing.append(name)
    assert missing == []
