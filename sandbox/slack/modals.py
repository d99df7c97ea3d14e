"""The modals that people have open."""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import count

from sandbox.cast import APP_ID, BOT_ID
from sandbox.slack.elements import initial_state, kept_state
from sandbox.slack.refusals import Refused, refused_because
from sandbox.slack.shapes import Block, JsonObject
from sandbox.slack.workspace import Changes

Values = dict[str, dict[str, JsonObject]]


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """One view as a person sees it. `state` is what they typed so far, `errors` what the app objected to."""

    id: str
    user: str
    content: JsonObject
    hash: str
    state: Values = field(default_factory=dict)
    errors: Mapping[str, str] = field(default_factory=dict)

    @property
    def blocks(self) -> list[Block]:
        """The view's blocks, with ids."""
        blocks: list[Block] = self.content["blocks"]
        return blocks

    @property
    def title(self) -> str:
        """The title's text."""
        return str(self.content.get("title", {}).get("text", ""))

    @property
    def callback_id(self) -> str:
        """The app's own name for this kind of view."""
        return str(self.content.get("callback_id", ""))

    @property
    def external_id(self) -> str:
        """The app's own id for this view; empty if it gave none."""
        return str(self.content.get("external_id", ""))


class Modals:
    """Every open view of the workspace, by person; the top of a stack is last."""

    def __init__(self, team_id: str, changes: Changes) -> None:
        self.stacks: dict[str, list[View]] = {}
        self.side_by_side = False
        """Every first view opens in another of that person's clients (desktop, phone) and replaces none."""
        self._team_id = team_id
        self._changes = changes
        self._numbers = count(1)

    def top(self, user: str) -> View | None:
        """Return the view in front of this person, or None."""
        stack = self.stacks.get(user)
        return stack[-1] if stack else None

    def open(self, user: str, content: JsonObject) -> View:
        """Show a first view, in place of whatever was open."""
        kept = self.stacks.get(user, []) if self.side_by_side else []
        self._refuse_taken_external_id(content, None if kept else user)
        view = self._new(user, content)
        self.stacks[user] = [*kept, view]
        self._changes.tell()
        return view

    def update(self, view: View, content: JsonObject) -> View:
        """Change what an open view shows; inputs with the same ids keep what was typed."""
        if content.get("external_id", "") != view.external_id:
            self._refuse_taken_external_id(content, None)
        kept = kept_state(content["blocks"], view.state)
        changed = replace(view, content=content, hash=_new_hash(), state=kept, errors={})
        self.put(changed)
        return changed

    def put(self, view: View) -> None:
        """Store the new state of a view that is open."""
        stack = self.stacks.get(view.user, [])
        self.stacks[view.user] = [view if open_view.id == view.id else open_view for open_view in stack]
        self._changes.tell()

    def close(self, view: View) -> None:
        """Take one view away."""
        self.stacks[view.user] = [v for v in self.stacks.get(view.user, []) if v.id != view.id]
        self._changes.tell()

    def clear(self, user: str) -> None:
        """Take all views of a person away."""
        self.stacks[user] = []
        self._changes.tell()

    def find(self, *, view_id: str = "", external_id: str = "") -> View:
        """Return an open view by either id; `not_found` otherwise."""
        for stack in self.stacks.values():
            for view in stack:
                if view.id == view_id or (external_id and view.external_id == external_id):
                    return view
        raise Refused("not_found")

    def view_json(self, view: View) -> JsonObject:
        """A view as the Web API and the payloads show it."""
        defaults: JsonObject = {
            "private_metadata": "",
            "callback_id": "",
            "external_id": "",
            "clear_on_close": False,
            "notify_on_close": False,
            "submit": None,
            "close": None,
            "submit_disabled": False,
        }
        return {
            **defaults,
            **view.content,
            "id": view.id,
            "team_id": self._team_id,
            "state": {"values": view.state},
            "hash": view.hash,
            "root_view_id": view.id,
            "previous_view_id": None,
            "app_id": APP_ID,
            "bot_id": BOT_ID,
            "app_installed_team_id": self._team_id,
        }

    def _new(self, user: str, content: JsonObject) -> View:
        return View(
            id=f"V0SANDBOX{next(self._numbers):04d}",
            user=user,
            content=content,
            hash=_new_hash(),
            state=initial_state(content["blocks"]),
        )

    def _refuse_taken_external_id(self, content: JsonObject, replaced_for: str | None) -> None:
        external_id = content.get("external_id")
        stacks = (stack for user, stack in self.stacks.items() if user != replaced_for)
        if external_id and any(view.external_id == external_id for stack in stacks for view in stack):
            raise refused_because("duplicate_external_id", [f"external_id {external_id} is in use"])


def _new_hash() -> str:
    return f"1767225600.{secrets.token_hex(4)}"
