"""Every setting, described: environment variables, `.env`, or the TOML file that `UNLATCH_CONFIG` names."""

import os
import re
import tomllib
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import timedelta
from difflib import SequenceMatcher, get_close_matches
from io import StringIO
from pathlib import Path
from typing import Annotated, Any, Final, Literal, NamedTuple
from urllib.parse import urlsplit

from dotenv.parser import parse_stream
from pydantic import Field, SecretStr, ValidationError, ValidationInfo, create_model, field_validator
from pydantic_settings import BaseSettings, EnvSettingsSource, NoDecode, SettingsConfigDict

from bot.domain.people import Audience, AudienceKind
from bot.domain.values import LOOPBACK
from bot.keys import Keys
from bot.network import note

CONFIG_VARIABLE: Final = "UNLATCH_CONFIG"
PERMISSIONS: Final = (
    "DeviceManagementManagedDevices.PrivilegedOperations.All",
    "DeviceManagementManagedDevices.Read.All",
)
"""Delegated: to reset a passcode, and to see the device. There is no narrower permission for a reset."""

AUTHORITY: Final = (
    *("approver_channel", "requesters", "approvers", "allow_owner_approval", "asks_per_hour"),
    *("sign_in_max_age", "fresh_sign_in", "requester_sign_in", "request_lifetime", "reveal_for"),
)
"""Settings that decide who may do what, and for how long: an empty one does not mean its default."""

DEPLOYMENT: Final = ("approver_channel", "entra_tenant_id", "entra_client_id", "vault_keys")
"""The settings that name the audit log, and sign it."""
LISTS: Final = ("requesters", "approvers", "vault_keys")
QUOTES: Final = ("''", '""', "‘’", "“”")
INSTEAD: Final = {
    "slack_signing_secret": ("slack_app_token",),
    "entra_client_secret": ("entra_client_certificate", "entra_client_assertion_file"),
}
"""What takes the place of a secret; these settings stand before it."""

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)

_LOGIN: Final = re.compile(r"://.*@", re.DOTALL)
"""The user name and password in a URL."""
_PLAIN: Final = {
    "missing": "missing",
    "string_pattern_mismatch": "not of this form",
    "time_delta_parsing": "not a duration; write PT1H, or seconds",
    "bool_parsing": "neither true nor false",
    "int_parsing": "not a whole number",
}
"""Plain words for pydantic's kinds of error; for others its own message."""


class Endpoints(NamedTuple):
    """One of Microsoft's clouds; tokens of one are worth nothing in another."""

    resource: str
    """Graph's origin; its permissions are prefixed with it."""
    authority_host: str


ENDPOINTS: Final = {  # source: Microsoft's page "National cloud deployments"
    "global": Endpoints("https://graph.microsoft.com", "login.microsoftonline.com"),  # also GCC
    "usgov": Endpoints("https://graph.microsoft.us", "login.microsoftonline.us"),  # GCC High
    "usgov-dod": Endpoints("https://dod-graph.microsoft.us", "login.microsoftonline.us"),
    "china": Endpoints("https://microsoftgraph.chinacloudapi.cn", "login.chinacloudapi.cn"),
}
CATALOG: Final = tomllib.loads(Path(__file__).with_name("checks.toml").read_text("utf-8"))


class SettingsError(Exception):
    """Everything that is missing or wrong, and where to get each.

    `lines`: one for each name, as `NAME: what is wrong. Where to get it.`; none where a file is unreadable.
    """

    def __init__(self, message: str, lines: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.lines = lines


class CannotStart(Exception):
    """What an operator has to put right before Unlatch can run, as a sentence."""


class Finding(CannotStart):
    """What is wrong or unknown, by its code in the catalog; no fact is a secret."""

    def __init__(self, code: str, **facts: object) -> None:
        self.state = "wrong" if code in CATALOG["wrong"] else "unknown"
        self.detail, self.cure = (text.format_map(facts) for text in CATALOG[self.state][code])
        super().__init__(f"{self.detail[0].upper()}{self.detail[1:]}. {self.cure}")


Audiences = Annotated[tuple[Audience, ...], NoDecode]


class Settings(BaseSettings):
    """Read once, at start, for the composition root and the command line; operators read each docstring."""

    model_config = SettingsConfigDict(extra="ignore", frozen=True, use_attribute_docstrings=True)

    slack_bot_token: SecretStr
    """Bot token, `xoxb-…`; one that rotates (`xoxe…`) ends after 12 hours, and takes a new Slack app. Slack
    app page → OAuth & Permissions → Bot User OAuth Token."""
    slack_app_token: SecretStr | None = None
    """App-level token, `xapp-…`, with `connections:write`: set it for Socket Mode. Slack app page → Basic
    Information → App-Level Tokens."""
    slack_signing_secret: SecretStr | None = Field(default=None, validate_default=True)
    """Needed in HTTP mode. Slack app page → Basic Information → Signing Secret."""
    slack_api_url: str = "https://slack.com/api/"
    """Base of Slack's Web API; ends with a slash."""
    approver_channel: str = Field(pattern=r"^[CG][A-Z0-9]{2,}$")
    """Id of the channel where cards are posted and approvers are, `C…`. In Slack: the channel's details → the
    foot of the About tab. Invite the bot to it."""
    requesters: Audiences = ()
    """Who may ask: `channel:C…`, `usergroup:S…`, `workspace`; comma-separated means any of them. Default: the
    approver channel's members."""
    approvers: Audiences = ()
    """Who of the approver channel may decide: `usergroup:S…` (the group that a rota tool keeps in step) or
    `channel:C…`. Default: all members of the approver channel."""
    allow_owner_approval: bool = False
    """Whether an approver may approve the reset of their own device."""
    asks_per_hour: Annotated[int, Field(ge=1)] = 20
    """How many resets one person may ask for in an hour."""
    entra_tenant_id: str = Field(pattern=r"^[0-9a-fA-F-]{36}$")
    """Directory (tenant) id, a GUID. Entra admin centre → App registrations → your app → Overview."""
    entra_client_id: str = Field(pattern=r"^[0-9a-fA-F-]{36}$")
    """Application (client) id, a GUID. The same Overview page."""
    entra_client_certificate: Path | None = None
    """Path of a PEM file with private key and certificate, instead of a client secret."""
    entra_client_assertion_file: Path | None = None
    """Path of a file with a token of another identity provider, instead of a client secret (workload identity
    federation); on Kubernetes what AZURE_FEDERATED_TOKEN_FILE names."""
    entra_client_secret: SecretStr | None = Field(default=None, validate_default=True)
    """Client secret's value; or set ENTRA_CLIENT_CERTIFICATE or ENTRA_CLIENT_ASSERTION_FILE. The app
    registration → Certificates & secrets."""
    entra_authority: str | None = None
    """Sign-in authority; default from CLOUD and the tenant. It has to give tid and oid."""
    graph_url: str | None = None
    """Base of Microsoft Graph; default from CLOUD, `https://graph.microsoft.com/v1.0`."""
    cloud: Literal["global", "usgov", "usgov-dod", "china"] = "global"
    """Microsoft's cloud: `global`, `usgov`, `usgov-dod` or `china`."""
    sign_in_max_age: Annotated[timedelta, Field(ge=10 * MINUTE, le=DAY)] = 8 * HOUR
    """How long a sign-in lasts, as ISO 8601 (`PT8H`) or seconds; then the approver signs in again."""
    fresh_sign_in: bool = False
    """`true`: each approval asks for an interactive sign-in that is at most ten minutes old."""
    requester_sign_in: bool = False
    """`true`: whoever asks has to have linked their own Microsoft account, which takes no Intune role; a
    request waits until they have, and only that account sees the new passcode."""
    public_url: str = Field(pattern=r"^https?://[^/\s?#]+(/[^\s?#]*[^/\s?#])?$")
    """Where an approver's browser reaches Unlatch, without a slash at the end, such as
    `https://unlatch.example.com`; an internal address will do. The app registration's redirect URI is this
    and `/sign-in/callback`."""
    port: Annotated[int, Field(ge=0, le=65535)] = 3000
    """Port to listen on."""
    host: str = "127.0.0.1"
    """Address to listen on; the Procfile sets 0.0.0.0."""
    metrics_port: Annotated[int, Field(ge=0, le=65535)] | None = None
    """Port of `GET /metrics` for Prometheus; unset: none. The number of PORT puts it on the listener that
    Slack and browsers reach."""
    metrics_host: str = "127.0.0.1"
    """Address that the port of METRICS_PORT listens on."""
    database_url: str = Field(
        default="sqlite:///unlatch.sqlite3", pattern=r"^(sqlite|postgres(ql)?)(\+[a-z0-9]+)?://"
    )
    """Where requests are kept: an SQLite file, or `postgresql://…` for several replicas."""
    database_connections: Annotated[int, Field(ge=1, le=64)] = 4
    """How many connections to PostgreSQL each process opens at most for writing, and as many for reading;
    what finds none free waits."""
    vault_keys: SecretStr
    """Keys of the sign-in vault, comma-separated, newest first. Make one with `unlatch vault new-key`."""
    audit_heads: Path | None = None
    """A file to which each signed head of the audit log is added, about one a minute; best on a disk that the
    database's owner cannot write to."""
    request_lifetime: Annotated[timedelta, Field(ge=MINUTE, le=7 * DAY)] = HOUR
    """How long a request waits for an approver before it expires."""
    reveal_for: Annotated[timedelta, Field(ge=MINUTE, le=DAY)] = HOUR
    """How long the requester can view a new passcode."""
    log_level: Literal["info", "warning", "error"] = "info"
    """How much is logged. Above `info` the log has no audit heads; there is no debug: the libraries below
    would print bodies."""

    @field_validator("requesters", "approvers", mode="before")
    @classmethod
    def _audiences(cls, value: object, info: ValidationInfo) -> object:
        """Parse a list, or say which part is wrong, never its text: it may be a secret, set by mistake."""
        if not isinstance(value, str | list):
            return value
        parts = value if isinstance(value, list) else value.split(",")  # a list is of a TOML file
        parts = [str(part) for part in parts if str(part).strip()]
        if not parts:
            raise ValueError("it is set, but names no one; leave it out, or name channel:C… or usergroup:S…")
        found: list[Audience] = []
        for number, part in enumerate(parts, start=1):
            audience = Audience.parse(part)
            everyone = ", workspace" if info.field_name == "requesters" else ""
            if audience is None or (audience.kind is AudienceKind.WORKSPACE and not everyone):
                raise ValueError(f"part {number} is none of channel:C…, usergroup:S…{everyone}")
            found.append(audience)
        return tuple(found)

    @field_validator("*", mode="before")
    @classmethod
    def _visible(cls, value: object, info: ValidationInfo) -> object:
        """A line break inside of a token or an address would go into a header; only lists may have them."""
        if isinstance(value, str) and not value.isprintable() and info.field_name not in LISTS:
            raise ValueError("it has a line break or an invisible character in it")
        if value == "" and info.field_name in AUTHORITY:
            raise ValueError("it is set, but empty; give it a value, or leave it out altogether")
        return value

    @field_validator("sign_in_max_age", "request_lifetime", "reveal_for", mode="before")
    @classmethod
    def _seconds(cls, value: object) -> object:
        return int(value) if isinstance(value, str) and value.isdecimal() else value

    @field_validator("log_level", mode="before")
    @classmethod
    def _level(cls, value: object) -> object:
        level = str(value).lower()
        return "warning" if level == "warn" else level

    @field_validator("slack_api_url", "graph_url", "public_url")
    @classmethod
    def _https(cls, value: str | None) -> str | None:
        address = urlsplit(value or "")
        if address.scheme == "http" and address.hostname not in LOOPBACK:
            raise ValueError("plain http is allowed on this machine alone; use https")
        return value

    @field_validator("slack_bot_token", "slack_app_token")
    @classmethod
    def _kind(cls, value: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        begins = "xoxb-" if info.field_name == "slack_bot_token" else "xapp-"
        if value is not None and not value.get_secret_value().startswith(begins):
            raise ValueError(f"it does not begin with {begins}")
        return value

    @field_validator("vault_keys")
    @classmethod
    def _keys(cls, value: SecretStr) -> SecretStr:
        Keys.parse(value.get_secret_value())
        return value

    @field_validator(*INSTEAD)
    @classmethod
    def _or_another(cls, value: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        """Each may be left out where one that takes its place is set; Entra is shown exactly one."""
        name = str(info.field_name)
        others = [other.upper() for other in INSTEAD[name] if info.data.get(other) is not None]
        if value is None and not others:
            raise ValueError("missing")
        if name == "entra_client_secret" and len(others) > (value is None):
            raise ValueError(f"set only one of the three, not {' and '.join(others)} too")
        return value

    @classmethod
    def settings_customise_sources(cls, *_: Any, **sources: Any) -> tuple[Any, ...]:
        """`read_settings` alone reads the environment and files, and says which counts before which."""
        return (sources["init_settings"],)

    @property
    def graph(self) -> str:
        """The base of every Graph call."""
        return self.graph_url or f"{ENDPOINTS[self.cloud].resource}/v1.0"

    @property
    def scopes(self) -> tuple[str, ...]:
        """What a sign-in asks for. One fixed list: after a revocation MSAL keeps tokens of other lists."""
        return tuple(f"{ENDPOINTS[self.cloud].resource}/{permission}" for permission in PERMISSIONS)

    @property
    def authority(self) -> str:
        """The address of the tenant at Entra."""
        host = ENDPOINTS[self.cloud].authority_host
        return self.entra_authority or f"https://{host}/{self.entra_tenant_id}"

    @property
    def database_place(self) -> str:
        """Where the database is, as a sentence for an operator."""
        return f"DATABASE_URL is {place_of(self.database_url)}."

    @property
    def platform(self) -> str | None:
        """The variable of a platform whose disks end with the process, where SQLite has its default place."""
        names = ("DYNO", "K_SERVICE", "RENDER", "FLY_APP_NAME")  # Heroku, Cloud Run, Render, Fly.io
        default = self.database_url == Settings.model_fields["database_url"].default
        return next((name for name in names if default and name in os.environ), None)

    @property
    def keys(self) -> Keys:
        """The keys of VAULT_KEYS, and those derived from them."""
        return Keys.parse(self.vault_keys.get_secret_value())

    @property
    def rota(self) -> bool:
        """Whether APPROVERS names user groups alone; a channel can be one that anybody joins."""
        return {part.kind for part in self.approvers} == {AudienceKind.USERGROUP}

    @property
    def audit_log_name(self) -> str:
        """What the audit log's chain begins with: rows of another deployment do not fit in."""
        return f"{self.entra_tenant_id}/{self.entra_client_id}/{self.approver_channel}".lower()


SECRETS: Final = [name for name, one in Settings.model_fields.items() if "SecretStr" in str(one.annotation)]
IN_FILES: Final = (*SECRETS, "database_url")


def _counted(source: Mapping[str, object]) -> dict[str, object]:
    """Leave out settings that are set to nothing and decide no authority, and what Kubernetes sets."""
    counted: dict[str, object] = {}
    for name, value in source.items():
        text = "" if value == [] else bare(value) if isinstance(value, str) else value
        if str(text).startswith(("tcp://", "udp://", "sctp://")) and name.lower() not in AUTHORITY:
            note(f"{name.upper()} is the address of a Kubernetes Service, and ignored.")
        elif text != "" or name.lower() not in Settings.model_fields.keys() - AUTHORITY:
            counted[name.lower()] = text
    return counted


def bare(value: str) -> str:
    """Return a value without the blanks, line ends and quotes that files and tools leave around it."""
    text = value.strip()
    return text[1:-1] if text[:1] + text[1:][-1:] in QUOTES else text


def text_of(path: str | Path) -> str:
    """Return a file's text without a mark at its start; raises OSError, SettingsError."""
    content = Path(path).read_bytes()
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise SettingsError(f"{path}: line {line} is not UTF-8. Save the file as UTF-8.") from None


def read_dotenv(path: Path) -> dict[str, str]:
    """Return what stands in `.env`, `${…}` as it is; raises OSError, SettingsError."""
    found: dict[str, str] = {}
    for line in parse_stream(StringIO(text_of(path) if path.exists() else "")):
        if line.error or (line.key is not None and line.value is None):
            wrong = "not NAME=value. Is a quote not closed, or a value broken into two lines?"
            raise SettingsError(f"{path}: line {line.original.line} is {wrong}")
        if line.key is not None:
            found[line.key] = line.value or ""
    return found


def _secret_in(name: str, path: object) -> str:
    """Return the text of the file that `NAME_FILE` names; what it says may be the secret itself."""
    try:
        return text_of(str(path))
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or "it has a NUL in it"
        raise SettingsError(f"{name.upper()}_FILE names no file that can be read: {why}.") from None


def _unknown(written: Mapping[str, object]) -> Iterator[str]:
    """Yield the names that are no settings: in a file any, in the environment one that is nearly one."""
    known = {*map(str.upper, Settings.model_fields), *(f"{one.upper()}_FILE" for one in IN_FILES)}
    names = set(map(str.upper, os.environ)) - known - {CONFIG_VARIABLE}
    near = [one for one in (*known, CONFIG_VARIABLE) if len(one) > 5]
    given = {name for name in names if any(_nearly(name, one) for one in near)}
    for name in sorted(given | {name.upper() for name in written} - known):
        hint = "".join(f"; do you mean {meant}?" for meant in get_close_matches(name, near, n=1)) or "."
        is_table = isinstance(written.get(name.lower()), dict)
        shown = name if re.fullmatch("[A-Z_]{,40}", name) or "?" in hint else "A NAME"  # it may be a secret
        yield f"{shown}: not a setting of Unlatch{'; settings stand in no table.' if is_table else hint}"


def _nearly(name: str, setting: str) -> bool:
    """Whether one letter lacks, is one too many, another one or in its neighbour's place."""
    longer = max(len(name), len(setting))
    if len(name) + len(setting) < 2 * longer - 1:
        return False
    same = SequenceMatcher(None, name, setting, autojunk=False).get_matching_blocks()
    return sum(block.size for block in same) >= longer - 1


def _written() -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what stands in the TOML file and `.env`, and in files of secrets; raises SettingsError."""
    toml = os.environ.get(CONFIG_VARIABLE)
    try:
        written = _counted(tomllib.loads(text_of(toml)) if toml else {})
        written |= _counted(read_dotenv(Path(".env")))
        named = {one: os.environ.get(f"{one.upper()}_FILE") or written.get(f"{one}_file") for one in IN_FILES}
        return written, _counted({name: _secret_in(name, path) for name, path in named.items() if path})
    except (ValueError, RecursionError) as error:
        # The text of such an error can hold a line of the file, and with it a secret.
        place = re.search(r"at line \d+, column \d+", str(error))
        raise SettingsError(f"{toml} is not TOML{f', {place.group()}' if place else ''}.") from None
    except OSError as error:
        raise SettingsError(f"{error.filename} cannot be read: {error.strerror}.") from None


def read_settings(*needed: str, stand_ins: Mapping[str, object] | None = None) -> Settings:
    """Return the settings, or raise SettingsError with one message about all that is missing or wrong.

    `needed`: the fields without a default that the caller uses, where that is not all of them. What counts
    is the environment before files of secrets (`SLACK_BOT_TOKEN_FILE`), before `.env`, before the TOML file.
    `stand_ins` count before all of them, and unknown names are then no matter.
    """
    written, secrets = _written()
    lines = list(_unknown(written)) if stand_ins is None else []
    try:
        environment = EnvSettingsSource(Settings)()
        given = written | secrets | _counted(environment) | dict(stand_ins or {})
        settings = (_demanding(needed) if needed else Settings)(**given)
    except ValidationError as errors:
        lines += [_line(dict(error)) for error in errors.errors(include_input=False, include_url=False)]
    if lines:
        where = f"in the environment, in .env or in the file of {CONFIG_VARIABLE}"
        raise SettingsError("\n  ".join([f"Set these right, {where}:", *lines]), lines)
    return settings


def _demanding(needed: Collection[str]) -> type[Settings]:
    """Return the settings of which only `needed` have to be set."""
    optional: dict[str, Any] = {
        name: (field.annotation, Field(default=None, validate_default=False))
        for name, field in Settings.model_fields.items()
        if name not in needed and (field.is_required() or field.validate_default)
    }
    return create_model("Settings", __base__=Settings, **optional)


def problem_with(name: str, value: str) -> str | None:
    """Return what is wrong with one setting's value, as `read_settings` would say it; None: nothing."""
    try:
        Settings(**{name.lower(): value})  # type: ignore[arg-type]  # a text, as it is in .env
    except ValidationError as errors:
        found = errors.errors(include_input=False, include_url=False)
        return next((_line(dict(error)) for error in found if error["loc"][0] == name.lower()), None)
    return None


def without_secrets(settings: Settings) -> dict[str, str]:
    """Return every setting as text, for the audit log: whether a secret is set, a URL without its login."""
    return {name.upper(): _open_text(getattr(settings, name)) for name in Settings.model_fields}


def _open_text(value: object) -> str:
    if value is None or isinstance(value, SecretStr):
        return "set" if value is not None else ""
    text = ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
    return _LOGIN.sub("://", text).partition("?")[0]


def place_of(database_url: str) -> str:
    """Return where a database is, without its login; a file by its whole path."""
    kind, separator, path = _open_text(database_url).partition(":///")
    return f"{kind}{separator}{Path(path).absolute() if kind.startswith('sqlite') else path}"


def _line(error: Mapping[str, Any]) -> str:
    """One setting: its name, what is wrong, where to get it. Never the value: it may be a secret."""
    field = str(error["loc"][0])
    said = str(error["msg"]).removeprefix("Value error, ").replace("Input should", "it should")
    wrong = _PLAIN.get(error["type"]) or said
    return f"{field.upper()}: {wrong}. {described(field)}"


def described(field: str) -> str:
    """Return what a setting is and where to get it: its docstring, on one line."""
    return " ".join(str(Settings.model_fields[field].description).split())
