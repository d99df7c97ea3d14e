"""`unlatch init`: ask what an installation needs, and write `.env` and the Slack app's manifest."""

import re
import shlex
import sys
from getpass import getpass
from io import StringIO
from pathlib import Path
from typing import Final

from dotenv import dotenv_values

from bot.entra.links import CALLBACK_PATH
from bot.keys import new_key
from bot.settings import PERMISSIONS, SECRETS, CannotStart, bare, described, problem_with, read_dotenv

TEMPLATE: Final = Path(__file__).with_name("manifest.yml")
"""A link to the repository's own; an installed package has a copy."""
EXAMPLE: Final = "https://unlatch.example.com"
NEXT: Final = """
Written: {env} and {manifest}.
Slack: https://api.slack.com/apps?new_app=1
  From a manifest: paste {manifest}, and install the app.
  Make a private channel for the approvers, and invite the bot to it.
Microsoft Entra: https://entra.microsoft.com, App registrations, New registration
  Redirect URI, of type Web: {redirect_uri}
  API permissions, Microsoft Graph, Delegated permissions; then Grant admin consent:
    {permissions}
  Token configuration, Add optional claim, ID: email
Add to {env} what is still missing. Next: unlatch doctor, unlatch migrate, unlatch serve."""


def run() -> int:
    """Ask, write, and print what comes next. Raises OSError; CannotStart, and then nothing is written."""
    env, manifest = Path(".env"), Path("manifest.yml")
    if manifest.exists() and manifest.samefile(TEMPLATE):
        manifest = Path("manifest.filled.yml")
    try:
        for path in filter(Path.exists, (env, manifest)):
            if not (sys.stdin.isatty() and _yes(f"{path} exists. Replace it?")):
                raise CannotStart(f"{path} exists, so nothing was written. Move it, or use another folder.")
        given = {name: text for name, text in read_dotenv(env).items() if text}
        socket_mode = "SLACK_APP_TOKEN" in given or _yes("Socket Mode, without an address for Slack?")
        by_mode = "SLACK_APP_TOKEN" if socket_mode else "SLACK_SIGNING_SECRET"
        names = ["PUBLIC_URL", "SLACK_BOT_TOKEN", by_mode, "APPROVER_CHANNEL", "ENTRA_TENANT_ID"]
        names += ["ENTRA_CLIENT_ID", "ENTRA_CLIENT_SECRET", "ENTRA_CLIENT_CERTIFICATE", "DATABASE_URL"]
        print("An empty answer leaves a setting as it is, or for later.")
        for name in names:
            if name != "ENTRA_CLIENT_CERTIFICATE" or "ENTRA_CLIENT_SECRET" not in given:
                given |= _ask(name)
    except EOFError:
        raise CannotStart("The input ended before the last question, so nothing was written.") from None
    given.setdefault("VAULT_KEYS", new_key())
    url = given.get("PUBLIC_URL", EXAMPLE)
    lines = [*map(_line, given, given.values()), *(f"# {name}=\n" for name in names if name not in given)]
    for path, text in ((manifest, manifest_for(url, socket_mode=socket_mode)), (env, "".join(lines))):
        new = path.with_name(f"{path.name}.new")
        new.touch(0o600)
        new.chmod(0o600)
        new.write_text(text, "utf-8")
        new.replace(path)  # whole: a key in the old file may stand nowhere else
    permissions = "\n    ".join(PERMISSIONS)
    print(NEXT.format(env=env, manifest=manifest, redirect_uri=url + CALLBACK_PATH, permissions=permissions))
    return 0


def manifest_for(public_url: str, *, socket_mode: bool) -> str:
    """Return the manifest of the Slack app; in Socket Mode Slack calls no address."""
    filled = TEMPLATE.read_text("utf-8").replace(EXAMPLE, public_url)
    filled = re.sub(r"^#.*\n", "", filled, flags=re.MULTILINE)  # how to fill it in
    if socket_mode:
        filled = re.sub(r"^ *(request_)?url:.*\n", "", filled, flags=re.MULTILINE)
        filled = filled.replace("socket_mode_enabled: false", "socket_mode_enabled: true")
    return filled


def _yes(question: str) -> bool:
    return input(f"{question} [y/N] ").strip().lower() in ("y", "yes")


def _ask(name: str) -> dict[str, str]:
    """Return the setting once it is right, or none; CannotStart where nobody is there to correct it."""
    ask = getpass if name.lower() in SECRETS and sys.stdin.isatty() else input
    print(f"\n{name}: {described(name.lower())}")
    while answer := bare(ask("> ")):
        problem = problem_with(name, answer)
        if problem is None:
            return {name: answer}
        if not sys.stdin.isatty():
            raise CannotStart(problem)
        print(problem)
    return {}


def _line(name: str, value: str) -> str:
    line = f"{name}={shlex.quote(value)}\n"
    if dotenv_values(stream=StringIO(line), interpolate=False) != {name: value}:
        raise CannotStart(f"{name} cannot stand in .env as it is: set it in the environment instead.")
    return line
