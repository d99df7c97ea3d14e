"""A strict local Slack: Web API, signed requests, Socket Mode, and the people who use it."""

from bot.sandbox.slack.delivery import Ack
from bot.sandbox.slack.local_slack import Slack
from bot.sandbox.slack.modals import View
from bot.sandbox.slack.outcome import Outcome
from bot.sandbox.slack.refusals import NotPossible
from bot.sandbox.slack.workspace import Message, Notice

__all__ = ["Ack", "Message", "NotPossible", "Notice", "Outcome", "Slack", "View"]
