"""A person types into a menu whose options the app supplies (external_select)."""

from sandbox.slack.blocks import find_element
from sandbox.slack.delivery import Envelope
from sandbox.slack.modals import View
from sandbox.slack.platform import Platform
from sandbox.slack.refusals import NotPossible
from sandbox.slack.shapes import JsonObject
from sandbox.slack.workspace import Message


class Suggestions:
    """Asking the app for options (docs.slack.dev reference/interaction-payloads/block_suggestion-payload)."""

    def __init__(self, platform: Platform) -> None:
        self._platform = platform

    async def suggest(self, user: str, place: Message | View, action_id: str, typed: str) -> list[JsonObject]:
        """Return the options that the app offers for what was typed; none if it does not answer."""
        found = find_element(place.blocks or (), action_id, None)
        if found is None or found[1]["type"] != "external_select":
            raise NotPossible(f"there is no menu {action_id} to type into")
        payload = self._platform.payload_frame("block_suggestion", user) | {
            "action_id": action_id,
            "block_id": found[0],
            "value": typed,
            **self._place(place),
        }
        envelope = Envelope(kind="interactive", payload=payload, takes_answer=True)
        ack = await self._platform.deliver(envelope)
        return _options(ack.body) if isinstance(ack.body, dict) else []

    def _place(self, place: Message | View) -> JsonObject:
        if isinstance(place, View):
            container = {"type": "view", "view_id": place.id}
            return {"container": container, "view": self._platform.modals.view_json(place)}
        return {
            "container": {
                "type": "message",
                "message_ts": place.ts,
                "channel_id": place.channel,
                "is_ephemeral": place.only_for is not None,
            },
            "channel": {
                "id": place.channel,
                "name": self._platform.workspace.conversations[place.channel].name,
            },
        }


def _options(answer: JsonObject) -> list[JsonObject]:
    grouped = [option for group in answer.get("option_groups", []) for option in group["options"]]
    return [*answer.get("options", []), *grouped]
