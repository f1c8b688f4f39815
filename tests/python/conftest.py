"""What holds after every test."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest
from talkwire import _native


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
    assert _native.alive() <= before, f"{_native.alive() - before} native objects are left"
