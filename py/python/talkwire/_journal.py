"""What the sessions of a local server did, for assertions."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal, Self

Sender = Literal["client", "server", "journal"]
"""Who an entry is of: ``journal`` are openings, closes and faults."""


class Journal(list[dict[str, Any]]):
    """Entries in their order: ``t_ms``, ``from``, ``lane``, ``name`` and ``event``."""

    def of(self, sender: Sender) -> Journal:
        """Those of one sender."""
        return Journal(entry for entry in self if entry["from"] == sender)

    def named(self, *names: str) -> Journal:
        """Those of these names."""
        return Journal(entry for entry in self if entry["name"] in names)

    @property
    def names(self) -> list[str]:
        """Their names."""
        return [entry["name"] for entry in self]

    @property
    def events(self) -> list[dict[str, Any]]:
        """What was sent: the events, without audio and credentials."""
        return [entry["event"] for entry in self if entry["from"] != "journal"]

    def check_order(self, *steps: str) -> Self:
        """Asserts that these happened in this order, others in between or not. A step is a name, or
        who and a name: ``"client response.create"``. Raises AssertionError with the journal in short."""
        rest = iter(f"{entry['from']} {entry['name']}" for entry in self)
        for number, step in enumerate(steps):
            if not _found(step, rest):
                told = "\n  ".join(f"{e['t_ms']:>6} ms  {e['from']} {e['name']}" for e in self)
                after = f" after {steps[number - 1]!r}" if number else ""
                raise AssertionError(f"there is no {step!r}{after} in\n  {told or 'nothing'}")
        return self

    def check_none(self, *names: str) -> Self:
        """Asserts that nothing of these names happened."""
        found = self.named(*names)
        if found:
            raise AssertionError(f"there are {', '.join(found.names)}: {found[0]}")
        return self


def _found(step: str, rest: Iterable[str]) -> bool:
    return any(seen == step or seen.split(" ", 1)[1] == step for seen in rest)
