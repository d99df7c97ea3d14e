"""Unlatch resets the passcode of a locked-out, Intune-managed phone, as the on-call lead who approved it."""

__version__ = "0.1.0"
