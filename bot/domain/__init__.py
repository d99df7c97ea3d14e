"""What Unlatch knows without talking to anyone: requests, people, devices, rules. Pure, no I/O."""
