"""How the local Slack says no: to an app, and to a person."""

from sandbox.slack.shapes import JsonObject


class Refused(Exception):
    """An `{"ok": false}` answer to an app: `error` as Slack spells it, `more` are further fields."""

    def __init__(self, error: str, **more: object) -> None:
        super().__init__(error)
        self.error = error
        self.more = more

    def body(self) -> JsonObject:
        """The answer's JSON."""
        return {"ok": False, "error": self.error, **self.more}


class NotPossible(Exception):
    """Slack's client would not let this person do that (no such button, not in the channel)."""


def refused_because(error: str, messages: list[str]) -> Refused:
    """A refusal that explains itself, with one sentence for each mistake."""
    return Refused(error, response_metadata={"messages": messages})
