"""What holds when things go wrong: `python -m benchmarks.reliability` kills, repeats, shares and fills disks."""
