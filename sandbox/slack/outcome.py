"""What a person sees after they did something."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from sandbox.slack.workspace import Message

TROUBLE: Final = "We had some trouble connecting. Try again?"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What Slack shows at once: everything the app does later arrives in messages and modals.

    `delivered`: the app acknowledged. `notice`: what Slack itself said. `answer`: what the app said in
    its acknowledgement. `errors`: block id to sentence, under the fields of a form. `closed`: the form
    was accepted and went away.
    """

    delivered: bool = True
    notice: str = ""
    answer: Message | None = None
    errors: Mapping[str, str] = field(default_factory=dict)
    closed: bool = False
