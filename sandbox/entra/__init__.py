"""A local Entra ID: a strict authorization server whose sign-in page asks who you are, and no password."""

from sandbox.entra.keys import SigningKey
from sandbox.entra.server import Entra

__all__ = ["Entra", "SigningKey"]
