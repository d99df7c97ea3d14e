"""An installed bot beside the sandbox: attackers get no other door than people have."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.whole.installed import Installed, installed


@pytest.fixture
async def there(tmp_path: Path) -> AsyncIterator[Installed]:
    """HTTP mode; Ken and Aiko may approve."""
    async with installed(tmp_path) as there:
        yield there
