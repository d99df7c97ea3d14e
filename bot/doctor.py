"""`unlatch doctor`: ask Slack, Entra, Graph and the database what is wrong, before a colleague meets it."""

import json
import re
from collections.abc import Collection
from contextlib import AsyncExitStack
from typing import Final, NamedTuple

from bot.checks import CHECKS, TIMING, Installation
from bot.domain.values import Secret
from bot.graph.devices import graph_client
from bot.settings import CATALOG, Finding, Settings, SettingsError, read_settings
from bot.slack.client import slack_client, slack_session

MARKS: Final = {"ok": "✓", "wrong": "✗", "unknown": "?"}
PERSON: Final = "Person"


class Result(NamedTuple):
    """What a check found. `state`: a key of MARKS; `cure`: what to do."""

    check: str
    state: str
    detail: str
    cure: str = ""


async def run(*, as_json: bool = False, **asked: str | None) -> int:
    """Print what each check found; return 1 where something is wrong, else 0. `asked`: as for `examine`."""
    settings, results = _settings()
    if settings is not None:
        wrong = {result.check.lower() for result in results if result.state == "wrong"}
        results += await examine(settings, wrong, **asked)
    if as_json:
        print(json.dumps([result._asdict() for result in results], indent=2))
    else:
        for check, state, detail, cure in results:
            print(f"{MARKS[state]} {check:<23} {detail}" + (f"\n{'':<25} → {cure}" if cure else ""))
    return 1 if any(result.state == "wrong" for result in results) else 0


def _settings() -> tuple[Settings | None, list[Result]]:
    """Return the settings and what is wrong with them; None where a file with them cannot be read."""
    try:
        return read_settings(), [Result("Settings", "ok", "each has a name and a value of the right form")]
    except SettingsError as error:
        if not error.lines:
            return None, [_found("Settings", Finding("settings_unreadable", why=error))]
        lines = [re.split(r": |\. ", line, maxsplit=2) for line in error.lines]
    results = [
        _found(name, Finding("setting" if cure else "name", why=why, cure=cure)) for name, why, *cure in lines
    ]
    wrong = Settings.model_fields.keys() & {result.check.lower() for result in results}
    usual = {name: Settings.model_fields[name].default for name in wrong}
    stand_ins = {name: CATALOG["stand_ins"].get(name, value) for name, value in usual.items()}
    if any(result.detail.startswith("set only one") for result in results):
        stand_ins["entra_client_secret"] = None
    return read_settings(stand_ins=stand_ins), results


async def examine(settings: Settings, wrong: Collection[str] = (), **asked: str | None) -> list[Result]:
    """Return what each check found. `wrong`: settings with values that only stand in for right ones.

    `asked`: `post_to`, who is sent a message, and `person`, who is explained: ids of Slack users.
    """
    results: dict[str, Result] = {}
    token, url = Secret(settings.slack_bot_token.get_secret_value()), settings.slack_api_url
    async with AsyncExitStack() as stack, slack_session(TIMING) as session, graph_client(TIMING) as http:
        slack = slack_client(token, url, session)
        it = Installation(settings=settings, stack=stack, slack=slack, http=http, **asked)
        for name, look, needs, after in CHECKS:
            if name == PERSON and not it.person:
                continue
            first = [need.upper() for need in needs if need in wrong]
            first += [after] if after and results[after].state != "ok" else []
            try:
                if first:
                    raise Finding("not_checked", first=", ".join(first))
                results[name] = Result(name, "ok", await look(it))
            except Finding as finding:
                results[name] = _found(name, finding)
            except Exception as error:  # its text may hold a secret
                results[name] = _found(name, Finding("crashed", kind=type(error).__name__))
    return list(results.values())


def _found(check: str, finding: Finding) -> Result:
    return Result(check, finding.state, finding.detail, finding.cure)
