"""The sandbox's data: who is there, which phones they have, and what the vendors say in an error."""

import json
import tomllib
from functools import cache
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent


@cache
def load(name: str) -> dict[str, Any]:
    """Read one file of this folder (TOML or JSON). Callers share the result and must not change it."""
    content = (HERE / name).read_text("utf-8")
    return dict(tomllib.loads(content) if name.endswith(".toml") else json.loads(content))
