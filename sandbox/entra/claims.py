"""The `claims` parameter: what a resource demands of the next sign-in, and whether a session meets it."""

import json
from collections.abc import Mapping

from sandbox.entra import refusals

Demands = Mapping[str, object]
"""The `access_token` part of a claims request, by claim: {"acrs": {"essential": true, "value": "c1"}}."""

_ABOUT_THE_CLIENT = frozenset({"xms_cc"})
_ABOUT_TIME = frozenset({"nbf"})


def parse_claims(text: str) -> dict[str, object]:
    """Return what a claims request (JSON) demands of the access token; nothing for an empty one.

    A challenge arrives from Graph in base64; sent on undecoded it is refused here, as Entra refuses it.
    """
    if not text:
        return {}
    try:
        asked = json.loads(text)
    except ValueError as error:
        raise refusals.malformed("the claims parameter is not JSON") from error
    demands = asked.get("access_token", {}) if isinstance(asked, dict) else None
    if not isinstance(demands, dict):
        raise refusals.malformed("the claims parameter is not an object")
    return demands


def capable(demands: Demands) -> bool:
    """Whether the client declared the capability cp1: it can handle claims challenges."""
    declared = demands.get("xms_cc")
    values = declared.get("values", []) if isinstance(declared, dict) else []
    return any(str(value).upper() == "CP1" for value in values)


def unmet(demands: Demands, met: Demands) -> bool:
    """Whether a demand needs a person: the session does not meet it and a fresh token alone would not."""
    needs_a_person = demands.keys() - _ABOUT_THE_CLIENT - _ABOUT_TIME
    return any(met.get(claim) != demands[claim] for claim in needs_a_person)


def carried(demands: Demands, claims: Demands) -> bool:
    """Whether a token that was obtained with `claims` was obtained with all of `demands`."""
    return all(claims.get(claim) == demands[claim] for claim in demands.keys() - _ABOUT_THE_CLIENT)


def authentication_contexts(claims: Demands) -> list[str]:
    """The values for the `acrs` claim of a token."""
    asked = claims.get("acrs")
    value = asked.get("value") if isinstance(asked, dict) else None
    return [str(value)] if value else []
