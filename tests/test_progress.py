"""A bar on standard error where it is asked for, and nothing at all where it is not."""

import subprocess
import sys

import pytest

from maezoo.progress import track


def test_nothing_is_imported_for_a_bar_that_is_not_shown():
    code = """
import sys
from maezoo.progress import track
with track(3, "images", show=False) as advance:
    advance(3)
assert not {"tqdm", "rich"} & set(sys.modules)
"""
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (answer.returncode, answer.stdout, answer.stderr) == (0, "", "")


@pytest.mark.parametrize("total", [3, None])
def test_a_bar_counts_on_standard_error(total, capsys):
    with track(total, "images", show=True) as advance:
        advance(1)
        advance(2)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "3" in captured.err
    assert "images" in captured.err
