"""The desk that every test of this room sits at."""

import pytest
from entra_desk import EntraDesk


@pytest.fixture
def desk() -> EntraDesk:
    return EntraDesk()
