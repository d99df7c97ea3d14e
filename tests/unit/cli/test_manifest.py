"""The app manifest, as it is and filled in, is what Slack accepts and what the code listens to."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from bot.init import manifest_for
from bot.settings import CATALOG
from bot.slack.payloads import COMMAND
from jsonschema import validators

ROOT = Path(__file__).parents[3]
SCHEMAS = ("manifest.schema.1.0.0.json", "manifest.schema.2.0.0.json", "schemastore-slack-app-manifest.json")


@pytest.fixture
def manifest() -> Any:
    return yaml.safe_load((ROOT / "manifest.yml").read_text())


@pytest.mark.parametrize("name", SCHEMAS)
@pytest.mark.parametrize("mode", ["template", "http", "socket"])
def test_slacks_own_schemas_accept_it(manifest, name, mode):
    if mode != "template":
        filled = manifest_for("https://unlatch.contoso.com", socket_mode=mode == "socket")
        assert filled.count("https://unlatch.contoso.com/slack/events") == (0 if mode == "socket" else 2)
        assert not re.search(r"example|^#" + ("|url:" if mode == "socket" else ""), filled, re.MULTILINE)
        manifest = yaml.safe_load(filled)
        assert manifest["settings"]["socket_mode_enabled"] == (mode == "socket")
    schema = json.loads((ROOT / "tests" / "specs" / name).read_text())
    validator = validators.validator_for(schema)(schema)
    assert [f"{list(error.path)}: {error.message}" for error in validator.iter_errors(manifest)] == []


def test_it_names_our_command_one_address_and_every_scope_that_the_doctor_asks_for(manifest):
    [command] = manifest["features"]["slash_commands"]
    assert command["command"] == COMMAND
    assert command["should_escape"] is True
    assert f'"{command["usage_hint"]}"' in (ROOT / "sandbox/page/js/commands.js").read_text()
    assert command["url"] == manifest["settings"]["interactivity"]["request_url"]
    assert command["url"].endswith("/slack/events")
    kinds = ("groups", "channels")
    asked = {scope.format(kind=kind, approvers=kind) for scope in CATALOG["scopes"] for kind in kinds}
    asked.add("usergroups:read")
    assert set(manifest["oauth_config"]["scopes"]["bot"]) == asked
    assert "user" not in manifest["oauth_config"]["scopes"]
