"""Benchmarks: `python -m bench.<name>` prints what was measured as JSON."""
