"""The program of original.py, ported: only what it imports and how it connects is different.

ported.py --url URL
"""

import argparse
import asyncio

import talkwire

parser = argparse.ArgumentParser()
parser.add_argument("--url", required=True)
url = parser.parse_args().url


def connect():
    return talkwire.connect(url, dialect="openai", model="gpt-realtime")


async def main():
    async with connect() as connection:
        await connection.session.update(
            session={"type": "realtime", "output_modalities": ["text"], "instructions": "Be brief."}
        )
        for question in ("Tell me a story.", "And then?"):
            await connection.conversation.item.create(
                item={
                    "type": "message",
                    "role": "user",
                    "content": [{"type": "input_text", "text": question}],
                }
            )
            await connection.response.create()
            async for event in connection:
                if event.type == "response.output_text.delta":
                    print(event.delta, end="", flush=True)
                elif event.type == "response.output_text.done":
                    print()
                elif event.type == "error":
                    print(event.error.type, event.error.code, event.error.message)
                elif event.type == "response.done":
                    print(f"({event.response.status}, {event.response.usage.output_tokens} tokens)")
                    break


asyncio.run(main())
