"""Slack: what it delivers, what it shows, and what is asked of its Web API."""
