"""An agent that is tested in test_agent.py: it answers in writing and knows the hours."""

from __future__ import annotations

import talkwire

SESSION = {"type": "realtime", "output_modalities": ["text"], "instructions": "Be polite."}


class NoAnswerError(Exception):
    """There will be no answer."""


async def ask(url: str, question: str) -> str:
    """What the agent says to a question."""
    async with talkwire.connect(url, session=SESSION, recovery={"budget_ms": 0}) as connection:

        @connection.tool
        def hours(day: str) -> str:
            """When the shop is open."""
            return "closed" if day == "Sunday" else "nine to five"

        content = [{"type": "input_text", "text": question}]
        await connection.conversation.item.create(
            item={"type": "message", "role": "user", "content": content}
        )
        await connection.response.create()
        try:
            async for event in connection:
                if event.type == "response.output_text.done":
                    return str(event.text)
        except talkwire.ConnectionClosedError as lost:
            raise NoAnswerError(str(lost)) from lost
    raise NoAnswerError
