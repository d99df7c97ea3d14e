"""JSON as Slack writes it."""

from typing import Any

# Slack's JSON is open by design (blocks, payloads, metadata): its shape is checked at run time, in blocks.py.
JsonObject = dict[str, Any]
Block = JsonObject
