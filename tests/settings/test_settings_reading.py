"""Settings: one message for all that is missing or wrong, where to get each, and never a value."""

import re
from datetime import timedelta
from pathlib import Path

import pytest
from bot.domain.people import Audience
from bot.settings import CONFIG_VARIABLE, Settings, SettingsError, read_settings, without_secrets
from tests.settings.complete import COMPLETE

README = Path(__file__).parents[2] / "README.md"
REQUIRED = set(COMPLETE)
PASTED = "xoxb-pasted-in-the-wrong-place"


def refused() -> str:
    with pytest.raises(SettingsError) as error:
        read_settings()
    return str(error.value)


def named(message: str) -> set[str]:
    return set(re.findall(r"^  ([A-Z_]+): ", message, re.MULTILINE))


def test_an_empty_environment_is_told_everything_at_once_and_where_to_get_it():
    message = refused()
    assert named(message) == REQUIRED
    for name in REQUIRED:
        [line] = [line for line in message.splitlines() if line.startswith(f"  {name}: ")]
        assert str(Settings.model_fields[name.lower()].description) in line


def test_a_complete_environment_is_read(environment):
    environment(COMPLETE)
    settings = read_settings()
    assert settings.slack_bot_token.get_secret_value() == "xoxb-secret"
    assert settings.request_lifetime == timedelta(hours=1)


@pytest.mark.parametrize("name", sorted(REQUIRED))
@pytest.mark.parametrize("value", [None, ""])
def test_each_that_is_missing_or_empty_is_named_alone(environment, name, value):
    environment({key: text for key, text in COMPLETE.items() if key != name or value is not None})
    if value is not None:
        environment({name: value})
    assert named(refused()) == {name}


MALFORMED = [
    ("APPROVER_CHANNEL", "#on-call-leads"),
    ("APPROVER_CHANNEL", PASTED),
    ("REQUESTERS", PASTED),
    ("REQUESTERS", f"channel:C0SUPPORT,{PASTED}"),
    ("APPROVERS", f"channel:{PASTED}"),
    ("APPROVERS", "workspace"),
    ("ENTRA_TENANT_ID", PASTED),
    ("ENTRA_CLIENT_ID", "my app"),
    ("PUBLIC_URL", "unlatch.contoso.com"),
    ("PUBLIC_URL", "https://unlatch.contoso.com/"),
    ("PORT", PASTED),
    ("PORT", "70000"),
    ("CLOUD", PASTED),
    ("SIGN_IN", PASTED),
    ("DATABASE_URL", f"mysql://unlatch:{PASTED}@db"),
    ("DATABASE_URL", PASTED),
    ("VAULT_KEYS", PASTED),
    ("VAULT_KEYS", f"{COMPLETE['VAULT_KEYS']},{PASTED}"),
    ("REQUEST_LIFETIME", "forever"),
    ("REQUEST_LIFETIME", "PT1S"),
    ("REVEAL_FOR", "P30D"),
    ("SIGN_IN_MAX_AGE", "P30D"),
    ("FRESH_SIGN_IN", PASTED),
    ("LOG_LEVEL", "debug"),
]


@pytest.mark.parametrize(("name", "value"), MALFORMED)
def test_what_is_malformed_is_named_and_never_repeated(environment, name, value):
    environment(COMPLETE | {name: value})
    message = refused()
    assert named(message) == {name}
    assert PASTED not in message


def test_all_that_is_malformed_is_told_at_once(environment):
    every = dict(MALFORMED)
    environment(COMPLETE | every)
    assert named(refused()) == set(every)


def test_socket_mode_needs_no_signing_secret_and_a_certificate_no_client_secret(environment):
    without = {"SLACK_SIGNING_SECRET", "ENTRA_CLIENT_SECRET"}
    environment({name: value for name, value in COMPLETE.items() if name not in without})
    environment({"SLACK_APP_TOKEN": "xapp-1", "ENTRA_CLIENT_CERTIFICATE": "app.pem"})
    assert read_settings().slack_signing_secret is None


def test_device_codes_need_neither_an_address_for_browsers_nor_a_client_secret(environment):
    without = {"PUBLIC_URL", "ENTRA_CLIENT_SECRET"}
    environment({name: value for name, value in COMPLETE.items() if name not in without})
    assert named(refused()) == without
    environment({"SIGN_IN": "device-code"})
    assert read_settings().public_url is None


def test_a_device_code_cannot_promise_a_fresh_sign_in(environment):
    environment(COMPLETE | {"SIGN_IN": "device-code", "FRESH_SIGN_IN": "true"})
    assert named(refused()) == {"FRESH_SIGN_IN"}
    environment({"SIGN_IN": "browser"})
    assert read_settings().fresh_sign_in


def test_the_environment_comes_before_dotenv_and_dotenv_before_the_file(environment, tmp_path):
    environment(COMPLETE | {CONFIG_VARIABLE: str(tmp_path / "unlatch.toml"), "PORT": "1"})
    (tmp_path / ".env").write_text("PORT=2\nHOST=host-of-dotenv\n")
    (tmp_path / "unlatch.toml").write_text('port = 3\nhost = "host-of-toml"\ncloud = "china"\n')
    settings = read_settings()
    assert (settings.port, settings.host, settings.cloud) == (1, "host-of-dotenv", "china")


def test_a_file_that_is_not_there_is_said(environment):
    environment(COMPLETE | {CONFIG_VARIABLE: "nowhere.toml"})
    assert "nowhere.toml" in refused()


def test_a_file_that_cannot_be_read_is_said_without_its_content(environment, tmp_path):
    (tmp_path / "unlatch.toml").write_text(f"port = 1\n[{PASTED}]\n[{PASTED}]\n")
    environment(COMPLETE | {CONFIG_VARIABLE: str(tmp_path / "unlatch.toml")})
    message = refused()
    assert "line 3" in message
    assert PASTED not in message


def test_audiences_are_read_as_any_of_them(environment):
    environment(COMPLETE | {"REQUESTERS": "channel:C0SUPPORT, usergroup:S0HELP ,workspace"})
    wanted = [Audience.parse(part) for part in ("channel:C0SUPPORT", "usergroup:S0HELP", "workspace")]
    assert list(read_settings().requesters) == wanted


def test_no_secret_shows_when_settings_are_printed(environment):
    environment(COMPLETE)
    shown = repr(read_settings()) + str(read_settings().model_dump())
    for name in ("SLACK_BOT_TOKEN", "SLACK_SIGNING_SECRET", "ENTRA_CLIENT_SECRET", "VAULT_KEYS"):
        assert COMPLETE[name] not in shown


def test_what_the_record_is_told_of_the_settings_holds_every_one_and_no_secret(environment):
    secrets = {
        "SLACK_APP_TOKEN": "xapp-secret",
        "DATABASE_URL": "postgresql://me:hunt/er@2@db:5/u?password=x",
    }
    environment(COMPLETE | secrets | {"REQUESTERS": "channel:C0SUPPORT,workspace"})
    told = without_secrets(read_settings())
    assert set(told) == {name.upper() for name in Settings.model_fields}
    assert told["REQUESTERS"] == "channel:C0SUPPORT,workspace"
    assert told["DATABASE_URL"] == "postgresql://db:5/u"
    assert told["APPROVER_CHANNEL"] == COMPLETE["APPROVER_CHANNEL"]
    assert (told["SLACK_APP_TOKEN"], told["AUDIT_HEADS"]) == ("set", "")
    for name in ("SLACK_BOT_TOKEN", "SLACK_SIGNING_SECRET", "ENTRA_CLIENT_SECRET", "VAULT_KEYS"):
        assert told[name] == "set"
        assert COMPLETE[name] not in str(told)


@pytest.mark.parametrize("name", Settings.model_fields)
def test_every_setting_is_described_and_in_the_table_of_the_readme(name):
    assert len(Settings.model_fields[name].description or "") > 10
    rows = [line for line in README.read_text().splitlines() if line.startswith("|")]
    assert any(f"`{name.upper()}`" in row.split("|")[1] for row in rows), (
        f"{name.upper()} is not in README.md"
    )
