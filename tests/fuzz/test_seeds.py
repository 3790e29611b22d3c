"""Every seed, and some changes of each, end in a result or in an error of maezoo's; `python -m tests.fuzz` goes on."""

import random

import pytest

from .mutate import mutated
from .targets import LARGEST, SEEDS, TARGETS, attempt

_CHANGES = 60  # of each target's seeds together


@pytest.mark.parametrize("name", TARGETS)
def test_seeds_and_their_relatives_are_read_or_refused(name, tmp_path):
    seeds = sorted((SEEDS / name).iterdir())
    read = [attempt(TARGETS[name], seed.read_bytes(), tmp_path) is None for seed in seeds]
    assert any(read), "no seed is read: the target tries nothing"
    draw = random.Random(0)
    for number in range(_CHANGES):
        data = mutated(seeds[number % len(seeds)].read_bytes(), draw, LARGEST)
        attempt(TARGETS[name], data, tmp_path)
