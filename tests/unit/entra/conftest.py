"""The set-up of the tests about links and sign-ins."""

import pytest
from tests.support.database import sqlite_database
from tests.unit.entra.sign_in_fixture import SignInFixture


@pytest.fixture
async def setup(tmp_path):
    async with sqlite_database(tmp_path) as database:
        yield SignInFixture(database)
