"""End to end: the sandbox on free ports, the real jobs, the real command line."""
