"""Measurements of maezoo: `python -m benchmarks.speed` is the one of speed; the other modules say what they measure."""
