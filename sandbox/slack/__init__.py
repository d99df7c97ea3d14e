"""A strict local Slack: Web API, signed requests, Socket Mode, and the people who use it."""

from sandbox.slack.delivery import Ack
from sandbox.slack.local_slack import Slack
from sandbox.slack.modals import View
from sandbox.slack.platform import Outcome
from sandbox.slack.refusals import NotPossible
from sandbox.slack.workspace import Message, Notice

__all__ = ["Ack", "Message", "NotPossible", "Notice", "Outcome", "Slack", "View"]
