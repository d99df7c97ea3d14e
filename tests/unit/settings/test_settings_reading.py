"""Settings: one message for all that is missing or wrong, where to get each, and never a value."""

import re
from datetime import timedelta

import pytest
from bot.domain.people import Audience
from bot.settings import (
    AUTHORITY,
    CONFIG_VARIABLE,
    PERMISSIONS,
    Settings,
    SettingsError,
    described,
    read_settings,
    without_secrets,
)
from tests.support.environment import COMPLETE, SECRETS

REQUIRED = set(COMPLETE)
PASTED = "xoxb-pasted-in-the-wrong-place"


def refused() -> str:
    with pytest.raises(SettingsError) as error:
        read_settings()
    return str(error.value)


def named(message: str) -> set[str]:
    return set(re.findall(r"^  ([A-Z_]+): ", message, re.MULTILINE))


@pytest.mark.usefixtures("environment")
def test_an_empty_environment_names_everything_that_is_needed_and_where_to_get_it():
    message = refused()
    assert named(message) == REQUIRED
    for name in REQUIRED:
        [line] = [line for line in message.splitlines() if line.startswith(f"  {name}: missing. ")]
        assert described(name.lower()) in line


@pytest.mark.parametrize("name", sorted(REQUIRED))
def test_each_that_is_empty_counts_as_missing_and_is_named_alone(environment, name):
    environment(COMPLETE | {name: ""})
    assert named(refused()) == {name}


MALFORMED = {
    "APPROVER_CHANNEL": ("#on-call-leads", PASTED),
    "REQUESTERS": (PASTED, f"channel:C0SUPPORT,{PASTED}", " , "),
    "APPROVERS": (f"channel:{PASTED}", "workspace", "tcp://10.96.12.7:80"),
    "ALLOW_OWNER_APPROVAL": (PASTED,),
    "ASKS_PER_HOUR": ("0",),
    "ENTRA_TENANT_ID": (PASTED,),
    "ENTRA_CLIENT_ID": ("my app",),
    "PUBLIC_URL": ("unlatch.contoso.com", "https://unlatch.contoso.com/", "http://unlatch.contoso.com"),
    "GRAPH_URL": ("http://graph.contoso.com/v1.0",),
    "PORT": (PASTED, "70000"),
    "SLACK_BOT_TOKEN": (f"xoxb-1\n{PASTED}", f"{PASTED}\u200b1", "xoxe.xoxb-1-S22"),  # O25
    "SLACK_APP_TOKEN": (PASTED,),
    "HOST": ("0.0.\t0.0",),
    "CLOUD": (PASTED,),
    "DATABASE_URL": (f"mysql://unlatch:{PASTED}@db", PASTED),
    "VAULT_KEYS": (PASTED, f"{COMPLETE['VAULT_KEYS']},{PASTED}"),
    "REQUEST_LIFETIME": ("forever", "PT1S"),
    "REVEAL_FOR": ("P30D",),
    "SIGN_IN_MAX_AGE": ("P30D",),
    "FRESH_SIGN_IN": (PASTED,),
    "LOG_LEVEL": ("debug",),
}


@pytest.mark.parametrize("nth", range(3))
def test_malformed_values_are_named_at_once_in_plain_words_and_never_repeated(environment, nth):
    given = {name: values[nth] for name, values in MALFORMED.items() if nth < len(values)}
    environment(COMPLETE | given)
    message = refused()
    assert named(message) == set(given)
    assert PASTED not in message
    assert [name for name in given if message.partition(f"{name}: ")[2].startswith("should")] == []


NOT_AUTHORITY = ("SLACK_APP_TOKEN", "ENTRA_AUTHORITY", "CLOUD", "PORT", "AUDIT_HEADS", "DATABASE_URL")


@pytest.mark.parametrize("source", ["environment", ".env", "toml", "toml, as a list"])
@pytest.mark.parametrize("name", [name.upper() for name in AUTHORITY])
def test_what_decides_authority_and_is_set_to_nothing_stops_the_start(environment, tmp_path, name, source):
    (tmp_path / "unlatch.toml").write_text(f"{name} = []\n" if "list" in source else f'{name} = ""\n')
    (tmp_path / ".env").write_text(f"{name}=\n" if source == ".env" else "")
    complete = {key: value for key, value in COMPLETE.items() if key != name}
    environment(complete | dict.fromkeys(NOT_AUTHORITY, ""))
    environment({name: ""} if source == "environment" else {})
    environment({CONFIG_VARIABLE: str(tmp_path / "unlatch.toml")} if source.startswith("toml") else {})
    message = refused()
    assert named(message) == {name}
    assert "set, but empty" in message


ANY_OF = ("channel:C0SUPPORT", "usergroup:S0HELP ", "workspace")
NO_SECRETS = dict.fromkeys(("SLACK_SIGNING_SECRET", "ENTRA_CLIENT_SECRET"), "")
NO_SECRETS |= {"SLACK_APP_TOKEN": "xapp-1", "ENTRA_CLIENT_CERTIFICATE": "app.pem"}
READ = {
    "a socket and a certificate": (NO_SECRETS, {"slack_signing_secret": None}),
    "O25 line end": (
        {"SLACK_BOT_TOKEN": "xoxb-1\n", "HOST": " h "},
        {"slack_bot_token": "xoxb-1", "host": "h"},
    ),
    "O25 quotes": ({"SLACK_BOT_TOKEN": '"xoxb-1"', "PORT": "'1'"}, {"slack_bot_token": "xoxb-1", "port": 1}),
    "O25 typographic quotes": ({"SLACK_BOT_TOKEN": "“xoxb-1”"}, {"slack_bot_token": "xoxb-1"}),
    "O25 lines of a list": ({"APPROVERS": "usergroup:S0A,\nusergroup:S0B"}, {}),
    "O32 udp": ({"PORT": "udp://10.96.12.7:80"}, {"port": 3000}),
    "O32": ({"PORT": "tcp://10.96.12.7:80", "METRICS_PORT": "tcp://10.96.12.7:90"}, {"port": 3000}),
    **{f"O33 {level}": ({"LOG_LEVEL": level}, {"log_level": "warning"}) for level in ("WARN", "Warning")},
    "audiences": ({"REQUESTERS": ", ".join(ANY_OF)}, {"requesters": tuple(map(Audience.parse, ANY_OF))}),
    **{text: ({"REVEAL_FOR": text}, {"reveal_for": timedelta(seconds=90)}) for text in ("90", "PT1M30S")},
    "a path": ({"PUBLIC_URL": "https://a.contoso.com/b/c"}, {"public_url": "https://a.contoso.com/b/c"}),
    "others’ names": ({"HOSTS": "x", "PORTS": "x", "UNLATCH_PORT": "tcp://x", "PUBLIC": "x"}, {}),
}


@pytest.mark.parametrize("case", READ)
def test_values_are_read_as_files_tools_and_platforms_leave_them(environment, case):
    given, wanted = READ[case]
    environment(COMPLETE | given)
    settings = read_settings()
    for name, value in wanted.items():
        found = getattr(settings, name)
        assert (found.get_secret_value() if name == "slack_bot_token" else found) == value


@pytest.mark.parametrize("another", ["ENTRA_CLIENT_SECRET", "ENTRA_CLIENT_CERTIFICATE"])
def test_entra_is_shown_exactly_one_credential(environment, another):
    environment(COMPLETE | {"ENTRA_CLIENT_SECRET": "", "ENTRA_CLIENT_ASSERTION_FILE": "token"})
    assert str(read_settings().entra_client_assertion_file) == "token"
    environment({another: "x"})
    assert "ENTRA_CLIENT_SECRET: set only one of the three" in refused()


MISSPELLED = ("APROVERS", "REQUESTER", "APPROVRES", "AUDIT_HEAD", "SLACK_BOT_TOKENS")
MISSPELLED += ("slack_bot_tokn", "DATABASE_URL_FIL", "UNLATCH_CONFIGS")


@pytest.mark.parametrize("source", ["environment", ".env", "toml"])
def test_a_name_that_is_no_setting_stops_the_start_and_the_one_meant_is_named(environment, tmp_path, source):
    environment(COMPLETE | (dict.fromkeys(MISSPELLED, PASTED) if source == "environment" else {}))
    names = [*MISSPELLED, *(["ANYTHING"] if source != "environment" else [])]
    lines = "".join(f'{name} = "{PASTED if name in MISSPELLED else ""}"\n' for name in names)
    (tmp_path / ".env").write_text(lines if source == ".env" else "")
    if source == "toml":
        (tmp_path / "unlatch.toml").write_text(lines.lower())
        environment({CONFIG_VARIABLE: str(tmp_path / "unlatch.toml")})
    message = refused()
    assert named(message) == set(map(str.upper, names))
    assert "APROVERS: not a setting of Unlatch; do you mean APPROVERS?" in message
    assert PASTED not in message


def test_the_environment_comes_before_dotenv_and_dotenv_before_the_file(environment, tmp_path):
    environment(COMPLETE | {CONFIG_VARIABLE: str(tmp_path / "unlatch.toml"), "PORT": "1"})
    (tmp_path / ".env").write_text("PORT=2\nHOST=host-of-dotenv\n")
    (tmp_path / "unlatch.toml").write_text('port = 3\nhost = "host-of-toml"\nCLOUD = "china"\n')
    settings = read_settings()
    assert (settings.port, settings.host, settings.cloud) == (1, "host-of-dotenv", "china")


def lines(form: str, **more: str) -> str:
    return "".join(f"{form.format(name, value)}\n" for name, value in (COMPLETE | more).items())


O34 = {
    "mark": ("\ufeff" + lines("{}={}"), "utf-8", ""),
    "export, quotes, comments, CRLF": (lines('export {}="{}" # x').replace("\n", "\r\n"), "utf-8", ""),
    "not expanded": (lines("{}={}", ENTRA_CLIENT_SECRET="a${HOME}$b"), "utf-8", ""),
    "UTF-16": (lines("{}={}"), "utf-16", ".env: line 1 is not UTF-8"),
    "Latin-1": (lines("{}={}") + "# é\n", "latin-1", ".env: line 9 is not UTF-8"),
    "a name alone": (lines("{}={}") + "APPROVERS\n", "utf-8", ".env: line 9 is not NAME=value"),
    "a secret alone": (f"VAULT_KEYS=\n{PASTED}\n", "utf-8", ".env: line 2 is not NAME=value"),
    "a secret that is no name": (f"{PASTED}=\n", "utf-8", "A NAME: not a setting of Unlatch."),
    "an open quote": ('APPROVERS="S0A\n' + lines("{}={}"), "utf-8", ".env: line 1 is not NAME=value"),
    "toml mark": ("\ufeff" + lines('{} = "{}"'), "utf-8", ""),
    "toml list": (lines('{} = "{}"') + 'REQUESTERS = ["workspace"]\n', "utf-8", ""),
    "toml Latin-1": (lines('{} = "{}"') + "# é\n", "latin-1", "unlatch.toml: line 9 is not UTF-8"),
    "toml table": (f"[{PASTED}]\n", "utf-8", "; settings stand in no table."),
    "toml broken": (f"port = 1\n[{PASTED}\n", "utf-8", "unlatch.toml is not TOML, at line 2, column"),
    "toml number": (f"port = {'9' * 5000}\n", "utf-8", "unlatch.toml is not TOML"),
    "toml deep": (f"port = {'[' * 10_000}\n", "utf-8", "unlatch.toml is not TOML"),
    "toml gone": ("", "", "unlatch.toml cannot be read: No such file"),
}


@pytest.mark.parametrize("case", O34, ids="O34 {}".format)
def test_a_file_is_read_as_editors_leave_it_or_its_name_and_line_are_said(environment, tmp_path, case):
    content, encoding, wrong = O34[case]
    name = "unlatch.toml" if case.startswith("toml") else ".env"
    environment({CONFIG_VARIABLE: name if case.startswith("toml") else "", "HOME": "/root"})
    if encoding:
        (tmp_path / name).write_bytes(content.encode(encoding))
    if wrong:
        message = refused()
        assert (wrong in message, PASTED in message.lower()) == (True, False)
    else:
        secret = "a${HOME}$b" if case == "not expanded" else COMPLETE["ENTRA_CLIENT_SECRET"]
        assert read_settings().entra_client_secret.get_secret_value() == secret


def test_a_secrets_file_is_read_without_a_mark_or_named(environment, tmp_path):
    environment(COMPLETE | {"SLACK_BOT_TOKEN": ""})
    (tmp_path / ".env").write_text(f"SLACK_BOT_TOKEN_FILE={PASTED}")  # a secret in the place of its file
    assert refused() == "SLACK_BOT_TOKEN_FILE names no file that can be read: No such file or directory."
    environment({"SLACK_BOT_TOKEN_FILE": "token"})
    (tmp_path / "token").write_bytes(b"\xef\xbb\xbfxoxb-file\r\n")
    assert read_settings().slack_bot_token.get_secret_value() == "xoxb-file"


def test_the_audit_log_is_told_every_setting_and_no_secret(environment):
    url = "postgresql://me:hunt/e?r@2@db:5/u?password=x"  # O5
    environment(COMPLETE | {"SLACK_APP_TOKEN": "xapp-secret", "DATABASE_URL": url})
    environment({"REQUESTERS": "channel:C0SUPPORT,workspace"})
    told = without_secrets(read_settings())
    assert set(told) == {name.upper() for name in Settings.model_fields}
    assert told["REQUESTERS"] == "channel:C0SUPPORT,workspace"
    assert told["DATABASE_URL"] == "postgresql://db:5/u"
    assert told["APPROVER_CHANNEL"] == COMPLETE["APPROVER_CHANNEL"]
    assert (told["SLACK_APP_TOKEN"], told["AUDIT_HEADS"]) == ("set", "")
    assert {told[name] for name in SECRETS} == {"set"}
    assert [name for name in SECRETS if COMPLETE[name] in str(told)] == []


@pytest.mark.parametrize("name", ["APPROVER_CHANNEL", "ENTRA_TENANT_ID", "ENTRA_CLIENT_ID"])
def test_the_audit_log_of_another_deployment_has_another_name(environment, name):
    environment(COMPLETE)
    ours = read_settings().audit_log_name
    environment({name: COMPLETE[name][:-1] + "7"})
    assert read_settings().audit_log_name != ours


CLOUDS = {
    "global": ("login.microsoftonline.com", "graph.microsoft.com"),
    "usgov": ("login.microsoftonline.us", "graph.microsoft.us"),
    "usgov-dod": ("login.microsoftonline.us", "dod-graph.microsoft.us"),
    "china": ("login.chinacloudapi.cn", "microsoftgraph.chinacloudapi.cn"),
}
"""Microsoft's page "National cloud deployments"."""


@pytest.mark.parametrize("cloud", CLOUDS)
def test_each_cloud_moves_the_sign_in_graph_and_its_permissions(environment, cloud):
    (entra, graph), tenant = CLOUDS[cloud], COMPLETE["ENTRA_TENANT_ID"]
    environment({**COMPLETE, "CLOUD": cloud})
    settings = read_settings()
    assert (settings.authority, settings.graph) == (f"https://{entra}/{tenant}", f"https://{graph}/v1.0")
    assert settings.scopes == tuple(f"https://{graph}/{permission}" for permission in PERMISSIONS)
