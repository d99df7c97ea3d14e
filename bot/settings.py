"""Every setting, described: environment variables, `.env`, or the TOML file that `UNLATCH_CONFIG` names."""

import os
import re
import tomllib
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import Field, SecretStr, ValidationError, ValidationInfo, field_validator
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from bot.domain.clouds import Cloud
from bot.domain.people import Audience, AudienceKind

CONFIG_VARIABLE: Final = "UNLATCH_CONFIG"

Audiences = Annotated[tuple[Audience, ...], NoDecode]


_KEY: Final = re.compile(r"[A-Za-z0-9_-]{43}=?")
_LOGIN: Final = re.compile(r"://.*@", re.DOTALL)
"""Where an address carries who logs in, and with what password."""


class SettingsError(Exception):
    """What is missing or wrong, all of it at once, and where to get each."""


class Settings(BaseSettings):
    """Read once, at start; every other room gets plain values."""

    model_config = SettingsConfigDict(env_file=".env", extra="ignore", frozen=True, env_ignore_empty=True)

    slack_bot_token: SecretStr = Field(
        description="Bot token, `xoxb-…`. Slack app page → OAuth & Permissions → Bot User OAuth Token."
    )
    slack_app_token: SecretStr | None = Field(
        default=None,
        description="App-level token, `xapp-…`, with `connections:write`: set it for Socket Mode. "
        "Slack app page → Basic Information → App-Level Tokens.",
    )
    slack_signing_secret: SecretStr | None = Field(
        default=None,
        validate_default=True,
        description="Needed in HTTP mode. Slack app page → Basic Information → Signing Secret.",
    )
    slack_api_url: str = Field(
        default="https://slack.com/api/", description="Base of Slack's Web API; ends with a slash."
    )
    approver_channel: str = Field(
        pattern=r"^[CG][A-Z0-9]{2,}$",
        description="Id of the channel where cards are posted and approvers are, `C…`. "
        "In Slack: the channel's details → the foot of the About tab. Invite the bot to it.",
    )
    requesters: Audiences = Field(
        default=(),
        description="Who may ask: `channel:C…`, `usergroup:S…`, `workspace`; comma-separated means any of "
        "them. Default: the approver channel's members.",
    )
    approvers: Audiences = Field(
        default=(),
        description="Who of the approver channel may decide: `usergroup:S…` (the group that a rota tool "
        "keeps in step) or `channel:C…`. Default: everybody in the approver channel.",
    )
    allow_owner_approval: bool = Field(
        default=False, description="Whether an approver may approve the reset of their own device."
    )
    asks_per_hour: Annotated[int, Field(ge=1)] = Field(
        default=20, description="How many resets one person may ask for in an hour."
    )
    entra_tenant_id: str = Field(
        pattern=r"^[0-9a-fA-F-]{36}$",
        description="Directory (tenant) id, a GUID. "
        "Entra admin centre → App registrations → your app → Overview.",
    )
    entra_client_id: str = Field(
        pattern=r"^[0-9a-fA-F-]{36}$",
        description="Application (client) id, a GUID. The same Overview page.",
    )
    sign_in: Literal["browser", "device-code"] = Field(
        default="browser",
        description="How approvers sign in: `browser` (authorization code with PKCE), or `device-code` where "
        "no browser can reach Unlatch; read first why that is not the default.",
    )
    entra_client_certificate: Path | None = Field(
        default=None,
        description="Path of a PEM file with private key and certificate, instead of a client secret.",
    )
    entra_client_secret: SecretStr | None = Field(
        default=None,
        validate_default=True,
        description="Client secret's value; or set ENTRA_CLIENT_CERTIFICATE. Not used with device codes. "
        "The app registration → Certificates & secrets.",
    )
    entra_authority: str | None = Field(
        default=None,
        description="Sign-in authority; default from CLOUD and the tenant. Any OIDC authority works.",
    )
    graph_url: str | None = Field(
        default=None,
        description="Base of Microsoft Graph; default from CLOUD, `https://graph.microsoft.com/v1.0`.",
    )
    cloud: Cloud = Field(
        default=Cloud.GLOBAL, description="Microsoft's cloud: `global`, `usgov`, `usgov-dod` or `china`."
    )
    sign_in_max_age: Annotated[timedelta, Field(ge=timedelta(minutes=10), le=timedelta(days=1))] = Field(
        default=timedelta(hours=8),
        description="How long a sign-in lasts, as ISO 8601 (`PT8H`) or seconds; "
        "then the approver signs in again.",
    )
    fresh_sign_in: bool = Field(
        default=False,
        validate_default=True,
        description="`true`: each approval asks for an interactive sign-in that is at most ten minutes old. "
        "Only with SIGN_IN=browser.",
    )
    public_url: str | None = Field(
        default=None,
        validate_default=True,
        pattern=r"^https?://[^/\s]+$",
        description="Where an approver's browser reaches Unlatch, without a slash at the end, such as "
        "`https://unlatch.example.com`. The app registration's redirect URI is this and `/sign-in/callback`. "
        "Not needed with SIGN_IN=device-code.",
    )
    port: Annotated[int, Field(ge=0, le=65535)] = Field(default=3000, description="Port to listen on.")
    host: str = Field(default="127.0.0.1", description="Address to listen on; the Procfile sets 0.0.0.0.")
    metrics_port: Annotated[int, Field(ge=0, le=65535)] | None = Field(
        default=None,
        description="Port of `GET /metrics` for Prometheus; unset: none. The number of PORT puts it on the "
        "listener that everybody reaches.",
    )
    metrics_host: str = Field(
        default="127.0.0.1", description="Address that the port of METRICS_PORT listens on."
    )
    database_url: str = Field(
        pattern=r"^(sqlite|postgres(ql)?)(\+[a-z0-9]+)?://",
        default="sqlite:///unlatch.sqlite3",
        description="Where requests are kept: an SQLite file, or `postgresql://…` for several replicas.",
    )
    vault_keys: SecretStr = Field(
        description="Keys of the sign-in vault, comma-separated, newest first. Make one with "
        "`unlatch vault new-key`.",
    )
    audit_heads: Path | None = Field(
        default=None,
        description="A file to which each signed head of the record is added, about one a minute; best on a "
        "disk that the database's owner cannot write to.",
    )
    request_lifetime: Annotated[timedelta, Field(ge=timedelta(minutes=1), le=timedelta(days=7))] = Field(
        default=timedelta(hours=1), description="How long a request waits for an approver before it expires."
    )
    reveal_for: Annotated[timedelta, Field(ge=timedelta(minutes=1), le=timedelta(days=1))] = Field(
        default=timedelta(hours=1), description="How long the requester can look at a new passcode."
    )
    log_level: Literal["info", "warning", "error"] = Field(
        default="info",
        description="How much is logged. There is no debug: the libraries below would print bodies.",
    )

    @field_validator("requesters", "approvers", mode="before")
    @classmethod
    def _audiences(cls, value: object) -> object:
        return _audiences(value) if isinstance(value, str) else value

    @field_validator("approvers")
    @classmethod
    def _no_workspace(cls, value: tuple[Audience, ...]) -> tuple[Audience, ...]:
        if any(part.kind is AudienceKind.WORKSPACE for part in value):
            raise ValueError("`workspace` is for REQUESTERS only; name a channel or a user group")
        return value

    @field_validator("vault_keys")
    @classmethod
    def _keys(cls, value: SecretStr) -> SecretStr:
        if not all(_KEY.fullmatch(key) for key in value.get_secret_value().split(",")):
            raise ValueError("a key is not 32 bytes in base64url")
        return value

    @field_validator("slack_signing_secret", "entra_client_secret")
    @classmethod
    def _or_the_other(cls, value: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        """Each may be left out where the setting before it stands in."""
        other = {"slack_signing_secret": "slack_app_token", "entra_client_secret": "entra_client_certificate"}
        name = str(info.field_name)
        unused = name == "entra_client_secret" and info.data.get("sign_in") == "device-code"
        if value is None and not unused and info.data.get(other[name]) is None:
            raise ValueError("missing")
        return value

    @field_validator("public_url")
    @classmethod
    def _for_browsers(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value is None and info.data.get("sign_in") != "device-code":
            raise ValueError("missing")
        return value

    @field_validator("fresh_sign_in")
    @classmethod
    def _by_links_alone(cls, value: bool, info: ValidationInfo) -> bool:
        """Microsoft takes no `max_age` with a device code: no approver could ever meet it."""
        if value and info.data.get("sign_in") == "device-code":
            raise ValueError("a device code cannot ask for a fresh sign-in; use SIGN_IN=browser")
        return value

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003  pydantic's signature
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Environment before `.env` before the TOML file."""
        toml = os.environ.get(CONFIG_VARIABLE)
        files = (TomlConfigSettingsSource(settings_cls, toml),) if toml else ()
        return (init_settings, env_settings, dotenv_settings, *files)


def read_settings() -> Settings:
    """The settings, or SettingsError with one message that lists everything that is missing or wrong."""
    named = os.environ.get(CONFIG_VARIABLE)
    if named and not Path(named).is_file():
        raise SettingsError(f"{CONFIG_VARIABLE} names “{named}”, which is no file.")
    try:
        return Settings()  # type: ignore[call-arg]  # the values come from the environment
    except ValidationError as errors:
        raise SettingsError(_told(errors)) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        # The text of such an error can hold a line of the file, and with it a secret.
        raise SettingsError(
            f".env or the file of {CONFIG_VARIABLE} cannot be read: {_place(error)}."
        ) from None


def without_secrets(settings: Settings) -> dict[str, str]:
    """Every setting as text, for the record: of a secret whether it is set, of an address not who logs in."""
    return {name.upper(): _open_text(getattr(settings, name)) for name in Settings.model_fields}


def _open_text(value: object) -> str:
    match value:
        case None:
            return ""
        case SecretStr():
            return "set"
        case tuple():
            return ",".join(map(str, value))
        case _:
            address, _, _ = str(value).partition("?")
            return _LOGIN.sub("://", address)


def _place(error: Exception) -> str:
    """What kind of error, and where in a TOML file, without any of the file."""
    place = re.search(r"\(at line \d+, column \d+\)", str(error))
    return f"{type(error).__name__} {place.group() if place else ''}".strip()


def _audiences(text: str) -> tuple[Audience, ...]:
    """Read a list, or say which part is wrong without repeating it: it may be a secret, set by mistake."""
    parts = [part for part in text.split(",") if part.strip()]
    if not parts:
        raise ValueError("it is set, but names nobody; leave it out, or name channel:C… or usergroup:S…")
    found: list[Audience] = []
    for number, part in enumerate(parts, start=1):
        try:
            found.append(Audience.parse(part))
        except ValueError:
            raise ValueError(f"part {number} is none of channel:C…, usergroup:S… or workspace") from None
    return tuple(found)


def _told(errors: ValidationError) -> str:
    lines = [_line(dict(error)) for error in errors.errors(include_input=False, include_url=False)]
    return (
        "Unlatch cannot start. Set these, in the environment, in .env or in the file of UNLATCH_CONFIG:\n"
        + ("\n".join(f"  {line}" for line in lines))
    )


def _line(error: Mapping[str, Any]) -> str:
    """One setting: its name, what is wrong, where to get it. Never the value: it may be a secret."""
    field = str(error["loc"][0])
    wrong = "missing" if error["type"] == "missing" else str(error["msg"]).removeprefix("Value error, ")
    return f"{field.upper()}: {wrong}. {_description(field)}"


def _description(field: str) -> str:
    return str(Settings.model_fields[field].description)
