"""Runs that end early: too many errors, nothing to read, another run in the same output."""

import logging

import pytest

import maezoo
from maezoo.errors import (
    ArgumentError,
    OtherSettingsError,
    OutputBusyError,
    SourceMissingError,
    TooManyErrorsError,
)


@pytest.mark.parametrize("most", [2, "2", "2%"])
def test_a_run_with_too_many_errors_ends_and_can_be_continued(damaged, tmp_path, small, rows, failures, most):
    output = tmp_path / "out"
    options = {"model": small, "workers": 0, "batch_size": 4, "shard_size": 20}
    with pytest.raises(
        TooManyErrorsError, match=r"3 of the first \d+ images failed, and max_errors allows 2"
    ) as caught:
        maezoo.extract(damaged, output, max_errors=most, **options)
    assert (caught.value.expected, caught.value.found) == (2, 3)
    listed = [row["id"] for row in failures(output)]
    assert listed == ["class0/empty.jpg", "class1/truncated.jpg", "class2/text.png"]
    assert listed[0] in str(caught.value)
    assert 0 < len(rows(output)) < 120
    result = maezoo.extract(damaged, output, max_errors=5, **options)
    assert (result.rows, result.errors, result.complete) == (120, 5, True)
    assert len(failures(output)) == 5
    with pytest.raises(TooManyErrorsError):
        maezoo.extract(damaged, output, max_errors="3.9%", **options)
    assert maezoo.extract(damaged, output, max_errors="4%", **options).done == 0


@pytest.mark.parametrize("most", [-1, "x", "101%", "1.5", 0.1, True, "nan%", ""])
def test_a_bound_is_a_number_or_a_share(folder, tmp_path, most):
    with pytest.raises(ArgumentError, match="max_errors is a number of images"):
        maezoo.extract(folder, tmp_path / "out", model="no such model", max_errors=most)


def test_a_folder_without_images_says_what_it_holds(tmp_path, small):
    scans = tmp_path / "scans"
    (scans / "deep").mkdir(parents=True)
    for name in ("a.xyz", "deep/b.XYZ", "deep/c.xyz", "README"):
        (scans / name).touch()
    with pytest.raises(SourceMissingError, match=r"Skipped: \.xyz: 3 files, no ending: 1 file\.") as caught:
        maezoo.extract(scans, tmp_path / "out", model=small)
    assert caught.value.found == {".xyz": 3, "": 1}
    with pytest.raises(FileNotFoundError, match="does not exist"):
        maezoo.extract(tmp_path / "nothing", tmp_path / "out", model=small)


def test_what_stands_in_the_way_has_an_error_of_its_own(folder, tmp_path, small):
    def again(progress):
        maezoo.extract(folder, tmp_path / "out", model=small, workers=0)

    with pytest.raises(OutputBusyError, match="another run is writing"):
        maezoo.extract(folder, tmp_path / "out", model=small, workers=0, report=again)
    with pytest.raises(OtherSettingsError, match="normalize was False, now True"):
        maezoo.extract(folder, tmp_path / "out", model=small, workers=0, normalize=True)


def test_kept_values_that_have_changed_are_told(folder, tmp_path, small, rows, caplog):
    source = tmp_path / "list.csv"
    for value in ("old", "new"):
        source.write_text(f"path,note\n{folder}/class0/0000.jpg,{value}\n")
        with caplog.at_level(logging.WARNING):
            maezoo.extract(source, tmp_path / "out", model=small, workers=0, keep="note")
    assert "has other labels or columns than when this run began" in caplog.text
    assert rows(tmp_path / "out")["note"].to_pylist() == ["old"]
