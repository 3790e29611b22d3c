"""dedup(): copies and near copies in groups, each member similar to the image that is kept."""

import csv
import json
import shutil

import numpy as np
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

import maezoo
from maezoo.cli import app
from maezoo.errors import ArgumentError
from maezoo.retrieval import dedup
from maezoo.retrieval.embeddings import centred
from maezoo.retrieval.grouping import _nearest_kept


def test_copies_are_exact_and_others_near(output):
    found = dedup(output, threshold=0.85)
    (group,) = [each for each in found.groups if "copy.png" in {each.kept.id, *(other.id for other in each.others)}]
    kinds = {member.id: member.exact for member in (group.kept, *group.others)}
    assert kinds == {"again.jpg": False, "copy.png": False, "photo0.png": True, "half.png": False}
    assert group.kept.id == "again.jpg"  # of those with the most pixels it is the first
    assert [member.width < group.kept.width for member in group.others] == [
        member.id == "half.png" for member in group.others
    ]
    assert len(dedup(output, threshold=0.9999)) == 1


@pytest.mark.parametrize("contents", [False, True])
def test_hashes_are_recorded_or_read_while_the_images_are_there(pictures, tmp_path, contents):
    copy = shutil.copytree(pictures, tmp_path / "pictures")
    maezoo.extract(copy, tmp_path / "out", device="cpu", workers=0, contents=contents)
    shutil.rmtree(copy)
    (group,) = dedup(tmp_path / "out", threshold=0.9999).groups
    assert [member.exact for member in group.others] == [True if contents else None]


@pytest.mark.parametrize("threshold", [0.5, 0.9])
def test_groups_are_those_of_all_pairs(monkeypatch, threshold):
    """Blocks smaller than the rows change nothing; no kept row is near another one."""
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(15, 16))
    vectors = (centres[rng.integers(0, 15, 200)] + 0.2 * rng.normal(size=(200, 16))).astype(np.float16)
    mean, order = vectors.mean(axis=0, dtype=np.float32), rng.permutation(200)
    monkeypatch.setattr("maezoo.retrieval.grouping._BLOCK", 17)
    kept, similarity = _nearest_kept(vectors, mean, order, threshold, False)
    every = centred(vectors, mean) @ centred(vectors, mean).T
    expected = list[int]()
    for row in order.tolist():
        if not expected or every[row, expected].max() < threshold:
            expected.append(row)
    assert set(np.flatnonzero(kept < 0).tolist()) == set(expected)
    for row in np.flatnonzero(kept >= 0).tolist():
        assert similarity[row] == pytest.approx(every[row, kept[row]], abs=1e-5)
        earlier = [each for each in expected if order.tolist().index(each) < order.tolist().index(row)]
        assert similarity[row] == pytest.approx(every[row, earlier].max(), abs=1e-5)


def test_pictures_that_are_all_the_same_are_one_group(pictures, tmp_path):
    (tmp_path / "same").mkdir()
    for number in range(3):
        shutil.copy(pictures / "photo0.png", tmp_path / "same" / f"{number}.png")
    maezoo.extract(tmp_path / "same", tmp_path / "out", device="cpu", workers=0)
    assert str(dedup(tmp_path / "out")) == "2 duplicates (2 exact) in 1 group, of 3 images"
    with pytest.raises(ArgumentError, match="threshold is above 0"):
        dedup(tmp_path / "out", threshold=0)


def test_the_table_is_written_as_csv_or_parquet(output, tmp_path):
    found = dedup(output, threshold=0.85)
    for name in ("groups.csv", "groups.parquet"):
        done = CliRunner().invoke(app, ["dedup", str(output), "--threshold", "0.85", "-o", str(tmp_path / name)])
        assert (done.exit_code, str(found) in done.stdout) == (0, True)
    with (tmp_path / "groups.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    table = pq.read_table(tmp_path / "groups.parquet")
    assert table.equals(found.to_table())
    assert [row["id"] for row in rows] == table["id"].to_pylist()
    assert {row["exact"] for row in rows} == {"true", "false"}
    done = CliRunner().invoke(app, ["dedup", str(output), "-o", str(tmp_path / "groups.txt")])
    assert (done.exit_code, (tmp_path / "groups.txt").exists()) == (1, False)
    data = json.loads(CliRunner().invoke(app, ["dedup", str(output), "--threshold", "0.85", "--json"]).stdout)
    assert data["groups"] == table.to_pylist()
