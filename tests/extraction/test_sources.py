"""Where images come from: folders, lists and tar shards, in an order that never changes."""

import io
import os
import sys
import tarfile

import pytest
from PIL import Image

import maezoo
from maezoo.errors import DataError
from maezoo.extraction.item import fetch
from maezoo.extraction.items import Items
from maezoo.extraction.sources import find_items
from maezoo.listing import is_image


def _ids(source, **settings):
    return [item.id for item in find_items(source, **settings)]


def _touch(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def test_a_folder_is_searched_to_the_bottom_in_sorted_order(tmp_path):
    _touch(tmp_path, "b/2.JPG", "b/10.png", "a/deep/1.webp", "z.tif", "notes.txt", ".hidden/3.jpg", "b/.4.jpg")
    assert _ids(tmp_path) == ["a/deep/1.webp", "b/10.png", "b/2.JPG", "z.tif"]


@pytest.mark.skipif(sys.platform == "win32", reason="links need rights there")
def test_links_are_followed_circles_are_not_and_broken_ones_are_found(tmp_path):
    _touch(tmp_path, "real/1.jpg", "root/2.jpg")
    (tmp_path / "root" / "linked").symlink_to(tmp_path / "real")
    (tmp_path / "root" / "circle").symlink_to(tmp_path / "root")
    (tmp_path / "root" / "broken.jpg").symlink_to(tmp_path / "nowhere.jpg")
    os.mkfifo(tmp_path / "root" / "pipe.jpg")
    assert _ids(tmp_path / "root") == ["2.jpg", "broken.jpg", "linked/1.jpg"]


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such names")
def test_names_that_are_no_text_are_read_all_the_same(tmp_path, small, rows):
    name = os.fsdecode(b"caf\xe9.png")
    Image.new("RGB", (40, 40)).save(tmp_path / name)
    result = maezoo.extract(tmp_path, tmp_path / "out", model=small, workers=0)
    assert (result.rows, result.errors) == (1, 0)
    assert rows(tmp_path / "out")["id"].to_pylist() == [r"caf\xe9.png"]


def test_lists_name_paths_from_where_they_are(tmp_path):
    (tmp_path / "list.txt").write_text("a/1.jpg\n\n/abs/2.jpg\ns3://bucket/3.jpg\n", encoding="utf-8")
    items = list(find_items(tmp_path / "list.txt"))
    assert [item.id for item in items] == ["a/1.jpg", "/abs/2.jpg", "s3://bucket/3.jpg"]
    assert os.fsdecode(items[0].location) == str(tmp_path / "a" / "1.jpg")
    assert items[2].location == b"s3://bucket/3.jpg"


def test_tables_have_a_column_of_paths(tmp_path):
    (tmp_path / "a.csv").write_text('id,image,label\nx1,"a,b.jpg",cat\nx2,c.jpg,\n', encoding="utf-8")
    items = list(find_items(tmp_path / "a.csv", labels=True))
    assert [(item.id, item.label) for item in items] == [("x1", "cat"), ("x2", "")]
    assert os.fsdecode(items[0].location).endswith("a,b.jpg")
    (tmp_path / "b.csv").write_text("url,size\n1,2\n", encoding="utf-8")
    with pytest.raises(DataError, match="column 'path'"):
        _ids(tmp_path / "b.csv")


def test_shards_that_webdataset_writes(folder, tmp_path, small, rows):
    webdataset = pytest.importorskip("webdataset")
    paths = sorted(folder.rglob("*.jpg"))[:20]
    (tmp_path / "shards").mkdir()
    with webdataset.ShardWriter(str(tmp_path / "shards" / "s-%03d.tar"), maxcount=8, verbose=0) as writer:
        for number, path in enumerate(paths):
            writer.write({"__key__": f"k{number:03d}", "jpg": path.read_bytes(), "cls": number % 3})
    settings = {"model": small, "dtype": "float32", "workers": 0, "batch_size": 4}
    result = maezoo.extract(tmp_path / "shards", tmp_path / "tar", labels=True, **settings)
    assert result.rows == 20
    (tmp_path / "list.txt").write_text("\n".join(map(str, paths)), encoding="utf-8")
    maezoo.extract(tmp_path / "list.txt", tmp_path / "list", **settings)
    table = rows(tmp_path / "tar")
    assert table["id"].to_pylist()[7:9] == ["s-000.tar/k007.jpg", "s-001.tar/k008.jpg"]
    assert table["label"].to_pylist() == [str(number % 3) for number in range(20)]
    assert table["embedding"].equals(rows(tmp_path / "list")["embedding"])


def test_samples_are_those_that_webdataset_reads(tmp_path):
    library = pytest.importorskip("webdataset.tariterators")
    shard = tmp_path / "s-000000.tar"
    with tarfile.open(shard, "w") as tar:
        for number, name in enumerate(("a", "deep/b", "deep/c.left", "deep/c.right", "v1.5/d")):
            _add(tar, f"{name}.{'JPG' if number % 2 else 'png'}", bytes(100 * number + 1))
            if not name.endswith("left"):  # one sample may have several images
                _add(tar, f"{name.removesuffix('.right')}.cls", str(number).encode())
        _add(tar, "v1.5/d.json", b"{}")
    with shard.open("rb") as stream:
        files = [{**file, "__url__": shard.name} for file in library.tar_file_iterator(stream)]
    theirs = {}
    for sample in library.group_by_keys(files):
        for suffix, data in sample.items():
            if is_image(f"x.{suffix}"):
                label = sample["cls"].decode() if "cls" in sample else None
                theirs[f"{shard.name}/{sample['__key__']}.{suffix}".lower()] = (data, label)
    ours = {item.id.lower(): (fetch(item).getvalue(), item.label) for item in find_items(shard, labels=True)}
    assert len(ours) == 5
    assert ours == theirs


def _add(tar, name, data):
    member = tarfile.TarInfo(name)
    member.size = len(data)
    tar.addfile(member, io.BytesIO(data))


def test_a_shard_that_is_cut_or_compressed_is_refused(tmp_path):
    Image.effect_noise((64, 64), 50).save(tmp_path / "1.png")
    for name, mode in (("whole.tar", "w"), ("packed.tar.gz", "w:gz")):
        with tarfile.open(tmp_path / name, mode) as tar:
            tar.add(tmp_path / "1.png", "1.png")
    (tmp_path / "cut.tar").write_bytes((tmp_path / "whole.tar").read_bytes()[:1500])
    assert _ids(tmp_path / "whole.tar") == ["whole.tar/1.png"]
    for name, says in (("cut.tar", "cut short|not a complete"), ("packed.tar.gz", "Compressed")):
        with pytest.raises(DataError, match=says):
            _ids(tmp_path / name)


def test_a_folder_of_shards_with_others_called_like_them(tmp_path):
    (tmp_path / "shards").mkdir()
    for name in ("a.tar", "B.TAR"):
        with tarfile.open(tmp_path / "shards" / name, "w") as tar:
            _add(tar, "1.jpg", b"x")
    (tmp_path / "shards" / "._a.tar").write_bytes(b"\0\5\x16\7" + bytes(80))
    (tmp_path / "shards" / "folder.tar").mkdir()
    assert _ids(tmp_path / "shards") == ["B.TAR/1.jpg", "a.tar/1.jpg"]
    _touch(tmp_path, "images/x.tar/1.jpg", "images/2.jpg")
    assert _ids(tmp_path / "images") == ["2.jpg", "x.tar/1.jpg"]


def test_shards_beside_images_are_not_passed_over(tmp_path):
    _touch(tmp_path, "a/1.jpg", "shard.tar")
    with pytest.raises(DataError, match="tar shards and images"):
        _ids(tmp_path)


@pytest.mark.parametrize("name", ["missing", "file.doc"])
def test_what_is_no_source_is_named(tmp_path, name):
    (tmp_path / "file.doc").touch()
    with pytest.raises(DataError, match=name):
        _ids(tmp_path / name)


def test_a_folder_without_images_is_an_error(tmp_path, small):
    _touch(tmp_path, "readme.txt")
    with pytest.raises(DataError, match="no image"):
        maezoo.extract(tmp_path, tmp_path / "out", model=small)


def test_a_uri_names_a_folder_to_read_and_one_to_write(folder, tmp_path, small, rows):
    source, output = folder.as_uri(), (tmp_path / "out").as_uri()
    settings = {"model": small, "workers": 0, "batch_size": 16, "shard_size": 50}
    assert maezoo.extract(source, output, **settings).rows == 120
    maezoo.extract(folder, tmp_path / "plain", **settings)
    assert rows(tmp_path / "out").equals(rows(tmp_path / "plain"))
    assert maezoo.extract(source, output, **settings).done == 0


def test_fsspecs_schemes_are_read_and_written(folder, small):
    fsspec = pytest.importorskip("fsspec")
    memory = fsspec.filesystem("memory")
    for path in sorted(folder.rglob("*.png"))[:9]:
        memory.pipe(f"/bucket/in/{path.parent.name}/a b%#{path.name}", path.read_bytes())
    memory.pipe("/bucket/in/bad.jpg", b"no")
    settings = {"model": small, "workers": 0, "shard_size": 4, "labels": True}
    result = maezoo.extract("memory://bucket/in", "memory://bucket/out", **settings)
    assert (result.rows, result.errors) == (9, 1)
    written = {name.removeprefix("/bucket/out/") for name in memory.find("/bucket/out")}
    assert {"part-000002.parquet", "__maezoo__/errors.parquet", "__maezoo__/extract.json"} <= written
    memory.rm("/bucket/out/part-000001.parquet")
    assert maezoo.extract("memory://bucket/in", "memory://bucket/out", **settings).done == 4


def test_a_list_of_items_survives_its_file(tmp_path):
    _touch(tmp_path, *(f"{number}.jpg" for number in range(7)))
    items = Items.collect(find_items(tmp_path, labels=True), limit=5)
    back = Items.from_bytes(items.to_bytes())
    assert back.slice(0, 7) == items.slice(0, 5)
    assert back.fingerprint() == items.fingerprint()
