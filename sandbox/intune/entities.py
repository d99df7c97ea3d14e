"""Phones, people and apps as Graph writes them, in a list and alone."""

from collections.abc import Collection
from datetime import datetime
from typing import Final

from sandbox.cast import Account
from sandbox.intune.catalogue import App
from sandbox.intune.phones import Phone

RESULTS: Final = "deviceActionResults"
_ONLY_ALONE: Final = ("enrollmentProfileName",)
"""Filled in an answer about one device only, though the documentation does not say so."""

USER_PROPERTIES: Final = (
    "businessPhones",
    "displayName",
    "givenName",
    "jobTitle",
    "mail",
    "mobilePhone",
    "officeLocation",
    "preferredLanguage",
    "surname",
    "userPrincipalName",
    "id",
)
EXTRA_USER_PROPERTIES: Final = ("accountEnabled", "userType", "mailNickname")
APP_PROPERTIES: Final = (
    "id",
    "displayName",
    "version",
    "sizeInByte",
    "deviceCount",
    "publisher",
    "platform",
)


def device_properties(phone: Phone) -> frozenset[str]:
    """Every property name of a managedDevice."""
    return frozenset({*phone.properties, RESULTS})


def listed_device(phone: Phone) -> dict[str, object]:
    """A row of a list: real Graph leaves the action results empty there."""
    return {**phone.properties, RESULTS: [], **dict.fromkeys(_ONLY_ALONE, "")}


def device_alone(phone: Phone, selected: Collection[str], now: datetime) -> dict[str, object]:
    """The answer about one device; some properties have their value only when they are selected by name."""
    shown = {name: value for name, value in phone.hidden.items() if name in selected}
    return {**phone.properties, **shown, RESULTS: phone.action_results(now)}


def user_alone(account: Account, selected: Collection[str]) -> dict[str, object]:
    """A user: the eleven default properties, or those selected."""
    given, _, surname = account.name.partition(" ")
    everything: dict[str, object] = {
        "businessPhones": [],
        "displayName": account.name,
        "givenName": given,
        "jobTitle": None,
        "mail": account.upn,
        "mobilePhone": None,
        "officeLocation": None,
        "preferredLanguage": None,
        "surname": surname,
        "userPrincipalName": account.upn,
        "id": account.oid,
        "accountEnabled": True,
        "userType": "Member",
        "mailNickname": account.upn.partition("@")[0],
    }
    return {name: everything[name] for name in everything if name in (selected or USER_PROPERTIES)}


def app_alone(app: App, device_count: int) -> dict[str, object]:
    """A detected app and how many devices have it."""
    return {
        "id": app.id,
        "displayName": app.name,
        "version": app.version,
        "sizeInByte": app.size,
        "deviceCount": device_count,
        "publisher": app.publisher,
        "platform": app.platform,
    }
