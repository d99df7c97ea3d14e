"""Who closes an idle connection: the load balancer, never the bot, or deliveries fall into the gap."""

from bot.serving import http_config
from starlette.applications import Starlette

LONGEST_IDLE_SECONDS = 60
"""The idle time-out of AWS's and nginx's balancers by default; others keep connections for less."""


def test_the_bot_keeps_an_idle_connection_longer_than_a_load_balancer_does():
    assert http_config(Starlette()).timeout_keep_alive > LONGEST_IDLE_SECONDS
