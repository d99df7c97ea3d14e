"""Authorities and credentials: what the installer sets, parsed strictly."""

import pytest
from bot.domain.errors import CouldNotVerify
from bot.entra.authority import Authority, Credential, EntraUnavailable
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from tests.support.certificates import certificate, pem
from tests.unit.entra.fake_entra import ANOTHER_KEY, CALLBACK, KEY, TENANT, FakeEntra, a_client, a_clock


@pytest.mark.parametrize("cloud", ["microsoftonline.com", "microsoftonline.us", "chinacloudapi.cn"])
@pytest.mark.parametrize("ending", ["", "/", "/v2.0", "/v2.0/"])
def test_microsofts_authorities_are_known_with_or_without_their_version(cloud, ending):
    authority = Authority.parse(f"https://login.{cloud}/{TENANT}{ending}")
    assert authority.for_msal == {"authority": f"https://login.{cloud}/{TENANT}"}
    assert authority.discovery_url == f"https://login.{cloud}/{TENANT}/v2.0/.well-known/openid-configuration"


def test_another_provider_is_used_as_it_is():
    authority = Authority.parse("https://id.contoso.com/realms/staff/v2.0")
    assert authority.for_msal == {"oidc_authority": "https://id.contoso.com/realms/staff/v2.0"}
    assert authority.real_url("https://id.contoso.com/x") == "https://id.contoso.com/x"


@pytest.mark.parametrize("host", ["127.0.0.1:8080", "localhost:8080", "[::1]:8080"])
def test_plain_http_reaches_a_loopback_address_and_exactly_that_origin(host):
    authority = Authority.parse(f"http://{host}/entra/{TENANT}/v2.0")
    assert authority.url == f"https://{host}/entra/{TENANT}/v2.0"
    assert authority.real_url(f"https://{host}/x?y") == f"http://{host}/x?y"
    for other in (f"https://{host}1/x", "https://127.0.0.1/x", f"https://{host}@evil.example/x"):
        assert authority.real_url(other) == other


@pytest.mark.parametrize(
    "url",
    [
        *("http://login.microsoftonline.com/x", "http://127.0.0.1.evil.example/x", "http://10.0.0.1/x"),
        *("https://login.microsoftonline.com", "https://login.microsoftonline.com/", "http://0.0.0.0/x"),
        *("https://user@id.contoso.com/x", "https://id.contoso.com/x?y=z", "login.microsoftonline.com/x"),
        *("https:///x", "ftp://127.0.0.1/x", ""),
    ],
)
def test_no_other_authority_is_taken(url):
    with pytest.raises(ValueError, match="ENTRA_AUTHORITY"):
        Authority.parse(url)


EC_KEY = ec.generate_private_key(ec.SECP256R1())
SMALL_KEY = rsa.generate_private_key(65537, 1024)  # noqa: S505  it has to be refused
OWN, ISSUERS = certificate(KEY), certificate(ANOTHER_KEY)


@pytest.mark.parametrize(
    "text",
    [pem(KEY) + OWN, OWN + "Bag Attributes\n" + pem(KEY), pem(KEY) + OWN + ISSUERS],
    ids=["key first", "certificate first", "a chain"],
)
def test_a_certificates_assertion_reaches_entra_whole(text):
    entra = FakeEntra(a_clock())
    credential = Credential.certificate(text)
    client = a_client(entra, credential=credential)
    _, flow = client.begin_flow(redirect_uri=CALLBACK, login_hint=None, claims=None)
    client.redeem(flow, entra.sign_in(client.authorization_url(flow)), now=a_clock().now())
    (form,) = entra.forms("authorization_code")
    assert form["client_assertion"].startswith("eyJ")
    assert "client_secret" not in form
    assert credential.for_msal["public_certificate"] == OWN.strip()
    assert "PRIVATE" not in repr(credential)


@pytest.mark.parametrize(
    "text",
    [
        *("", pem(KEY), OWN, pem(KEY) + ISSUERS, pem(KEY, password=b"secret") + OWN),
        "-----BEGIN PRIVATE KEY-----\nxx\n-----END PRIVATE KEY-----\n" + OWN,
        *(pem(EC_KEY) + certificate(EC_KEY), pem(SMALL_KEY) + certificate(SMALL_KEY)),
        *(pem(KEY) + certificate(KEY, days=-1), b"0\x82\x09".decode(errors="replace")),
    ],
    ids=[
        *("empty", "no certificate", "no key", "another key's", "encrypted", "broken"),
        *("O23 EC", "O23 small", "O23 ended", "O23 PFX"),
    ],
)
def test_a_certificate_file_that_cannot_work_is_refused_at_once(text):
    with pytest.raises(ValueError, match="certificate"):
        Credential.certificate(text)


def test_a_file_with_an_assertion_is_read_anew_for_each_call(tmp_path):
    entra, file = FakeEntra(a_clock()), tmp_path / "token"
    with pytest.raises(EntraUnavailable, match="ENTRA_CLIENT_ASSERTION_FILE"):
        Credential.assertion(file)
    file.write_text("first.assertion.x\n")
    client = a_client(entra, credential=Credential.assertion(file))
    _, flow = client.begin_flow(redirect_uri=CALLBACK, login_hint=None, claims=None)
    _, cached = client.redeem(flow, entra.sign_in(client.authorization_url(flow)), now=a_clock().now())
    file.write_text("second.assertion.x")
    client.silent_token(cached, fresh=True)
    sent = entra.forms("authorization_code") + entra.forms("refresh_token")
    assert [form["client_assertion"] for form in sent] == ["first.assertion.x", "second.assertion.x"]
    file.write_text("")
    with pytest.raises(CouldNotVerify):
        client.silent_token(cached, fresh=True)
