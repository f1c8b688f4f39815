"""Tools of a connection that threads hold: functions of the program that the model may call."""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import Callable, Mapping
from typing import Any

from .. import _native
from .._base import as_json
from .._errors import ConnectionClosed
from .._event import Event
from .._tools import Toolbook, as_error, as_output
from ._subscription import Subscription


class Toolbox(Toolbook):
    """Runs each call in a thread, whether or not anybody reads the connection."""

    def __init__(self, native: _native.Session) -> None:
        super().__init__(native)
        self._calls: Subscription | None = None
        self._lock = threading.Lock()

    def add(self, function: Callable[..., Any], settings: Mapping[str, Any]) -> None:
        """Registers a function under its name."""
        with self._lock:
            if self._calls is None:
                self._calls = Subscription(self._native.subscribe(as_json({"topics": ["control"]})))
                serve = threading.Thread(
                    target=self._serve, args=(self._calls,), name="talkwire-tools", daemon=True
                )
                serve.start()
            super().add(function, settings)

    def stop(self) -> None:
        """No further call is run; what runs goes on to its end, and its result is for nobody."""
        if self._calls is not None:
            self._calls.close()

    def _serve(self, calls: Subscription) -> None:
        try:
            for event in calls:
                if event.type == "tool.call" and event.name in self._functions:
                    name = f"talkwire-{event.name}"
                    threading.Thread(target=self._run, args=(event,), name=name).start()
        except ConnectionClosed:
            # Whoever reads the connection is told.
            return

    def _run(self, call: Event) -> None:
        output, error = None, None
        try:
            function, given = self._called(call)
            result = function(**given)
            output = as_output(asyncio.run(result) if inspect.iscoroutine(result) else result)
        except Exception as failure:
            error = as_error(failure)
        self._answer(call, output, error)
