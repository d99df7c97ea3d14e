"""The parameters of a request to Entra: each given once, `scope` and `claims` understood."""

import json
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Final, Self

from sandbox.entra.refusals import Refusal, malformed, missing

GRAPH: Final = "https://graph.microsoft.com"
OPENID_SCOPES: Final = frozenset({"openid", "profile", "email", "offline_access"})
CONSENTED: Final = frozenset(
    {
        "User.Read",
        "User.ReadBasic.All",
        "DeviceManagementManagedDevices.Read.All",
        "DeviceManagementManagedDevices.PrivilegedOperations.All",
    }
)
"""What the administrator of the sandbox's tenant has granted to the app, for all users."""
GRAPH_PERMISSIONS: Final = CONSENTED | {
    "User.Read.All",
    "Directory.Read.All",
    "GroupMember.Read.All",
    "DeviceManagementManagedDevices.ReadWrite.All",
}

Claims = Mapping[str, object]
"""The `access_token` part of a claims request, by claim: {"acrs": {"essential": true, "value": "c1"}}."""

_ABOUT_THE_CLIENT: Final = frozenset({"xms_cc"})
_ABOUT_TIME: Final = frozenset({"nbf"})


def once_each(given: Iterable[tuple[str, object]]) -> None:
    """Refuse parameters of which one is given twice."""
    for name, times in Counter(name for name, _ in given).items():
        if times > 1:
            raise malformed(f"the parameter '{name}' is there twice")


def required(given: Mapping[str, str], name: str) -> str:
    """A parameter that must be there and not empty."""
    if not given.get(name):
        raise missing(name)
    return given[name]


@dataclass(frozen=True, slots=True)
class Scopes:
    """What a `scope` parameter asks for, in its order and spelling."""

    asked: tuple[str, ...]

    @classmethod
    def parse(cls, text: str, *, app: str, consented: Collection[str]) -> Self:
        """Read a `scope` parameter; refuse a scope that does not exist or was not consented to."""
        scopes = cls(tuple(dict.fromkeys(text.split())))
        if not scopes.asked:
            raise missing("scope")
        for scope in scopes.asked:
            _check_scope(scope, app, consented)
        return scopes

    @property
    def offline(self) -> bool:
        return "offline_access" in self.asked

    @property
    def identity(self) -> bool:
        return "openid" in self.asked

    def permissions(self, consented: Collection[str]) -> list[str]:
        """The Graph permissions by their short names, as in the `scp` claim."""
        names = [_short(scope) for scope in self.asked if scope not in OPENID_SCOPES]
        return sorted(consented) if ".default" in names else sorted(names)

    def granted(self) -> str:
        """The `scope` of the token response: spelled as asked, without offline_access, as Entra does."""
        return " ".join(scope for scope in self.asked if scope != "offline_access")

    def within(self, wider: "Scopes") -> bool:
        """Whether every permission here was part of the wider set."""
        return {_short(s) for s in self.asked} <= {_short(s) for s in wider.asked} | OPENID_SCOPES


def _short(scope: str) -> str:
    return scope.removeprefix(f"{GRAPH}/")


def _check_scope(scope: str, app: str, consented: Collection[str]) -> None:
    name = _short(scope)
    if name in OPENID_SCOPES or name == ".default":
        return
    if "/" in name:
        raise Refusal(70011, scope=scope)
    if name not in GRAPH_PERMISSIONS:
        raise Refusal(650053, scope=name, app=app)
    if name not in consented:
        raise Refusal(65001, scope=name, app=app)


def parse_claims(text: str) -> dict[str, object]:
    """Return what a claims request (JSON) demands of the access token; nothing for an empty one.

    A challenge arrives from Graph in base64; sent on undecoded it is refused here, as Entra refuses it.
    """
    if not text:
        return {}
    try:
        asked = json.loads(text)
    except ValueError as error:
        raise malformed("the claims parameter is not JSON") from error
    claims = asked.get("access_token", {}) if isinstance(asked, dict) else None
    if not isinstance(claims, dict):
        raise malformed("the claims parameter is not an object")
    return claims


def capable(claims: Claims) -> bool:
    """Whether the client declared the capability cp1: it can handle claims challenges."""
    declared = claims.get("xms_cc")
    values = declared.get("values", []) if isinstance(declared, dict) else []
    return any(str(value).upper() == "CP1" for value in values)


def unmet(demanded: Claims, met: Claims) -> bool:
    """Whether a demand needs a person: the session does not meet it and a fresh token alone would not."""
    needs_a_person = demanded.keys() - _ABOUT_THE_CLIENT - _ABOUT_TIME
    return any(met.get(claim) != demanded[claim] for claim in needs_a_person)


def carried(demanded: Claims, claims: Claims) -> bool:
    """Whether a token that was obtained with `claims` was obtained with all that is demanded."""
    return all(claims.get(claim) == demanded[claim] for claim in demanded.keys() - _ABOUT_THE_CLIENT)


def authentication_contexts(claims: Claims) -> list[str]:
    """The values for the `acrs` claim of a token."""
    asked = claims.get("acrs")
    value = asked.get("value") if isinstance(asked, dict) else None
    return [str(value)] if value else []
