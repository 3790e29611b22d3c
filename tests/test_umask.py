"""The umask belongs to the whole process: whoever clears it, if only for a moment, opens the files of other threads."""

import os
import stat
from pathlib import Path

import pytest

from maezoo.files import written_whole


@pytest.mark.skipif(os.name != "posix", reason="modes are POSIX's")
def test_a_new_file_has_the_mode_that_open_gives_and_the_umask_is_not_touched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = os.umask(0o027)
    try:
        with monkeypatch.context() as patch:
            patch.delattr(os, "umask")
            with written_whole(tmp_path / "new.txt") as temporary:
                temporary.write_text("all of it")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "new.txt").stat().st_mode) == 0o640
