"""What holds after every test."""

from __future__ import annotations

import gc
import signal
import threading
from collections.abc import Iterator

import pytest
from talkwire import _native

_PATIENCE_S = 5

# A shell starts what runs in its background deaf to Ctrl-C, and so would be the programs of the tests.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def _no_native_object_is_left(request: pytest.FixtureRequest) -> Iterator[None]:
    """Sessions, servers, events and descriptors go with the test that made them."""
    before = _native.alive()
    yield
    # What other fixtures gave is over, but still held.
    request.node.funcargs.clear()
    if _native.alive() > before:
        # Tracebacks of what was caught hold frames in cycles.
        gc.collect()
    # Threads that serve tools and credentials end by themselves, and let go of what they hold then.
    for thread in threading.enumerate():
        if _native.alive() > before and thread.name.startswith("talkwire-"):
            thread.join(_PATIENCE_S)
    assert _native.alive() <= before, f"{_native.alive() - before} native objects are left"
