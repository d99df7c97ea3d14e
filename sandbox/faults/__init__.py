"""Bad moments of the vendors, to be ordered: late, refused, broken or missing answers."""

from sandbox.faults.injection import FaultInjection
from sandbox.faults.queue import Faults, Hit, Standing
from sandbox.faults.rules import Kind, Rule

__all__ = ["FaultInjection", "Faults", "Hit", "Kind", "Rule", "Standing"]
