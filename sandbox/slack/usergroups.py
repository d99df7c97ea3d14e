"""usergroups.*: groups such as @oncall (docs.slack.dev/reference/methods/usergroups.users.list)."""

from collections.abc import Mapping
from typing import Final

from sandbox.slack.method import ApiCall, Method
from sandbox.slack.refusals import Refused
from sandbox.slack.shapes import JsonObject
from sandbox.slack.workspace import Group

CREATED: Final = 1_767_225_600


def _list(call: ApiCall) -> JsonObject:
    call.need("usergroups:read")
    disabled = call.arguments.flag("include_disabled")
    groups = [g for g in call.platform.workspace.groups.values() if g.enabled or disabled]
    return {"usergroups": [_group_json(call, group) for group in groups]}


def _users_list(call: ApiCall) -> JsonObject:
    call.need("usergroups:read")
    group = call.platform.workspace.groups.get(call.arguments.required("usergroup"))
    if group is None or not (group.enabled or call.arguments.flag("include_disabled")):
        raise Refused("no_such_subteam")
    return {"users": list(group.users)}


def _group_json(call: ApiCall, group: Group) -> JsonObject:
    body: JsonObject = {
        "id": group.id,
        "team_id": call.platform.workspace.team.id,
        "is_usergroup": True,
        "is_subteam": True,
        "name": group.name,
        "description": "",
        "handle": group.handle,
        "is_external": False,
        "date_create": CREATED,
        "date_update": CREATED,
        "date_delete": 0 if group.enabled else CREATED,
        "auto_type": None,
        "created_by": group.users[0] if group.users else "",
        "updated_by": "",
        "deleted_by": None,
        "prefs": {"channels": [], "groups": []},
    }
    if call.arguments.flag("include_count"):
        body["user_count"] = len(group.users)
    if call.arguments.flag("include_users"):
        body["users"] = list(group.users)
    return body


_READ: Final = ("usergroups:read",)

METHODS: Final[Mapping[str, Method]] = {
    "usergroups.list": Method(run=_list, accepts=_READ),
    "usergroups.users.list": Method(run=_users_list, accepts=_READ, subject="usergroup"),
}
