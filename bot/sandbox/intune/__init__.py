"""A local Intune behind a local Graph: phones, passcode resets, and the traps of the real one."""

from bot.sandbox.intune.phones import Behaviour
from bot.sandbox.intune.server import Intune

__all__ = ["Behaviour", "Intune"]
