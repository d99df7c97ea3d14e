"""A local Slack, Entra and Intune: as strict as the real ones, for trying and testing the bot."""
