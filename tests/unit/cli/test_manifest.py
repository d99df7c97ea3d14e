"""The app manifest is what Slack accepts, and what the code listens to."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from bot.doctor import NEEDED_SCOPES
from bot.slack.payloads import COMMAND
from jsonschema import validators

ROOT = Path(__file__).parents[3]
SCHEMAS = ("manifest.schema.1.0.0.json", "manifest.schema.2.0.0.json", "schemastore-slack-app-manifest.json")


@pytest.fixture
def manifest() -> Any:
    return yaml.safe_load((ROOT / "manifest.yml").read_text())


@pytest.mark.parametrize("name", SCHEMAS)
def test_slacks_own_schemas_accept_it(manifest, name):
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
    assert set(manifest["oauth_config"]["scopes"]["bot"]) >= NEEDED_SCOPES
    assert "user" not in manifest["oauth_config"]["scopes"]
