"""Intune through Microsoft Graph, as the person whose token it is."""

from bot.graph.devices import GraphDevices
from bot.graph.http import graph_client

__all__ = ["GraphDevices", "graph_client"]
