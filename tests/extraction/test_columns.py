"""Columns that a user names: ids, labels and what is kept, from lists, Parquet and shards."""

import datetime
import io
import json
import tarfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import maezoo
from maezoo.errors import ArgumentError, DataError
from maezoo.extraction.columns import Columns
from maezoo.extraction.item import image_bytes
from maezoo.extraction.sources import find_items

NAMES = ("class0/0000.jpg", "class1/0001.png", "class2/0002.webp", "class3/0003.jpg", "class0/0004.png")
DATES = pa.array([datetime.datetime(2020, 1, day + 1) for day in range(5)], pa.timestamp("ns", "UTC"))
FACTS = {
    "sku": pa.array([7, 8, 9, 10, 11], pa.int64()),
    "date": DATES,
    "tags": pa.array([["a"], [], None, ["b", "c"], []]),
    "label": pa.array([0, 1, 0, 1, None]),
}


@pytest.fixture
def tables(folder: Path) -> Path:
    """The same five images as paths, as bytes, and as structs of which some have bytes and some paths."""
    data = [(folder / name).read_bytes() for name in NAMES]
    pq.write_table(pa.table({"path": list(NAMES), **FACTS}), folder / "paths.parquet")
    pq.write_table(pa.table({"picture": data, **FACTS}), folder / "bytes.parquet", row_group_size=2)
    structs = [{"bytes": data[n], "path": None} if n % 2 else {"bytes": None, "path": NAMES[n]} for n in range(5)]
    pq.write_table(pa.table({"image": structs, **FACTS}), folder / "some.parquet", row_group_size=3)
    structs = [{"bytes": each, "path": name} for each, name in zip(data, NAMES, strict=True)]
    table = pa.table({"image": structs, **FACTS})
    names = {"info": {"features": {"label": {"names": ["dull", "bright"], "_type": "ClassLabel"}}}}
    pq.write_table(table.replace_schema_metadata({"huggingface": json.dumps(names)}), folder / "hugging.parquet")
    return folder


@pytest.mark.parametrize("kind", ["paths", "bytes", "some", "hugging"])
def test_parquet_gives_the_images_and_all_that_is_known_of_them(tables, tmp_path, small, rows, kind):
    columns = {"id_column": "sku", "keep": ["date", "tags"], "labels": True}
    result = maezoo.extract(tables / f"{kind}.parquet", tmp_path / "out", model=small, workers=0, **columns)
    assert (result.rows, result.errors) == (5, 0)
    table = rows(tmp_path / "out")
    assert table["id"].to_pylist() == ["7", "8", "9", "10", "11"]
    dull, bright = ("dull", "bright") if kind == "hugging" else ("0", "1")
    assert table["label"].to_pylist() == [dull, bright, dull, bright, None]
    assert table["date"].combine_chunks().equals(DATES)
    assert table["tags"].combine_chunks().equals(FACTS["tags"])
    (tmp_path / "list.txt").write_text("\n".join(str(tables / name) for name in NAMES))
    maezoo.extract(tmp_path / "list.txt", tmp_path / "plain", model=small, workers=0)
    assert rows(tmp_path / "plain")["embedding"].equals(table["embedding"])


def test_rows_of_one_large_group_are_read_in_any_order(tables):
    data = [bytes([n % 256]) * 2000 for n in range(100)]
    pq.write_table(pa.table({"image": data}), tables / "large.parquet")
    items = list(find_items(tables / "large.parquet"))
    for number in (3, 50, 49, 99, 0, 1):
        assert image_bytes(items[number]) == data[number]
    assert items[50].id == "large.parquet/50"


def test_a_folder_of_parquet_files_is_one_source(tables, tmp_path, small, rows):
    data = tmp_path / "data"
    data.mkdir()
    for number in range(2):
        (data / f"train-{number}.parquet").write_bytes((tables / "bytes.parquet").read_bytes())
    maezoo.extract(data, tmp_path / "out", model=small, workers=0, shard_size=4)
    assert rows(tmp_path / "out")["id"].to_pylist()[4:6] == ["train-0.parquet/4", "train-1.parquet/0"]
    with pytest.raises(DataError, match="5 ids occur more than once, such as '7'"):
        maezoo.extract(data, tmp_path / "two", model=small, workers=0, id_column="sku")


def test_rows_without_an_image_are_errors_and_their_values_are_not_kept(folder, tmp_path, small, rows, failures):
    images = [(folder / NAMES[0]).read_bytes(), None, b"no image", (folder / NAMES[1]).read_bytes()]
    pq.write_table(pa.table({"image": images, "n": [0, 1, 2, 3]}), folder / "holes.parquet")
    for shard_size in (10, 2):
        output = tmp_path / str(shard_size)
        maezoo.extract(folder / "holes.parquet", output, model=small, workers=0, shard_size=shard_size, keep="n")
        assert rows(output)["n"].to_pylist() == [0, 3]
        assert [row["id"] for row in failures(output)] == ["holes.parquet/1", "holes.parquet/2"]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"id_column": "skuu"}, r"no column 'skuu'; it has .*Did you mean 'sku'\?"),
        ({"keep": ("date", "labels")}, r"Did you mean 'label'\?"),
        ({"label_column": "colour"}, "no column 'colour'"),
        ({"path_column": "sku"}, "no paths in the column 'sku': it is int64"),
        ({"image_column": "date"}, "no images in the column 'date'"),
        ({"id_column": "tags"}, "'tags' .* is no text"),
    ],
)
def test_columns_that_do_not_fit_are_refused(tables, tmp_path, small, options, says):
    with pytest.raises(DataError, match=f"(?s){says}"):
        maezoo.extract(tables / "paths.parquet", tmp_path / "out", model=small, workers=0, **options)


def test_a_missing_column_is_known_before_the_model_is(tables, tmp_path):
    (tables / "list.csv").write_text("path,sku\na.jpg,1\n")
    for name in ("paths.parquet", "list.csv"):
        with pytest.raises(DataError, match="no column 'x'"):
            maezoo.extract(tables / name, tmp_path / "out", model="no such model", keep="x")
    assert not (tmp_path / "out").exists()


def test_which_column_has_the_images_is_asked_where_it_is_not_clear(tables):
    both = pq.read_table(tables / "bytes.parquet").append_column("path", pa.array(NAMES))
    pq.write_table(both, tables / "both.parquet")
    with pytest.raises(DataError, match="--image-column picture or --path-column path"):
        find_items(tables / "both.parquet")
    by_path = next(find_items(tables / "both.parquet", columns=Columns(path="path")))
    by_image = next(find_items(tables / "both.parquet", columns=Columns(image="picture")))
    assert (by_path.id, by_image.id) == (NAMES[0], "both.parquet/0")
    assert image_bytes(by_path) == image_bytes(by_image)
    pq.write_table(pa.table({"n": [1]}), tables / "none.parquet")
    with pytest.raises(DataError, match=r"it has 'n'.*--path-column"):
        find_items(tables / "none.parquet")
    (tables / "text.parquet").write_text("no Parquet")
    with pytest.raises(DataError, match="cannot be read as Parquet"):
        find_items(tables / "text.parquet")


def test_cells_of_a_csv_are_kept_as_they_are_written(folder, tmp_path, small, rows):
    lines = [f"{name},00{n},2020-01-0{n + 1}" for n, name in enumerate(NAMES)]
    (folder / "list.csv").write_text("photo,sku,date\n" + "\n".join(lines) + "\n")
    maezoo.extract(
        folder / "list.csv", tmp_path / "out", model=small, workers=0, path_column="photo", id_column="sku", keep="date"
    )
    table = rows(tmp_path / "out")
    assert table["id"].to_pylist()[:2] == ["000", "001"]
    assert table["date"].to_pylist()[0] == "2020-01-01"


def _shard(path: Path, folder: Path, samples: list[dict[str, object]]) -> Path:
    """Write a shard with a member for each ending of each sample."""
    with tarfile.open(path, "w") as tar:
        for number, sample in enumerate(samples):
            members = {"jpg": (folder / NAMES[0]).read_bytes()}
            members |= {ending: text if isinstance(text, str) else json.dumps(text) for ending, text in sample.items()}
            for ending, data in members.items():
                data = data if isinstance(data, bytes) else data.encode()
                member = tarfile.TarInfo(f"{number:04d}.{ending}")
                member.size = len(data)
                tar.addfile(member, io.BytesIO(data))
    return path


def test_members_of_a_shard_give_ids_labels_and_values_with_their_types(folder, tmp_path, small, rows):
    samples = [
        {"json": {"sku": "a", "price": 1, "n": 2**40, "ok": True, "mixed": 1, "label": "cat"}, "txt": "a cat"},
        {"json": {"sku": "b", "price": 2.5, "n": 3, "ok": None, "mixed": ["x"], "label": "dog"}, "txt": "a dog"},
        {"json": {"sku": "c", "mixed": "\ud800"}},
    ]
    shard = _shard(tmp_path / "s.tar", folder, samples)
    keep = "price,n,ok,mixed,txt"
    maezoo.extract(shard, tmp_path / "out", model=small, workers=0, id_column="sku", labels=True, keep=keep)
    table = rows(tmp_path / "out")
    assert table["id"].to_pylist() == ["a", "b", "c"]
    assert table["label"].to_pylist() == ["cat", "dog", None]
    kinds = {name: str(table.schema.field(name).type) for name in keep.split(",")}
    assert kinds == {"price": "double", "n": "int64", "ok": "bool", "mixed": "string", "txt": "string"}
    assert table["price"].to_pylist() == [1.0, 2.5, None]
    assert [json.loads(text) for text in table["mixed"].to_pylist()] == [1, ["x"], "\ud800"]
    assert table["txt"].to_pylist() == ["a cat", "a dog", None]


def test_labels_of_a_shard_come_from_its_cls_else_json_else_txt(folder, tmp_path):
    cls = {"cls": "0", "json": {"label": "j"}, "txt": "t"}
    for sample, label in ((cls, "0"), ({"json": {"label": 3}, "txt": "t"}, "3"), ({"txt": "t"}, "t")):
        (item,) = find_items(_shard(tmp_path / "s.tar", folder, [sample]), labels=True)
        assert item.label == label
    (item,) = find_items(_shard(tmp_path / "s.tar", folder, [cls]), labels=True, columns=Columns(label="txt"))
    assert item.label == "t"


def test_members_that_nobody_asked_for_may_be_anything(folder, tmp_path):
    shard = _shard(tmp_path / "s.tar", folder, [{"json": "{no json", "cls": "1"}, {"json": [1], "cls": "2"}])
    assert [item.label for item in find_items(shard, labels=True)] == ["1", "2"]
    with pytest.raises(DataError, match="is no JSON"):
        list(find_items(shard, columns=Columns(id="sku")))


def test_what_samples_do_not_have_is_named(folder, tmp_path):
    shard = _shard(tmp_path / "s.tar", folder, [{"json": {"sku": "a"}}, {"json": {"sku": ""}}])
    with pytest.raises(DataError, match=r"'skuu'; it has 'json', 'sku'\. Did you mean 'sku'"):
        list(find_items(shard, columns=Columns(keep=("skuu",))))
    with pytest.raises(DataError, match="image 1 has no 'sku'"):
        list(find_items(shard, columns=Columns(id="sku")))


def test_sources_without_columns_refuse_them(folder, tmp_path):
    (tmp_path / "list.txt").write_text("a.jpg\n")
    for source, says in ((folder, "folder of images"), (tmp_path / "list.txt", "paths alone")):
        with pytest.raises(DataError, match=f"no column 'x' \\(keep\\).*{says}"):
            find_items(source, columns=Columns(keep=("x",)))


def test_names_that_the_output_has_already_are_refused(folder, tmp_path, small):
    for options in ({"keep": "id"}, {"keep": "a,a"}, {"keep": "width"}, {"keep": "label", "labels": True}):
        with pytest.raises(ArgumentError):
            maezoo.extract(folder, tmp_path / "out", model=small, **options)
    with pytest.raises(ArgumentError, match="not both"):
        maezoo.extract(folder, tmp_path / "out", model=small, path_column="a", image_column="b")


def test_other_columns_are_another_output(tables, tmp_path, small):
    maezoo.extract(tables / "paths.parquet", tmp_path / "out", model=small, workers=0, keep="date")
    with pytest.raises(DataError, match=r"begun with other settings: columns\.keep was"):
        maezoo.extract(tables / "paths.parquet", tmp_path / "out", model=small, workers=0, keep="tags")


def test_kept_values_survive_an_interruption(tables, tmp_path, small, rows, monkeypatch):
    """The beginning of a file is kept without them; they are joined again."""

    def stop(progress):
        if progress.done == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr("maezoo.extraction.assembly._KEEP_EVERY", 0.0)
    options = {"model": small, "workers": 0, "batch_size": 1, "keep": "date,tags"}
    with pytest.raises(KeyboardInterrupt):
        maezoo.extract(tables / "bytes.parquet", tmp_path / "out", report=stop, **options)
    assert maezoo.extract(tables / "bytes.parquet", tmp_path / "out", **options).done < 5
    maezoo.extract(tables / "bytes.parquet", tmp_path / "whole", **options)
    assert rows(tmp_path / "out").equals(rows(tmp_path / "whole"))
    assert rows(tmp_path / "out")["date"].combine_chunks().equals(DATES)
