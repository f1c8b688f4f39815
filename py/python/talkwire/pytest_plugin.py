"""Fixtures for pytest, there wherever the wheel is installed; otherwise name it:
``pytest_plugins = ["talkwire.pytest_plugin"]``.

::

    @pytest.mark.local_server(script={"turns": [{"when": {"user": "any"}, "say": "Hello!"}]})
    def test_my_agent(local_server):
        assert my_agent(local_server.url) == "Hello!"
        local_server.journal().check_order("client response.create", "server response.done")
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from .testing import LocalServer


def pytest_configure(config: pytest.Config) -> None:
    """Makes the marker known."""
    config.addinivalue_line(
        "markers", "local_server(**options): options of the server of the fixture `local_server`"
    )


@pytest.fixture
def make_local_server() -> Iterator[Callable[..., LocalServer]]:
    """Starts local servers, which are stopped after the test: ``make_local_server(**options)``, with
    a journal and a port for control unless the options say otherwise."""
    from .testing import LocalServer

    with ExitStack() as stack:

        def make(**options: Any) -> LocalServer:
            return stack.enter_context(LocalServer(**{"journal": True, "control": True, **options}))

        yield make


@pytest.fixture
def local_server(
    request: pytest.FixtureRequest, make_local_server: Callable[..., LocalServer]
) -> LocalServer:
    """A local server, with the options of the marker ``local_server``, a journal and a port for
    control."""
    options: dict[str, Any] = {}
    # The nearest marker comes first and wins.
    for marker in reversed(list(request.node.iter_markers("local_server"))):
        options.update(marker.kwargs)
    return make_local_server(**options)
