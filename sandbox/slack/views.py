"""views.open and views.update: the app shows modals (docs.slack.dev/reference/methods/views.open)."""

from collections.abc import Mapping
from typing import Final

from sandbox.slack.api_call import ApiCall, Method
from sandbox.slack.blocks import accepted_view
from sandbox.slack.modals import View
from sandbox.slack.refusals import Refused, refused_because
from sandbox.slack.shapes import JsonObject


def _open(call: ApiCall) -> JsonObject:
    trigger_id = call.arguments.required("trigger_id")
    content = _view(call)
    trigger = call.platform.triggers.exchange(trigger_id)
    return _shown(call, call.platform.modals.open(trigger.user, content))


def _update(call: ApiCall) -> JsonObject:
    arguments = call.arguments
    view_id, external_id = arguments.text("view_id"), arguments.text("external_id")
    if bool(view_id) == bool(external_id):
        raise refused_because("invalid_arguments", ["[ERROR] give either view_id or external_id"])
    view = call.platform.modals.find(view_id=view_id, external_id=external_id)
    content = _view(call)
    if "hash" in arguments and arguments.text("hash") != view.hash:
        raise Refused("hash_conflict")
    return _shown(call, call.platform.modals.update(view, content))


def _view(call: ApiCall) -> JsonObject:
    return accepted_view(call.arguments.json("view", malformed="invalid_arguments"))


def _shown(call: ApiCall, view: View) -> JsonObject:
    return {"view": call.platform.modals.view_json(view)}


METHODS: Final[Mapping[str, Method]] = {
    "views.open": Method(run=_open),
    "views.update": Method(run=_update, subject="view_id"),
}
