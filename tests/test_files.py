"""Files that appear whole or not at all."""

import os
import stat
from pathlib import Path

import pytest

from maezoo.files import written_whole


def _write(path: Path) -> None:
    with written_whole(path) as temporary:
        temporary.write_text("all of it")


@pytest.mark.skipif(os.name != "posix", reason="modes are POSIX's")
def test_a_new_file_has_the_mode_that_open_gives_and_the_umask_of_other_threads_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = os.umask(0o027)
    try:
        with monkeypatch.context() as patch:
            patch.delattr(os, "umask")  # it belongs to the whole process: for a moment all files would be open to all
            _write(tmp_path / "new.txt")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "new.txt").stat().st_mode) == 0o640


def test_a_name_of_the_greatest_length_can_be_written(tmp_path: Path) -> None:
    _write(tmp_path / ("n" * 251 + ".txt"))
    assert [len(path.name) for path in tmp_path.iterdir()] == [255]
