"""Each cloud has addresses of its own, and one fixed list of permissions."""

import pytest
from bot.domain.clouds import ENDPOINTS, PERMISSIONS, Cloud


@pytest.mark.parametrize("cloud", Cloud)
def test_every_cloud_has_its_own_addresses(cloud):
    endpoints = ENDPOINTS[cloud]
    others = [each for other, each in ENDPOINTS.items() if other is not cloud]

    assert endpoints.graph_url == f"{endpoints.resource}/v1.0"
    assert endpoints.resource not in {other.resource for other in others}
    assert endpoints.authority("guid") == f"https://{endpoints.authority_host}/guid"


@pytest.mark.parametrize("cloud", Cloud)
def test_a_sign_in_asks_for_the_same_two_permissions_in_every_cloud(cloud):
    endpoints = ENDPOINTS[cloud]

    assert endpoints.scopes == tuple(f"{endpoints.resource}/{permission}" for permission in PERMISSIONS)
    assert len(PERMISSIONS) == 2


def test_the_worldwide_cloud_is_microsofts_default():
    assert ENDPOINTS[Cloud.GLOBAL].graph_url == "https://graph.microsoft.com/v1.0"
    assert ENDPOINTS[Cloud.GLOBAL].authority("guid") == "https://login.microsoftonline.com/guid"
