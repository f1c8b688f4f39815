"""Tools: functions of the program that the model may call."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import json
import types
import typing
from collections.abc import Callable, Mapping
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from . import _native
from ._errors import RealtimeError
from ._event import Event

Function = TypeVar("Function", bound=Callable[..., Any])

_SIMPLE = {str: "string", int: "integer", float: "number", bool: "boolean"}

# Time for tools to clean up after themselves when their session is closed.
_STOP_S = 1.0


class Toolbook:
    """The tools of one connection."""

    def __init__(self, native: _native.Session) -> None:
        self._native = native
        self._functions: dict[str, Callable[..., Any]] = {}

    def add(self, function: Callable[..., Any], settings: Mapping[str, Any]) -> None:
        """Registers a function under its name."""
        tool = describe(function, settings)
        name, text = tool["name"], json.dumps(tool, ensure_ascii=False)
        # Before it is told: a call may come at once.
        before = self._functions.get(name)
        self._functions[name] = function
        try:
            self._native.register_tool(text)
        except BaseException:
            if before is None:
                del self._functions[name]
            else:
                self._functions[name] = before
            raise

    def _called(self, call: Event) -> tuple[Callable[..., Any], dict[str, Any]]:
        """The function of a call, and what it is given."""
        function = self._functions[call.name]
        given: dict[str, Any] = json.loads(call.arguments)
        if _wants_key(function):
            given["idempotency_key"] = call.idempotency_key
        return function, given

    def _answer(self, call: Event, output: str | None, error: str | None) -> None:
        # The session may have ended under it; then nobody waits for the result.
        with contextlib.suppress(RealtimeError):
            self._native.answer_tool(call.call_id, output, error)


class Toolbox(Toolbook):
    """The tools of a connection on an event loop, and the calls that run."""

    def __init__(self, native: _native.Session) -> None:
        super().__init__(native)
        self._running: dict[str, asyncio.Task[None]] = {}
        self._is_over = False

    def seen(self, event: Event) -> None:
        """Starts what an event calls, and stops what nobody waits for."""
        if self._is_over:
            return
        if event.type == "tool.call" and event.name in self._functions:
            running = asyncio.get_running_loop().create_task(self._run(event))
            call_id = event.call_id
            self._running[call_id] = running
            running.add_done_callback(lambda _: self._running.pop(call_id, None))
        elif event.type == "tool.cancelled" and event.call_id in self._running:
            self._running[event.call_id].cancel()

    async def stop(self) -> None:
        """Cancels what runs, and waits a moment for it: a close must not wait for a tool that will
        not be cancelled."""
        # A tool may end its own session; it is not to wait for itself, nor to be cancelled by what is
        # told of the end.
        self._is_over = True
        current = asyncio.current_task()
        running = [task for task in self._running.values() if task is not current]
        for task in running:
            task.cancel()
        if running:
            await asyncio.wait(running, timeout=_STOP_S)

    async def _run(self, call: Event) -> None:
        output, error = None, None
        try:
            function, given = self._called(call)
            if inspect.iscoroutinefunction(function):
                output = as_output(await function(**given))
            else:
                output = as_output(await asyncio.to_thread(function, **given))
        except Exception as failure:
            error = as_error(failure)
        self._answer(call, output, error)


def as_output(result: object) -> str:
    """The result of a tool as the model reads it."""
    return result if isinstance(result, str) else json.dumps(result, ensure_ascii=False)


def as_error(failure: Exception) -> str:
    """What a tool raised, which is for the model to know."""
    return f"{type(failure).__name__}: {failure}"


def describe(function: Callable[..., Any], settings: Mapping[str, Any]) -> dict[str, Any]:
    """A tool as JSON: the name of the function, its docstring, and a schema of its parameters
    derived from their type hints. ``settings`` override."""
    hints = get_type_hints(function, include_extras=True)
    properties: dict[str, Any] = {}
    required = []
    for name, parameter in inspect.signature(function).parameters.items():
        if name == "idempotency_key":
            continue
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.POSITIONAL_ONLY):
            raise TypeError(f"{function.__name__}: a model cannot give the parameter {name!r}")
        if parameter.kind is parameter.VAR_KEYWORD:
            continue
        properties[name] = schema(hints.get(name, str))
        if parameter.default is parameter.empty:
            required.append(name)
    tool = {
        "name": function.__name__,
        "description": inspect.getdoc(function) or "",
        "parameters": {"type": "object", "properties": properties, "required": required},
    }
    return {**tool, **settings}


def schema(hint: Any) -> dict[str, Any]:
    """The JSON schema of a type hint."""
    origin, args = get_origin(hint), get_args(hint)
    if origin is typing.Annotated:
        described = [note for note in args[1:] if isinstance(note, str)]
        return {**schema(args[0]), **({"description": described[0]} if described else {})}
    if hint in _SIMPLE:
        return {"type": _SIMPLE[hint]}
    if origin is Literal:
        return {"enum": list(args)}
    if origin in (Union, types.UnionType):
        kinds = [arg for arg in args if arg is not type(None)]
        return schema(kinds[0]) if len(kinds) == 1 else {"anyOf": [schema(kind) for kind in kinds]}
    if origin in (list, tuple, set) or hint in (list, tuple, set):
        return {"type": "array", **({"items": schema(args[0])} if args else {})}
    if origin is dict or hint is dict:
        return {"type": "object"}
    return {}


def _wants_key(function: Callable[..., Any]) -> bool:
    return "idempotency_key" in inspect.signature(function).parameters
