"""What is in the output: one row for each image that can be read, one error for each other."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

import maezoo
from maezoo.errors import DataError
from maezoo.extraction.result import Progress


def _vectors(table):
    column = table["embedding"].combine_chunks()
    return column.flatten().to_numpy(zero_copy_only=False).reshape(len(table), -1)


@pytest.mark.parametrize("pool", ["cls", "mean", "cls+mean"])
def test_embeddings_are_the_models_features(folder, tmp_path, small, rows, pool):
    result = maezoo.extract(folder, tmp_path / "out", model=small, dtype="float32", pool=pool, batch_size=16, workers=0)
    table = rows(tmp_path / "out")
    assert (result.images, result.rows, result.errors, result.complete) == (120, 120, 0, True)
    assert table["id"].to_pylist() == sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*.*"))
    features = small.features([folder / name for name in table["id"].to_pylist()], pool=pool)
    assert np.allclose(_vectors(table), features, atol=1e-5)


def test_worker_processes_give_the_same_rows(damaged, tmp_path, small, rows, failures):
    for workers in (0, 2):
        maezoo.extract(damaged, tmp_path / str(workers), model=small, batch_size=8, workers=workers, shard_size=50)
    assert rows(tmp_path / "0").equals(rows(tmp_path / "2"))
    assert failures(tmp_path / "0") == failures(tmp_path / "2")


@pytest.mark.gpu
def test_cuda_gives_the_rows_of_the_cpu(damaged, tmp_path, small, rows, failures):
    """Many small batches: each is copied, computed and read while its neighbours are."""
    settings = {"dtype": "float32", "batch_size": 2, "workers": 2}
    maezoo.extract(damaged, tmp_path / "cpu", model=small, **settings)
    maezoo.extract(damaged, tmp_path / "cuda", model=small.to("cuda"), **settings)
    assert rows(tmp_path / "cuda").drop(["embedding"]).equals(rows(tmp_path / "cpu").drop(["embedding"]))
    assert np.allclose(_vectors(rows(tmp_path / "cuda")), _vectors(rows(tmp_path / "cpu")), atol=1e-3)
    assert failures(tmp_path / "cuda") == failures(tmp_path / "cpu")


def test_a_damaged_image_costs_only_itself(damaged, tmp_path, small, rows, failures):
    result = maezoo.extract(damaged, tmp_path / "out", model=small, workers=0, batch_size=16)
    assert (result.images, result.rows, result.errors) == (125, 120, 5)
    found = {row["id"]: (row["error"], row["message"]) for row in failures(tmp_path / "out")}
    assert found["class3/bomb.png"][0] == "DecompressionBombError"
    assert set(found) == {
        "class0/empty.jpg", "class1/truncated.jpg", "class2/text.png", "class3/bomb.png", "class3/noise.jpg"
    }  # fmt: skip
    assert all(message for _, message in found.values())
    assert not set(found) & set(rows(tmp_path / "out")["id"].to_pylist())


def test_a_shard_of_broken_images_alone_is_empty_but_there(tmp_path, small, rows):
    source = tmp_path / "source"
    source.mkdir()
    for number in range(5):
        (source / f"{number}.jpg").write_bytes(b"no")
    result = maezoo.extract(source, tmp_path / "out", model=small, workers=0, shard_size=2)
    assert (result.rows, result.errors) == (0, 5)
    assert len(list((tmp_path / "out").glob("part-*"))) == 3
    assert rows(tmp_path / "out").schema.field("embedding").type == pa.list_(pa.float16(), 24)


@pytest.mark.parametrize("count", [0, 2])
def test_a_chunk_survives_the_way_between_processes(count):
    from maezoo.extraction.arrow import bytes_to_table, table_to_bytes
    from maezoo.extraction.decode import Failure, Row
    from maezoo.extraction.shards import Shard

    pixels = np.arange(count * 48, dtype=np.uint8).reshape(count, 48)
    rows = [Row(f"é{number}.jpg", None if number else "cats", 40, 30) for number in range(count)]
    sent = Shard(7, count + 1, rows, [pixels], [Failure("bad.jpg", "OSError", "it's cut")])
    got = Shard.from_table(bytes_to_table(table_to_bytes(sent.to_table())))
    assert (got.first, got.count, got.rows, got.failures) == (sent.first, sent.count, sent.rows, sent.failures)
    assert got.vectors[0].dtype == np.uint8
    assert np.array_equal(got.vectors[0], pixels)


def test_sizes_are_those_of_the_upright_picture_and_labels_those_of_folders(tmp_path, small, rows):
    source = tmp_path / "source"
    (source / "cats").mkdir(parents=True)
    turned = Image.Exif()
    turned[0x0112] = 6
    Image.new("RGB", (64, 48), "red").save(source / "cats" / "turned.jpg", exif=turned)
    Image.new("RGB", (64, 48), "red").save(source / "top.png")
    maezoo.extract(source, tmp_path / "out", model=small, labels=True, workers=0)
    got = rows(tmp_path / "out").drop(["embedding"]).to_pylist()
    assert got == [
        {"id": "cats/turned.jpg", "label": "cats", "width": 48, "height": 64},
        {"id": "top.png", "label": None, "width": 64, "height": 48},
    ]


@pytest.mark.parametrize("orientation", [1, 3, 5, 6, 7, 8])
@pytest.mark.parametrize("suffix", ["jpg", "png", "tif", "webp"])
def test_sizes_are_those_of_the_upright_picture_in_every_format(tmp_path, small, orientation, suffix):
    from PIL import ImageOps

    from maezoo.extraction.decode import decode_items
    from maezoo.extraction.item import Item

    turned = Image.Exif()
    turned[0x0112] = orientation
    path = tmp_path / f"turned.{suffix}"
    Image.new("RGB", (64, 48), "red").save(path, exif=turned)
    with Image.open(path) as image:
        expected = ImageOps.exif_transpose(image).size
    (row,) = decode_items([Item("turned", bytes(path))], 0, small.preprocess).rows
    assert (row.width, row.height) == expected == ((48, 64) if orientation > 4 else (64, 48))


def test_large_jpegs_are_drafted_unless_exact(photos, tmp_path, small):
    from maezoo.extraction.decode import decode_items
    from maezoo.extraction.item import Item

    path = tmp_path / "large.jpg"
    Image.open(photos[0]).convert("RGB").resize((2000, 1500), Image.Resampling.BICUBIC).save(path, quality=92)
    items = [Item("large.jpg", bytes(path))]
    drafted = decode_items(items, 0, small.preprocess)
    exact = decode_items(items, 0, small.preprocess, exact=True)
    assert drafted.rows == exact.rows == [("large.jpg", None, 2000, 1500)]
    difference = (drafted.pixels.float() - exact.pixels.float()).abs() / 255
    assert 0 < difference.mean() < 0.01


@pytest.mark.parametrize("size", [(400, 300), (2000, 1500), (5000, 300)])
@pytest.mark.parametrize("resize", ["crop", "squash"])
def test_pixels_are_those_of_the_models_own_reading(tmp_path, small, size, resize):
    from dataclasses import replace

    from maezoo.extraction.decode import decode_items
    from maezoo.extraction.item import Item
    from maezoo.images.batches import prepare

    path, preprocess = tmp_path / "one.jpg", replace(small.preprocess, resize=resize)
    Image.effect_noise(size, 80).convert("RGB").save(path)
    assert torch.equal(decode_items([Item("one", bytes(path))], 0, preprocess).pixels, prepare([path], preprocess))


def test_the_record_says_how_it_was_made(folder, tmp_path, small):
    progress: list[Progress] = []
    maezoo.extract(folder, tmp_path / "out", model=small, workers=0, limit=50, batch_size=20, report=progress.append)
    record = json.loads((tmp_path / "out" / "__maezoo__" / "extract.json").read_text())
    assert record["counts"] == {"images": 50, "rows": 50, "errors": 0, "pending": 0}
    assert record["complete"]
    assert record["images_per_second"] > 0
    assert record["settings"]["model"] == "small"
    assert record["settings"]["preprocess"] == small.preprocess.to_dict()
    assert record["settings"]["sha256"].startswith("tensors:")
    assert record["versions"]["torch"] == torch.__version__.partition("+")[0]
    assert [each.done for each in progress] == [0, 20, 40, 50]
    assert progress[-1].remaining == 0


def test_named_weights_are_recorded_by_their_files_hash(folder, tmp_path):
    from maezoo.hashes import sha256_of

    maezoo.extract(folder, tmp_path / "out", limit=2, workers=0, device="cpu")
    record = json.loads((tmp_path / "out" / "__maezoo__" / "extract.json").read_text())
    assert record["settings"]["model"] == "mae_vit_tiny.photos_pixel"
    assert record["settings"]["sha256"] == sha256_of(maezoo.fetch("mae_vit_tiny"))


def test_weights_that_are_given_are_recorded_as_they_are(folder, tmp_path):
    model = maezoo.create("mae_vit_tiny", pretrained=True, device="cpu")
    published = maezoo.info("mae_vit_tiny").sha256
    recorded = []
    for output in ("loaded", "trained"):
        maezoo.extract(folder, tmp_path / output, model=model, limit=2, workers=0)
        record = json.loads((tmp_path / output / "__maezoo__" / "extract.json").read_text())
        recorded.append(record["settings"]["sha256"])
        model.encoder.norm.bias.data.add_(1e-3)
    assert recorded[0] == published
    assert recorded[1].startswith("tensors:")


def test_the_weights_of_a_given_model_are_not_fetched_again(folder, tmp_path, monkeypatch):
    model = maezoo.create("mae_vit_tiny", pretrained=True, device="cpu")
    model.entry = maezoo.info("mae_vit_base")  # whose file is not on this machine
    maezoo.extract(folder, tmp_path / "out", model=model, limit=2, workers=0)
    record = json.loads((tmp_path / "out" / "__maezoo__" / "extract.json").read_text())
    assert record["settings"]["sha256"].startswith("tensors:")


def test_a_checkout_that_is_not_installed_has_a_version(monkeypatch):
    from importlib import metadata

    from maezoo.extraction.settings import versions

    installed = metadata.version

    def version(name):
        if name == "maezoo":
            raise metadata.PackageNotFoundError(name)
        return installed(name)

    monkeypatch.setattr(metadata, "version", version)
    assert versions()["maezoo"] == maezoo.__version__


@pytest.mark.parametrize("failing", [0, 1, 2])
def test_the_output_is_read_by_those_who_read_folders_of_parquet(folder, tmp_path, small, rows, failing):
    """Also where no image of a file could be read: the first one, or one in the middle."""
    import pyarrow.dataset

    datasets, duckdb = pytest.importorskip("datasets"), pytest.importorskip("duckdb")
    pandas, polars = pytest.importorskip("pandas"), pytest.importorskip("polars")
    for path in sorted(folder.rglob("*.*"))[50 * failing - 50 : 50 * failing]:
        path.write_bytes(b"no")
    out = tmp_path / "out"
    maezoo.extract(folder, out, model=small, workers=0, shard_size=50, labels=True)
    ids = rows(out)["id"].to_pylist()
    assert len(ids) == (70 if failing else 120)
    assert len(list(out.glob("*.parquet"))) == 3
    assert pandas.read_parquet(out)["id"].tolist() == ids
    assert pyarrow.dataset.dataset(out).to_table()["id"].to_pylist() == ids
    assert pq.read_table(out)["id"].to_pylist() == ids
    assert polars.read_parquet(out / "*.parquet")["id"].to_list() == ids
    assert [row[0] for row in duckdb.sql(f"select id from '{out}/*.parquet' order by id").fetchall()] == sorted(ids)
    read = datasets.load_dataset(str(out), split="train", cache_dir=str(tmp_path / "cache"))
    assert read["id"][:] == ids
    assert len(read[0]["embedding"]) == 24


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"pool": "max"}, "pool"),
        ({"dtype": "int8"}, "dtype"),
        ({"batch_size": 0}, "batch_size"),
        ({"workers": -1}, "workers"),
        ({"shard_size": 0}, "shard_size"),
        ({"limit": 0}, "limit"),
        ({"engine": "spark"}, "engine"),
    ],
)
def test_wrong_arguments_are_named_before_anything_is_written(folder, tmp_path, small, wrong, says):
    with pytest.raises(ValueError, match=says):
        maezoo.extract(folder, tmp_path / "out", model=small, **wrong)
    assert not (tmp_path / "out").exists()


def test_an_embedding_that_float16_cannot_hold_is_refused(folder, tmp_path, small):
    with torch.no_grad():
        small.encoder.norm.weight.fill_(1e6)
    with pytest.raises(DataError, match="float32"):
        maezoo.extract(folder, tmp_path / "out", model=small, workers=0)
    assert maezoo.extract(folder, tmp_path / "out32", model=small, workers=0, dtype="float32").complete


def test_a_size_that_is_square_only_when_reduced_is_not_turned(tmp_path, small):
    (tmp_path / "in").mkdir()
    Image.new("RGB", (1003, 1001), "teal").save(tmp_path / "in" / "a.jpg")  # decoded at a quarter: 251 x 251
    maezoo.extract(tmp_path / "in", tmp_path / "out", model=small, workers=0)
    table = pq.read_table(tmp_path / "out" / "part-000000.parquet")
    assert (table["width"].to_pylist(), table["height"].to_pylist()) == ([1003], [1001])
