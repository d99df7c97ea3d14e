"""The names that tie what is shown in Slack to what comes back: actions, views, blocks."""

from typing import Final

APPROVE: Final = "approve"
DENY: Final = "deny"
CLOSE: Final = "close"
WITHDRAW: Final = "withdraw"
SHOW_PASSCODE: Final = "show_passcode"
SIGN_IN: Final = "sign_in"
"""A link button; Slack reports the press all the same."""

ASK_FORM: Final = "ask_form"
APPROVE_FORM: Final = "approve_form"
AGAIN_FORM: Final = "again_form"
"""Approves knowingly what was reset a few minutes ago."""
DENY_FORM: Final = "deny_form"

TARGET: Final = "target"
REASON: Final = "reason"
TICKET: Final = "ticket"
DEVICE: Final = "device"
DENIAL: Final = "denial"
VALUE: Final = "value"
"""The action id inside each of these blocks."""

EVENT_TYPE: Final = "unlatch_request"
"""`event_type` of the metadata on every card and receipt; its payload is the request's id and the part."""
CARD: Final = "card"
RECEIPT: Final = "receipt"
