"""Pictures of more than 8 bits, and DICOM, in an extraction."""

import json
import logging

import numpy as np
import pytest
from PIL import Image

import maezoo
from maezoo.errors import ArgumentError, DataError
from maezoo.evaluation import knn
from tests.images.test_dicom import CT, STEPS, dicom


@pytest.fixture
def scans(tmp_path):
    """Two folders of 12-bit pictures in 16-bit files, and a CT slice."""
    for number in range(12):
        path = tmp_path / "scans" / f"class{number % 2}" / f"{number:02d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.random.default_rng(number).integers(0, 4096, (40, 50), dtype=np.uint16)).save(path)
    (tmp_path / "scans" / "class0" / "ct.DCM").write_bytes(dicom(STEPS, **CT))
    return tmp_path / "scans"


def vectors(table):
    column = table["embedding"].combine_chunks()
    return column.flatten().to_numpy(zero_copy_only=False).reshape(len(table), -1)


def test_rows_are_the_features_through_the_same_window(scans, tmp_path, small, rows):
    for name, window, workers in (("auto", "auto", 2), ("pair", (0, 3000), 0)):
        output = tmp_path / name
        result = maezoo.extract(scans, output, model=small, dtype="float32", window=window, workers=workers)
        assert (result.rows, result.errors) == (13, 0)
        small.preprocess = maezoo.images.preprocessing.Preprocessing((32, 32), window=window)
        table = rows(output)
        images = [scans / name for name in table["id"].to_pylist()]
        assert np.allclose(vectors(table), small.features(images), atol=1e-5)
        assert (table["width"].to_pylist()[-1], table["height"].to_pylist()[-1]) == (50, 40)
        settings = json.loads((output / "__maezoo__" / "extract.json").read_text())["settings"]
        assert settings["preprocess"]["window"] == (list(window) if isinstance(window, tuple) else window)
        small.preprocess = maezoo.images.preprocessing.Preprocessing((32, 32))


def test_a_resumed_run_must_have_the_same_window(scans, tmp_path, small):
    first = maezoo.extract(scans, tmp_path / "out", model=small, window=(0, 4095), workers=0)
    again = maezoo.extract(scans, tmp_path / "out", model=small, window=[np.int64(0), 4095], workers=0)
    assert (first.done, again.done) == (13, 0)
    with pytest.raises(DataError, match=r"settings: preprocess.window was \[0, 4095\], now 'full'\. Use") as raised:
        maezoo.extract(scans, tmp_path / "out", model=small, workers=0)
    assert raised.value.expected == {"preprocess.window": [0, 4095]}
    with pytest.raises(ArgumentError, match="'percentiles'"):
        maezoo.extract(scans, tmp_path / "other", model=small, window="percentile")
    assert not (tmp_path / "other").exists()


def test_features_through_different_windows_are_not_compared(scans, tmp_path, small):
    for window in ("full", "auto"):
        maezoo.extract(scans, tmp_path / window, model=small, labels=True, window=window, workers=0)
    with pytest.raises(DataError, match="preprocess"):
        knn(tmp_path / "full", tmp_path / "auto")


@pytest.mark.parametrize("workers", [0, 2])
def test_dark_pictures_are_told_of_once_in_a_run(scans, tmp_path, small, workers, caplog):
    with caplog.at_level(logging.WARNING):
        maezoo.extract(scans, tmp_path / "out", model=small, batch_size=2, workers=workers)
    (said,) = [record.getMessage() for record in caplog.records if "contrast" in record.getMessage()]
    assert said.startswith("class0/00.png uses values from ")
    assert "--window percentiles" in said
