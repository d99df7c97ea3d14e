"""HTTP: the web server, the sign-in pages, probes and metrics."""
