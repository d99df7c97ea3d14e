"""A local Intune behind a local Graph: phones, passcode resets, and the traps of the real one."""

from sandbox.intune.phones import Behaviour
from sandbox.intune.server import Intune

__all__ = ["Behaviour", "Intune"]
