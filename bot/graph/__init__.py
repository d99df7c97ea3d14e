"""Intune through Microsoft Graph, as the person whose token it is."""
