"""JSON from elsewhere, read without a way to break the reader."""

import json


def read_object(text: str | bytes) -> dict[str, object] | None:
    """The object that the text is; None for what is no JSON, another value, or nested too deeply to read."""
    try:
        value: object = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None
