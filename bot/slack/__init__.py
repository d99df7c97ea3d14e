"""The Slack face: reads what Slack delivers, calls one use case, shows what came of it."""
