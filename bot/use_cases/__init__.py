"""What people and the clock can make happen, one module each. Read these first."""
