"""The set-up of the tests about links and sign-ins."""

import pytest
from tests.unit.entra.fake_entra import FakeEntra, a_clock
from tests.unit.entra.sign_in_fixture import SignInFixture


@pytest.fixture
def setup(database):
    return SignInFixture(database, FakeEntra(a_clock()))


@pytest.fixture
async def expired(setup):
    """Ken is signed in, and his access token is out of time."""
    await setup.sign_in()
    await setup.expire_token()
    return setup
