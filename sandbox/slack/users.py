"""users.info and usergroups.users.list (docs.slack.dev/reference/objects/user-object)."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from sandbox.cast import Person
from sandbox.slack.api_call import ApiCall, Method
from sandbox.slack.refusals import Refused
from sandbox.slack.shapes import JsonObject
from sandbox.slack.workspace import OTHER_WORKSPACE

UPDATED: Final = 1_767_225_600


def _info(call: ApiCall) -> JsonObject:
    call.need("users:read")
    user = call.arguments.required("user")
    person = call.platform.workspace.find(user)
    if person is None:
        raise Refused("user_not_found")
    return {"user": _user_json(call, person)}


def _usergroup_users(call: ApiCall) -> JsonObject:
    call.need("usergroups:read")
    group = call.platform.workspace.groups.get(call.arguments.required("usergroup"))
    if group is None or not (group.enabled or call.arguments.flag("include_disabled")):
        raise Refused("no_such_subteam")
    return {"users": list(group.users)}


def _user_json(call: ApiCall, person: Person) -> JsonObject:
    workspace = call.platform.workspace
    external = workspace.external(person.id)
    user: JsonObject = {
        "id": person.id,
        "team_id": person.team_id,
        "name": person.handle,
        "deleted": person.kind == "deactivated",
        "updated": UPDATED,
        "is_bot": person.kind == "bot",
        "is_app_user": False,
        "profile": _profile(call, person),
    }
    if workspace.organization and not external:
        user["enterprise_user"] = {
            "id": workspace.organization_id(person.id),
            "enterprise_id": workspace.organization,
            "enterprise_name": workspace.team.name,
            "is_admin": False,
            "is_owner": False,
            "teams": [workspace.team.id, OTHER_WORKSPACE],
        }
    if person.kind == "deactivated":
        return user
    user |= _zone(person.tz) | {
        "color": person.color,
        "real_name": person.name,
        "is_admin": False,
        "is_owner": False,
        "is_primary_owner": False,
        "is_restricted": person.kind in ("guest", "single-channel-guest"),
        "is_ultra_restricted": person.kind == "single-channel-guest",
        "is_email_confirmed": bool(person.email) and person.id not in workspace.unconfirmed_emails,
        "who_can_share_contact_card": "EVERYONE",
    }
    if external:
        user["is_stranger"] = not workspace.shares_a_channel(person.id)
    elif call.arguments.flag("include_locale"):
        user["locale"] = "en-US"
    return user


def _profile(call: ApiCall, person: Person) -> JsonObject:
    first, _, last = person.name.partition(" ")
    profile: JsonObject = {
        "title": person.title,
        "phone": "",
        "skype": "",
        "real_name": person.name,
        "real_name_normalized": person.name,
        "display_name": person.handle,
        "display_name_normalized": person.handle,
        "fields": None,
        "status_text": "",
        "status_emoji": "",
        "status_expiration": 0,
        "avatar_hash": "0",
        "first_name": first,
        "last_name": last,
        "team": person.team_id,
    }
    if person.email and "users:read.email" in call.platform.scopes:
        profile["email"] = person.email
    return profile


def _zone(name: str) -> JsonObject:
    try:
        local = datetime.fromtimestamp(UPDATED, ZoneInfo(name))
    except ZoneInfoNotFoundError:
        local = datetime.fromtimestamp(UPDATED, UTC)
    offset = local.utcoffset()
    return {
        "tz": name,
        "tz_label": local.tzname(),
        "tz_offset": int(offset.total_seconds()) if offset else 0,
    }


METHODS: Final[Mapping[str, Method]] = {
    "users.info": Method(run=_info, accepts=("users:read",), subject="user"),
    "usergroups.users.list": Method(run=_usergroup_users, accepts=("usergroups:read",), subject="usergroup"),
}
