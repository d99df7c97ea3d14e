"""The rights that `doctor` looks for are those that the bot uses and the documents name."""

import pytest
from bot.doctor import write_nothing
from bot.domain.errors import StoreUnavailable
from sqlalchemy import text
from tests.unit.store.conftest import opened, owner

LACKING = ["INSERT ON audit", "UPDATE ON requests", "DELETE ON sign_ins", "INSERT ON sign_in_links"]


async def test_o16_with_the_documented_rights_all_can_be_used(postgresql):
    async with opened(postgresql) as database:
        await database.run(write_nothing)


@pytest.mark.parametrize("lacking", LACKING, ids="o16-{}".format)
async def test_a_right_that_the_role_lacks_is_missed(postgresql, lacking):
    with owner(postgresql) as connection:
        connection.execute(text(f"REVOKE {lacking} FROM unlatch_bot"))
    async with opened(postgresql) as database:
        with pytest.raises(StoreUnavailable, match=f"permission denied for table {lacking.split()[-1]}"):
            await database.run(write_nothing)
