"""The browser's face: the sign-in pages and the probes."""
