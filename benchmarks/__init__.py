"""Measurements of the bot beside references, in the same run and on the same machine: `make bench`."""
