"""One output is made by one engine, chosen when there is enough to do and taken up again by the next run."""

import json
import logging

import numpy as np
import pytest

import maezoo
from maezoo.api.optimized import optimize_for
from maezoo.engines import ENGINES

SETTINGS = {"workers": 0, "batch_size": 8, "shard_size": 30, "dtype": "float32"}


class _StopError(Exception):
    pass


def _stop(progress):
    if progress.done >= 40:
        raise _StopError


def _record(output):
    return json.loads((output / "__maezoo__" / "extract.json").read_text())


def _engine(small):
    return "onednn" if ENGINES["onednn"].is_available() else "eager"


def test_few_images_are_embedded_in_eager_pytorch(folder, tmp_path, small):
    maezoo.extract(folder, tmp_path / "out", model=small, **SETTINGS)
    assert _record(tmp_path / "out")["engine"] == "eager"


def test_many_images_choose_an_engine(folder, tmp_path, small, monkeypatch, vectors_of):
    monkeypatch.setattr("maezoo.api.optimized._FEW", 100)
    maezoo.extract(folder, tmp_path / "out", model=small, **SETTINGS)
    assert _record(tmp_path / "out")["engine"] in ("eager", "onednn")
    assert optimize_for(small, "features", 99, batch_size=8) is small
    monkeypatch.undo()
    maezoo.extract(folder, tmp_path / "eager", model=small, **SETTINGS)
    np.testing.assert_allclose(vectors_of(tmp_path / "out"), vectors_of(tmp_path / "eager"), atol=1e-4)


def test_a_run_goes_on_with_the_engine_it_was_begun_with(folder, tmp_path, small, vectors_of):
    fast = small.optimize(engine=_engine(small), batch_sizes=(8,), cache_dir=tmp_path)
    maezoo.extract(folder, tmp_path / "whole", model=fast, **SETTINGS)
    with pytest.raises(_StopError):
        maezoo.extract(folder, tmp_path / "out", model=fast, report=_stop, **SETTINGS)
    maezoo.extract(folder, tmp_path / "out", model=small, **SETTINGS)
    assert _record(tmp_path / "out")["engine"] == _engine(small)
    np.testing.assert_array_equal(vectors_of(tmp_path / "out"), vectors_of(tmp_path / "whole"))


def test_an_engine_that_is_gone_is_told_of(folder, tmp_path, small, caplog):
    with pytest.raises(_StopError):
        maezoo.extract(folder, tmp_path / "out", model=small, report=_stop, **SETTINGS)
    record = _record(tmp_path / "out") | {"engine": "tensorrt"}
    (tmp_path / "out" / "__maezoo__" / "extract.json").write_text(json.dumps(record))
    with caplog.at_level(logging.WARNING):
        result = maezoo.extract(folder, tmp_path / "out", model=small, **SETTINGS)
    assert result.rows == 120
    assert "begun on the engine tensorrt" in caplog.text


def test_ray_takes_no_optimised_model(folder, tmp_path, small):
    fast = small.optimize(engine="eager", batch_sizes=(1,), cache_dir=tmp_path)
    with pytest.raises(ValueError, match="pass the model that it was made from"):
        maezoo.extract(folder, tmp_path / "out", model=fast, engine="ray", **SETTINGS)
