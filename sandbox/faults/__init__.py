"""Fault injection: late, refused, broken or missing answers of the vendors, by rules."""

from sandbox.faults.injection import FaultInjection
from sandbox.faults.queue import ActiveRule, Faults, Hit
from sandbox.faults.rules import Kind, Rule, Target

__all__ = ["ActiveRule", "FaultInjection", "Faults", "Hit", "Kind", "Rule", "Target"]
