"""Reliability: `python -m benchmarks.reliability` kills work, repeats calls, shares models, and fills disks."""
