"""Owns reading a message that a page or another process sent: one JSON object in which numbers are whole."""

import json
from typing import Any


def read(text: str | bytes) -> dict[str, Any]:
    """Return the message. Raises: ValueError for whatever is none."""
    try:
        message = json.loads(text, parse_float=_refuse, parse_constant=_refuse)
    except RecursionError:
        raise ValueError("A message is not as deep.") from None
    if not isinstance(message, dict):
        raise ValueError("A message is a JSON object.")
    return message


def _refuse(number: str) -> None:
    # Infinity would be no number of a run, no page, no size and no offset.
    raise ValueError("A number of a message is a whole number.")
