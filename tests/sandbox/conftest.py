"""A fresh Slack, or Entra and Intune, for each test."""

import pytest
from local_microsoft import Microsoft
from local_slack import LocalSlack


@pytest.fixture
def microsoft() -> Microsoft:
    """Ken's token goes with every Graph call, unless the test carries another."""
    return Microsoft()


@pytest.fixture
def it() -> LocalSlack:
    return LocalSlack()
