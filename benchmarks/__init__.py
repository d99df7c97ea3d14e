"""Measurements of the bot, each a script of its own."""
