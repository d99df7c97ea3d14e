"""views.*: the app shows modals and App Homes (docs.slack.dev/reference/methods/views.open)."""

from collections.abc import Mapping
from typing import Final

from sandbox.slack.blocks import accepted_view
from sandbox.slack.method import ApiCall, Method
from sandbox.slack.modals import View
from sandbox.slack.refusals import Refused, refused_because
from sandbox.slack.shapes import JsonObject


def _open(call: ApiCall) -> JsonObject:
    trigger_id = call.arguments.required("trigger_id")
    content = _view(call, "modal")
    trigger = call.platform.triggers.exchange(trigger_id)
    return _shown(call, call.platform.modals.open(trigger.user, content))


def _push(call: ApiCall) -> JsonObject:
    trigger_id = call.arguments.required("trigger_id")
    content = _view(call, "modal")
    # Only something done in a modal can put another one on top of it.
    if call.platform.triggers.look(trigger_id).view_id is None:
        raise Refused("invalid_trigger_id")
    trigger = call.platform.triggers.exchange(trigger_id)
    return _shown(call, call.platform.modals.push(trigger.user, content))


def _update(call: ApiCall) -> JsonObject:
    arguments = call.arguments
    view_id, external_id = arguments.text("view_id"), arguments.text("external_id")
    if bool(view_id) == bool(external_id):
        raise refused_because("invalid_arguments", ["[ERROR] give either view_id or external_id"])
    view = call.platform.modals.find(view_id=view_id, external_id=external_id)
    content = _view(call, "modal")
    if "hash" in arguments and arguments.text("hash") != view.hash:
        raise Refused("hash_conflict")
    return _shown(call, call.platform.modals.update(view, content))


def _publish(call: ApiCall) -> JsonObject:
    user = call.arguments.required("user_id")
    workspace = call.platform.workspace
    if not workspace.active(user) or workspace.external(user):
        raise refused_because("invalid_arguments", ["[ERROR] invalid user_id"])
    content = _view(call, "home")
    home = call.platform.modals.homes.get(user)
    if home is not None and "hash" in call.arguments and call.arguments.text("hash") != home.hash:
        raise Refused("hash_conflict")
    return _shown(call, call.platform.modals.publish(user, content))


def _view(call: ApiCall, kind: str) -> JsonObject:
    content = accepted_view(call.arguments.json("view", malformed="invalid_arguments"))
    if content["type"] != kind:
        raise refused_because("invalid_arguments", [f"[ERROR] must be a {kind} [json-pointer:/view/type]"])
    return content


def _shown(call: ApiCall, view: View) -> JsonObject:
    return {"view": call.platform.modals.view_json(view)}


METHODS: Final[Mapping[str, Method]] = {
    "views.open": Method(run=_open),
    "views.push": Method(run=_push),
    "views.update": Method(run=_update, subject="view_id"),
    "views.publish": Method(run=_publish, subject="user_id"),
}
