"""The progress bar where there is no terminal: lines, few of them."""

from contextlib import suppress

import pytest

from maezoo.cli import bar as module
from maezoo.cli.bar import Bar


def test_a_short_run_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with Bar("images") as bar:
        bar.show(5, total=1010, rate=2.0)
        bar.show(1010, total=1010, rate=2.0, more="1 error")
    assert capsys.readouterr().err == "1,010 of 1,010  2.0 images/s, 1 error\n"


def test_a_long_run_is_a_line_now_and_then(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr(module.time, "monotonic", lambda: now)
    with Bar("images", 7200) as bar:
        for step in range(25):
            now = float(step)
            bar.show(step, rate=1.0)
    lines = capsys.readouterr().err.splitlines()
    assert lines == [
        f"{n} of 7,200  1.0 images/s, {left} left" for n, left in ((11, "1:59:49"), (22, "1:59:38"), (24, "1:59:36"))
    ]


def test_a_run_that_is_stopped_or_not_shown_has_no_last_line(capsys: pytest.CaptureFixture[str]) -> None:
    with Bar("images", 3, shown=False) as bar:
        bar.show(3)
    with suppress(KeyboardInterrupt), Bar("images", 3) as bar:
        bar.show(1)
        raise KeyboardInterrupt
    assert capsys.readouterr().err == ""
