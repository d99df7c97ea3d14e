"""What people do with what the app shows: press a button, choose from a menu, submit or close a modal."""

from collections.abc import Coroutine, Mapping
from dataclasses import replace
from typing import Any

from sandbox.slack.blocks import accepted_view, find_element
from sandbox.slack.delivery import Ack, Envelope
from sandbox.slack.elements import Entry, complaint, entered
from sandbox.slack.modals import Values, View
from sandbox.slack.platform import TROUBLE, Outcome, Platform
from sandbox.slack.refusals import NotPossible, Refused
from sandbox.slack.shapes import JsonObject
from sandbox.slack.workspace import Message


class Clicks:
    """Using the interactive elements that a person sees."""

    def __init__(self, platform: Platform) -> None:
        self._platform = platform
        self._workspace = platform.workspace

    def in_message(
        self, user: str, message: Message, action_id: str, block_id: str | None, entry: Entry
    ) -> Coroutine[Any, Any, Outcome]:
        """Check that this person sees this element, now; the returned coroutine delivers the click."""
        self._must_see(user, message)
        found = find_element(message.blocks or (), action_id, block_id)
        if found is None:
            raise NotPossible(f"there is no {action_id} in that message")
        action = self._action(*found, entry)
        return self._deliver(user, self._message_payload(user, message, action))

    def in_view(
        self, user: str, view: View, action_id: str, block_id: str | None, entry: Entry
    ) -> Coroutine[Any, Any, Outcome]:
        """The same in a modal: what was typed so far goes along."""
        if view.user != user:
            raise NotPossible("that modal belongs to another person")
        found = find_element(view.blocks, action_id, block_id)
        if found is None:
            raise NotPossible(f"there is no {action_id} in that modal")
        action = self._action(*found, entry)
        current = self._remember(view, found, entry)
        return self._deliver(user, self._view_payload(user, current, action))

    def newest(self, user: str, channel: str, action_id: str, block_id: str | None) -> Message:
        """Return the newest message in which this person sees this element."""
        conversation = self._workspace.conversations.get(channel)
        public = list(conversation.messages.values()) if conversation else []
        private = [m for m in self._workspace.ephemerals.get(user, []) if m.channel == channel]
        for message in sorted([*public, *private], key=lambda m: m.ts, reverse=True):
            if find_element(message.blocks or (), action_id, block_id):
                return message
        raise NotPossible(f"there is no {action_id} to press in {channel}")

    def _must_see(self, user: str, message: Message) -> None:
        if not self._workspace.active(user):
            raise NotPossible("this account is deactivated or does not exist")
        if message.only_for not in (None, user):
            raise NotPossible("only another person sees that message")
        if user not in self._workspace.conversations[message.channel].members:
            raise NotPossible(f"{self._workspace.people[user].name} is not in that channel")

    def _action(self, block_id: str, element: JsonObject, entry: Entry) -> JsonObject:
        same = ("type", "action_id", "text", "value", "style", "placeholder", "confirm")
        action = {name: element[name] for name in same if name in element}
        if element["type"] != "button":
            action |= entered(element, entry)
        return action | {"block_id": block_id, "action_ts": self._workspace.timestamps.next()}

    def _remember(self, view: View, found: tuple[str, JsonObject], entry: Entry) -> View:
        block_id, element = found
        entries = view.state.get(block_id, {})
        if element["action_id"] not in entries:
            return view
        changed = {**view.state, block_id: {**entries, element["action_id"]: entered(element, entry)}}
        current = replace(view, state=changed)
        self._platform.modals.put(current)
        return current

    def _message_payload(self, user: str, message: Message, action: JsonObject) -> JsonObject:
        here = self._workspace.conversations[message.channel]
        ephemeral = message.only_for is not None
        payload = self._platform.payload_frame("block_actions", user) | {
            "container": {
                "type": "message",
                "message_ts": message.ts,
                "channel_id": here.id,
                "is_ephemeral": ephemeral,
            },
            "channel": {"id": here.id, "name": "directmessage" if here.direct_with else here.name},
            "state": {"values": _message_state(action)},
            "trigger_id": self._platform.triggers.issue(user),
            "response_url": self._platform.response_url(user, here.id, message.ts),
            "actions": [action],
        }
        if not ephemeral:
            payload["message"] = self._workspace.message_json(message)
        return payload

    def _view_payload(self, user: str, view: View, action: JsonObject) -> JsonObject:
        return self._platform.payload_frame("block_actions", user) | {
            "container": {"type": "view", "view_id": view.id},
            "view": self._platform.modals.view_json(view),
            "trigger_id": self._platform.triggers.issue(user, view.id),
            "actions": [action],
        }

    async def _deliver(self, user: str, payload: JsonObject) -> Outcome:
        envelope = Envelope(kind="interactive", payload=payload, takes_answer=False)
        ack = await self._platform.deliver(envelope)
        if ack.outcome == "ok" and not ack.body:
            return Outcome()
        self._workspace.tell(user, TROUBLE)
        return Outcome(delivered=False, notice=TROUBLE)


def _message_state(action: Mapping[str, Any]) -> Values:
    if action["type"] in ("button", "overflow"):
        return {}
    entry = {name: value for name, value in action.items() if name == "type" or name.startswith("selected_")}
    return {action["block_id"]: {action["action_id"]: entry}}


class Submissions:
    """The two ways out of a modal."""

    def __init__(self, platform: Platform) -> None:
        self._platform = platform
        self._modals = platform.modals

    def fill(self, view: View, values: Mapping[str, object]) -> View:
        """Type into a form. `values`: action id (or block id) to entry, or block id to action id to entry."""
        state: Values = {block_id: dict(entries) for block_id, entries in view.state.items()}
        for name, entry in values.items():
            for block_id, action_id, given in _addressed(view, name, entry):
                element = _element(view, block_id, action_id)
                state[block_id][action_id] = entered(element, given)
        filled = replace(view, state=state, errors={})
        self._modals.put(filled)
        return filled

    def submit(self, user: str, view: View, values: Mapping[str, object]) -> Coroutine[Any, Any, Outcome]:
        """Check what Slack's client checks, now; the returned coroutine delivers the form."""
        if view.user != user or view.id not in [v.id for v in self._modals.stacks.get(user, [])]:
            raise NotPossible("that modal is not open for this person")
        if "submit" not in view.content or view.content.get("submit_disabled"):
            raise NotPossible("that modal has nothing to submit")
        return self._submit(self.fill(view, values))

    def close(self, user: str, view: View, *, all_of_them: bool) -> Coroutine[Any, Any, Outcome]:
        """Close the top modal (Cancel), or the whole stack (the cross)."""
        if view.user != user:
            raise NotPossible("that modal belongs to another person")
        stack = self._modals.stacks.get(user, [])
        clearing = all_of_them or bool(view.content.get("clear_on_close"))
        closed = list(reversed(stack)) if clearing else [view]
        for gone in closed:
            self._modals.close(gone)
        return self._tell_closed(user, closed, clearing)

    async def _submit(self, view: View) -> Outcome:
        mistakes = _client_mistakes(view)
        if mistakes:
            return self._objected(view, mistakes)
        envelope = Envelope(kind="interactive", payload=self._payload(view), takes_answer=True)
        return self._after(view, await self._platform.deliver(envelope))

    def _payload(self, view: View) -> JsonObject:
        return self._platform.payload_frame("view_submission", view.user) | {
            "trigger_id": self._platform.triggers.issue(view.user, view.id),
            "view": self._modals.view_json(view),
            "response_urls": [],
        }

    def _after(self, view: View, ack: Ack) -> Outcome:
        if ack.outcome != "ok":
            return self._trouble(view)
        if not ack.body:
            self._modals.close(view)
            return Outcome(closed=True)
        try:
            return self._obeyed(view, ack.body)
        except Refused:
            return self._trouble(view)

    def _obeyed(self, view: View, answer: str | JsonObject) -> Outcome:
        action = answer.get("response_action") if isinstance(answer, dict) else None
        match action, answer:
            case "errors", {"errors": dict() as errors} if _about_inputs(view, errors):
                return self._objected(view, errors)
            case "update", {"view": new}:
                self._modals.update(view, accepted_view(new))
                return Outcome()
            case "clear", _:
                self._modals.clear(view.user)
                return Outcome(closed=True)
            case _:
                return self._trouble(view)

    def _objected(self, view: View, errors: Mapping[str, str]) -> Outcome:
        # The app may have changed the view while it was being submitted: keep that.
        current = next((v for v in self._modals.stacks.get(view.user, []) if v.id == view.id), view)
        self._modals.put(replace(current, errors=dict(errors)))
        return Outcome(errors=errors)

    def _trouble(self, view: View) -> Outcome:
        self._platform.workspace.tell(view.user, TROUBLE)
        return Outcome(delivered=False, notice=TROUBLE)

    async def _tell_closed(self, user: str, closed: list[View], cleared: bool) -> Outcome:
        listening = [view for view in closed if view.content.get("notify_on_close")]
        if not listening:
            return Outcome(closed=True)
        # The cross tells of the root view only, with is_cleared (docs.slack.dev view-interactions-payload).
        told = listening[-1]
        payload = self._platform.payload_frame("view_closed", user) | {
            "view": self._modals.view_json(told),
            "is_cleared": cleared,
        }
        envelope = Envelope(kind="interactive", payload=payload, takes_answer=False)
        ack = await self._platform.deliver(envelope)
        return Outcome(closed=True, delivered=ack.outcome == "ok")


def _addressed(view: View, name: str, entry: object) -> list[tuple[str, str, Entry]]:
    if name in view.state:
        if isinstance(entry, Mapping):
            return [(name, str(action_id), given) for action_id, given in entry.items()]
        return [(name, action_id, _entry(entry)) for action_id in view.state[name]]
    places = [(b, a, _entry(entry)) for b, actions in view.state.items() for a in actions if a == name]
    if not places:
        raise NotPossible(f"there is no field {name} in that modal")
    return places


def _entry(given: object) -> Entry:
    if given is None or isinstance(given, str | Mapping):
        return given
    raise NotPossible(f"{given!r} cannot be entered")


def _element(view: View, block_id: str, action_id: str) -> JsonObject:
    for block in view.blocks:
        if block["block_id"] == block_id:
            for element in [block.get("element"), block.get("accessory"), *block.get("elements", [])]:
                if isinstance(element, dict) and element.get("action_id") == action_id:
                    return element
    raise NotPossible(f"there is no field {action_id} in that modal")


def _client_mistakes(view: View) -> dict[str, str]:
    found: dict[str, str] = {}
    for block in view.blocks:
        if block["type"] == "input":
            entry = view.state[block["block_id"]][block["element"]["action_id"]]
            if sentence := complaint(block, entry):
                found[block["block_id"]] = sentence
    return found


def _about_inputs(view: View, errors: Mapping[object, object]) -> bool:
    inputs = {block["block_id"] for block in view.blocks if block["type"] == "input"}
    texts = all(isinstance(text, str) and text for text in errors.values())
    return bool(errors) and texts and set(errors) <= inputs
