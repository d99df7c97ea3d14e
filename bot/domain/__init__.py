"""The rules of a passcode reset. Pure: no I/O, no clock of its own, no vendor library."""
