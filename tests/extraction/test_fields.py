"""Folders and lists of GeoTIFF, arrays and sound files, for the models that read them."""

import tarfile
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import maezoo
from maezoo.errors import ArgumentError, SourceMissingError
from maezoo.images.preprocessing import Preprocessing
from maezoo.model import VARIANTS, build_mae
from maezoo.model.facts import Facts


def model_of(preprocess: Preprocessing, channels: int) -> maezoo.MAE:
    plain = build_mae(VARIANTS["mae_vit_tiny"], facts=Facts(in_chans=channels), img_size=preprocess.size)
    model = maezoo.MAE(plain.encoder, plain.decoder, preprocess=preprocess, facts=plain.facts, name="mae_vit_tiny")
    return model.eval()


def vectors(output: Path) -> dict[str, np.ndarray]:
    rows = pq.read_table(output).to_pydict()
    return {name: np.array(vector, np.float32) for name, vector in zip(rows["id"], rows["embedding"], strict=True)}


@pytest.mark.parametrize("workers", [0, 2])
def test_a_folder_of_scenes(tmp_path: Path, workers: int) -> None:
    source = tmp_path / "scenes"
    source.mkdir()
    rule = Preprocessing((32, 32), mean=(0.1, 0.2), std=(0.2, 0.3), bands=("VV", "VH"), window=((-23, -32), (-2, -8)))
    model = model_of(rule, 2)
    decibels = np.random.default_rng(0).normal(-12, 3, (5, 40, 40, 2)).astype(np.float32)
    for number, each in enumerate(decibels):
        np.save(source / f"{number}.npy", each)
    (source / "notes.jpg").write_bytes(b"no scene, and not asked for")
    (source / "bad.tif").write_bytes(b"II*\0 cut short")
    result = maezoo.extract(source, tmp_path / "out", model=model, dtype="float32", workers=workers, batch_size=2)
    assert (result.rows, result.errors) == (5, 1)
    found = vectors(tmp_path / "out")
    expected = model.features(list(decibels)).numpy()
    assert np.allclose(np.stack([found[f"{number}.npy"] for number in range(5)]), expected, atol=1e-5)
    assert maezoo.extract(source, tmp_path / "out", model=model, dtype="float32", batch_size=2).rows == 5


def test_a_list_of_sounds(tmp_path: Path) -> None:
    soundfile = pytest.importorskip("soundfile")
    model = model_of(Preprocessing((64, 128), mean=(-4.2677393,), std=(9.1379948,), kind="sound"), 1)
    waves = [0.1 * np.random.default_rng(seed).normal(size=9_000) for seed in range(2)]
    for number, wave in enumerate(waves):
        soundfile.write(tmp_path / f"{number}.wav", wave, 16_000, subtype="DOUBLE")
    (tmp_path / "list.txt").write_text("0.wav\n1.wav\nnone.wav\n")
    result = maezoo.extract(tmp_path / "list.txt", tmp_path / "out", model=model, dtype="float32")
    assert (result.rows, result.errors + result.pending) == (2, 1)
    expected = model.features([maezoo.Sound(wave, 16_000) for wave in waves]).numpy()
    assert np.allclose(np.stack(list(vectors(tmp_path / "out").values())), expected, atol=1e-4)
    rows = pq.read_table(tmp_path / "out").to_pydict()
    assert (rows["width"][0], rows["height"][0]) == (64, 128)


def test_shards_and_columns_of_sounds_and_scenes(tmp_path: Path) -> None:
    """Tar shards hold the files of the field, Parquet files their bytes, alone or in folders."""
    soundfile = pytest.importorskip("soundfile")
    rule = Preprocessing((32, 32), mean=(0.1, 0.2), std=(0.2, 0.3), bands=("VV", "VH"), window=((-23, -32), (-2, -8)))
    rng = np.random.default_rng(0)
    sounds, scenes = [], []
    for _ in range(3):
        buffer = BytesIO()
        soundfile.write(buffer, 0.1 * rng.normal(size=9_000), 16_000, format="WAV", subtype="DOUBLE")
        sounds.append(buffer.getvalue())
        buffer = BytesIO()
        np.save(buffer, rng.normal(-12, 3, (40, 40, 2)).astype(np.float32))
        scenes.append(buffer.getvalue())
    listener = model_of(Preprocessing((64, 128), mean=(-4.2677393,), std=(9.1379948,), kind="sound"), 1)
    for model, files, ending in ((listener, sounds, "wav"), (model_of(rule, 2), scenes, "npy")):
        folder = tmp_path / ending
        (folder / "tar").mkdir(parents=True)
        (folder / "parquet").mkdir()
        with tarfile.open(folder / "tar" / "0.tar", "w") as tar:
            members = [(f"{number}.{ending}", data) for number, data in enumerate(files)]
            for name, data in [("0.jpg", b"a cover"), *members, ("0.cls", b"tone"), ("1.cls", b"noise")]:
                facts = tarfile.TarInfo(name)
                facts.size = len(data)
                tar.addfile(facts, BytesIO(data))
        column = [{"bytes": data, "path": None} for data in files]
        pq.write_table(pa.table({"audio": column, "label": ["tone", "noise", None]}), folder / "parquet" / "0.parquet")
        expected = model.features(files).numpy()
        for source in ("tar", "tar/0.tar", "parquet", "parquet/0.parquet"):
            output = tmp_path / "out" / ending / source
            maezoo.extract(folder / source, output, model=model, dtype="float32", labels=True)
            rows = pq.read_table(output).to_pydict()
            assert rows["label"] == ["tone", "noise", None]
            assert np.allclose(rows["embedding"], expected, atol=1e-5)
    with tarfile.open(tmp_path / "photos.tar", "w"):
        pass
    with pytest.raises(SourceMissingError, match=r"No member ends in .*\.wav"):
        maezoo.extract(tmp_path / "photos.tar", tmp_path / "none", model=listener)


def test_a_folder_without_a_file_of_the_field_says_what_is_read(tmp_path: Path) -> None:
    model = model_of(Preprocessing((64, 128), mean=(-4.3,), std=(9.1,), kind="sound"), 1)
    (tmp_path / "photo.jpg").touch()
    with pytest.raises(SourceMissingError, match=r"\.jpg: 1 file\. This model reads files that end in .*\.flac"):
        maezoo.extract(tmp_path, tmp_path / "out", model=model)


def test_all_that_there_is_to_tell_of_a_sound_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    soundfile = pytest.importorskip("soundfile")
    model = model_of(Preprocessing((64, 128), mean=(-4.3,), std=(9.1,), kind="sound"), 1)
    (tmp_path / "in").mkdir()
    soundfile.write(tmp_path / "in" / "a.wav", np.full((16_000, 2), 0.1), 16_000)
    maezoo.extract(tmp_path / "in", tmp_path / "out", model=model)
    assert "a.wav has 2 channels; their mean is used. a.wav is 1 s long" in caplog.text


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # Ray leaves sockets and files to the collector
@pytest.mark.parametrize("field", ["bands", "sound"])
def test_ray_gives_the_rows_of_the_local_engine(tmp_path: Path, field: str) -> None:
    ray = pytest.importorskip("ray")
    pytest.importorskip("ray.data")
    source = tmp_path / "in"
    source.mkdir()
    rng = np.random.default_rng(0)
    if field == "bands":
        rule = Preprocessing(
            (32, 32), mean=(0.1, 0.2), std=(0.2, 0.3), bands=("VV", "VH"), window=((-23, -32), (-2, -8))
        )
        model, shape = model_of(rule, 2), (40, 40, 2)
    else:
        model, shape = model_of(Preprocessing((32, 128), mean=(-4.3,), std=(9.1,), kind="sound"), 1), (40, 128)
    for number in range(5):
        np.save(source / f"{number}.npy", rng.normal(-12, 3, shape).astype(np.float32))
    (source / "bad.npy").write_bytes(b"no array")
    options: dict[str, Any] = {"model": model, "dtype": "float32", "batch_size": 2}
    maezoo.extract(source, tmp_path / "local", workers=0, **options)
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    try:
        result = maezoo.extract(source, tmp_path / "ray", engine="ray", workers=1, **options)
    finally:
        ray.shutdown()
    assert (result.rows, result.errors) == (5, 1)
    assert pq.read_table(tmp_path / "ray").equals(pq.read_table(tmp_path / "local"))


def test_models_whose_input_no_file_holds_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").touch()
    strips = Preprocessing((16, 80), mean=(0.5,) * 3, std=(0.5,) * 3, kind="text")
    for model, message in (
        (model_of(strips, 3), "reads texts: pass them to"),
        (model_of(Preprocessing((32, 32)), 5), "takes 5 channels, and nothing says which"),
    ):
        with pytest.raises(ArgumentError, match=message):
            maezoo.extract(tmp_path, tmp_path / "out", model=model)
