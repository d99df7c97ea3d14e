"""Fault injection: late, refused, broken or missing answers of the vendors, by rules."""

from sandbox.faults.injection import FaultInjection
from sandbox.faults.queue import Faults, Hit, Standing
from sandbox.faults.rules import Kind, Rule, Target

__all__ = ["FaultInjection", "Faults", "Hit", "Kind", "Rule", "Standing", "Target"]
