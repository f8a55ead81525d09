"""What every client is told: where the gateway is, its key, what there is to ask for; and the prompts.

What the vendor behind the gateway makes of a prompt stands in tests/clients/vendor/mind.py.
"""

import base64
import os
from typing import Final

URL: Final = os.environ["INTERLOCK_URL"]
OPENAI: Final = f"{URL}/v1"
KEY: Final = os.environ["INTERLOCK_KEY"]
BEHIND: Final = ("gpt", "answers", "claude")
"""A model behind each wire format: chat, Responses, messages. Every client speaks to all, in each dialect."""

CUT: Final = "one two three four five [[cut]]"
CITE: Final = "[[cite]]"
PAGE: Final = "https://news.example/rain"
"""What an answer to CITE cites."""
SLOW_DOWN: Final = "[[429]]"
BROKEN: Final = "[[500]]"
CARD: Final = "charge my card 4111 1111 1111 1111"
"""Regulated data: no provider of this config is trusted with it."""

PICTURE: Final = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
"""A red dot."""
