"""Authorities, clouds and credentials: what the installer sets, read strictly."""

import pytest
from app_certificate import certificate, pem, private_key
from bot.domain.clouds import ENDPOINTS, Cloud
from bot.entra import Authority, Credential

TENANT = "11111111-2222-4333-8444-555555555555"


def test_every_cloud_has_its_own_addresses() -> None:
    found = {
        str(cloud): (
            ENDPOINTS[cloud].graph_url,
            ENDPOINTS[cloud].authority(TENANT),
            ENDPOINTS[cloud].scopes[0],
        )
        for cloud in Cloud
    }
    reset = "DeviceManagementManagedDevices.PrivilegedOperations.All"

    assert found == {
        "global": (
            "https://graph.microsoft.com/v1.0",
            f"https://login.microsoftonline.com/{TENANT}",
            f"https://graph.microsoft.com/{reset}",
        ),
        "usgov": (
            "https://graph.microsoft.us/v1.0",
            f"https://login.microsoftonline.us/{TENANT}",
            f"https://graph.microsoft.us/{reset}",
        ),
        "usgov-dod": (
            "https://dod-graph.microsoft.us/v1.0",
            f"https://login.microsoftonline.us/{TENANT}",
            f"https://dod-graph.microsoft.us/{reset}",
        ),
        "china": (
            "https://microsoftgraph.chinacloudapi.cn/v1.0",
            f"https://login.chinacloudapi.cn/{TENANT}",
            f"https://microsoftgraph.chinacloudapi.cn/{reset}",
        ),
    }


@pytest.mark.parametrize("cloud", Cloud)
def test_every_clouds_authority_is_known_to_msal(cloud: Cloud) -> None:
    authority = Authority.parse(ENDPOINTS[cloud].authority(TENANT))

    assert authority.is_microsoft
    assert authority.for_msal == {"authority": ENDPOINTS[cloud].authority(TENANT)}


@pytest.mark.parametrize("ending", ["", "/", "/v2.0", "/v2.0/"])
def test_microsofts_own_authority_is_read_with_or_without_its_version(ending: str) -> None:
    authority = Authority.parse(f"https://login.microsoftonline.com/{TENANT}{ending}")

    assert authority.url == f"https://login.microsoftonline.com/{TENANT}"
    assert authority.discovery_url == f"{authority.url}/v2.0/.well-known/openid-configuration"


def test_another_provider_is_used_as_it_is() -> None:
    authority = Authority.parse("https://id.contoso.com/realms/staff/v2.0")

    assert authority.for_msal == {"oidc_authority": "https://id.contoso.com/realms/staff/v2.0"}
    assert authority.real("https://id.contoso.com/x") == "https://id.contoso.com/x"


@pytest.mark.parametrize("host", ["127.0.0.1:8080", "localhost:8080", "[::1]:8080"])
def test_plain_http_reaches_this_machine_and_exactly_that_origin(host: str) -> None:
    authority = Authority.parse(f"http://{host}/entra/{TENANT}/v2.0")

    assert authority.url == f"https://{host}/entra/{TENANT}/v2.0"
    assert authority.real(f"https://{host}/x?y") == f"http://{host}/x?y"
    for other in (f"https://{host}1/x", "https://127.0.0.1/x", f"https://{host}@evil.example/x"):
        assert authority.real(other) == other


@pytest.mark.parametrize(
    "url",
    [
        "http://login.microsoftonline.com/x",
        "http://127.0.0.1.evil.example/x",
        "http://10.0.0.1/x",
        "http://0.0.0.0/x",
        "https://login.microsoftonline.com",
        "https://login.microsoftonline.com/",
        "https:///x",
        "ftp://127.0.0.1/x",
        "https://user@id.contoso.com/x",
        "https://id.contoso.com/x?y=z",
        "login.microsoftonline.com/x",
        "",
    ],
)
def test_no_other_authority_is_taken(url: str) -> None:
    with pytest.raises(ValueError, match=r"authority|plain http"):
        Authority.parse(url)


def test_a_certificate_is_read_in_any_order_and_shows_nothing() -> None:
    key = private_key()

    for text in (pem(key) + certificate(key), certificate(key) + "Bag Attributes\n" + pem(key)):
        credential = Credential.certificate(text)
        assert isinstance(credential.for_msal, dict)
        assert credential.for_msal.keys() == {"private_key", "public_certificate"}
        assert "PRIVATE" not in repr(credential)


def test_of_a_chain_the_first_certificate_is_the_apps() -> None:
    key, issuer = private_key(), private_key()
    own = certificate(key)

    credential = Credential.certificate(pem(key) + own + certificate(issuer))

    assert isinstance(credential.for_msal, dict)
    assert credential.for_msal["public_certificate"] == own.strip()


def test_a_certificate_file_that_cannot_work_is_refused_at_once() -> None:
    key = private_key()
    unusable = [
        "",
        pem(key),
        certificate(key),
        pem(key) + certificate(private_key()),
        pem(key, password=b"secret") + certificate(key),
        "-----BEGIN PRIVATE KEY-----\nxx\n-----END PRIVATE KEY-----\n" + certificate(key),
    ]
    for text in unusable:
        with pytest.raises(ValueError, match="certificate file"):
            Credential.certificate(text)
