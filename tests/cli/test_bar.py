"""The progress bar where there is no terminal: lines with the time, few of them."""

import re
from contextlib import suppress

import pytest

from maezoo.cli import bar as module
from maezoo.cli.bar import Bar

STAMP = re.compile(r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d  ", re.MULTILINE)


def test_a_short_run_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with Bar("images") as bar:
        bar.show(5, total=1010, rate=2.0)
        bar.show(1010, total=1010, rate=2.0, more="1 error")
    told = capsys.readouterr().err
    assert STAMP.match(told)
    assert STAMP.sub("", told) == "1,010 of 1,010  2.0 images/s, 1 error\n"


def test_a_line_without_a_rate_reads_as_a_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    with Bar("images", 144) as bar:
        bar.show(0, more="0 errors")
    assert STAMP.sub("", capsys.readouterr().err) == "0 of 144 images, 0 errors\n"


def test_a_long_run_is_a_line_now_and_then(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr(module.time, "monotonic", lambda: now)
    with Bar("images", 7200) as bar:
        for step in range(25):
            now = float(step)
            bar.show(step, rate=1.0)
    lines = STAMP.sub("", capsys.readouterr().err).splitlines()
    assert lines == [
        f"{n} of 7,200  1.0 images/s, {left} left" for n, left in ((11, "1:59:49"), (22, "1:59:38"), (24, "1:59:36"))
    ]


def test_the_first_images_give_no_estimate_and_what_came_before_them_does_not_count(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 0.0
    monkeypatch.setattr(module.time, "monotonic", lambda: now)
    with Bar("images", 1000) as bar:
        for now, done in ((0.0, 0), (60.0, 2), (60.1, 4), (65.0, 50), (75.0, 152)):
            bar.show(done, rate=done / (now or 1))
    first, *_, last = STAMP.sub("", capsys.readouterr().err).splitlines()
    assert first == "2 of 1,000  0.0 images/s"
    assert last == "152 of 1,000  2.0 images/s, 1:25 left"  # 150 in the 15 seconds since the first batch


def test_a_run_that_is_stopped_or_not_shown_has_no_last_line(capsys: pytest.CaptureFixture[str]) -> None:
    with Bar("images", 3, shown=False) as bar:
        bar.show(3)
    with suppress(KeyboardInterrupt), Bar("images", 3) as bar:
        bar.show(1)
        raise KeyboardInterrupt
    assert capsys.readouterr().err == ""
