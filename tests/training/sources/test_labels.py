"""Labelled images: what is read as what, what is held out, and what is wrong with a source before work begins."""

import io
import tarfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from maezoo.errors import ArgumentError, DataError
from maezoo.images.preprocessing import Preprocessing
from maezoo.training import LabelledImages, open_labelled, read_labelled

Folder = Callable[..., Path]


def counts(images: LabelledImages) -> dict[str, int]:
    return dict(Counter(images.classes[target] for target in images.targets))


def test_a_fifth_of_each_class_is_held_out_the_same_each_time(coloured: Folder) -> None:
    source = coloured(number=11)
    train, val = open_labelled(source, seed=3)
    assert train.classes == val.classes == ("blue", "red")
    assert (counts(train), counts(val)) == ({"blue": 9, "red": 9}, {"blue": 2, "red": 2})
    assert not {item.id for item in train.items} & {item.id for item in val.items}
    assert [item.id for item in open_labelled(source, seed=3)[1].items] == [item.id for item in val.items]
    assert [item.id for item in open_labelled(source, seed=4)[1].items] != [item.id for item in val.items]
    assert len(open_labelled(source, 0.0)[1]) == 0
    with pytest.raises(ArgumentError, match="share"):
        open_labelled(source, 1.0)


def test_a_class_of_one_image_is_trained_on(coloured: Folder) -> None:
    source = coloured(number=5)
    (source / "one").mkdir()
    (source / "red" / "000.png").rename(source / "one" / "a.png")
    train, val = open_labelled(source, 0.5)
    assert counts(train)["one"] == 1
    assert "one" not in counts(val)


def test_folders_named_train_and_val_are_the_split(coloured: Folder, tmp_path: Path) -> None:
    coloured("set/train", number=4)
    coloured("set/val", number=2)
    train, val = open_labelled(tmp_path / "set")
    assert (len(train), len(val)) == (8, 4)
    assert len(read_labelled(tmp_path / "set", ("blue", "red"))) == 4
    assert len(open_labelled(tmp_path / "set", 0.5)[0]) == 4


def test_the_class_is_the_first_folder_and_images_without_one_are_left_out(
    coloured: Folder, caplog: pytest.LogCaptureFixture
) -> None:
    source = coloured(number=3)
    (source / "red" / "deep" / "er").mkdir(parents=True)
    (source / "red" / "000.png").rename(source / "red" / "deep" / "er" / "000.png")
    (source / "blue" / "000.png").rename(source / "loose.png")
    train, _ = open_labelled(source, 0.0)
    assert counts(train) == {"blue": 2, "red": 3}
    assert "1 of 6 images have no label" in caplog.text


def test_lists_and_shards(coloured: Folder, tmp_path: Path) -> None:
    source = coloured(number=3)
    files = sorted(source.rglob("*.png"))
    rows = [f"{path},{10 if path.parent.name == 'red' else 9}" for path in files]
    (tmp_path / "list.csv").write_text("\n".join(["path,label", *rows]), encoding="utf-8")
    listed, _ = open_labelled(tmp_path / "list.csv", 0.0)
    assert listed.classes == ("9", "10")  # numbers by value
    (tmp_path / "shards").mkdir()
    with tarfile.open(tmp_path / "shards" / "0.tar", "w") as tar:
        for number, path in enumerate(files):
            for suffix, data in ((".png", path.read_bytes()), (".cls", path.parent.name.encode())):
                member = tarfile.TarInfo(f"{number:04}{suffix}")
                member.size = len(data)
                tar.addfile(member, io.BytesIO(data))
    packed, _ = open_labelled(tmp_path / "shards", 0.0)
    assert counts(packed) == {"blue": 3, "red": 3}
    pixels, numbers = next(iter(packed.inputs(Preprocessing(size=(32, 32)), 3, 10)))
    assert pixels.shape == (6, 3, 32, 32)
    assert [packed.targets[number] for number in numbers.tolist()] == [0, 0, 0, 1, 1, 1]


def test_one_broken_image_costs_only_itself(coloured: Folder, caplog: pytest.LogCaptureFixture) -> None:
    source = coloured(number=2)
    (source / "red" / "000.png").write_bytes(b"no picture")
    images, _ = open_labelled(source, 0.0)
    images.check_classes(32)
    assert [numbers.tolist() for _, numbers in images.inputs(Preprocessing(size=(32, 32)), 3, 10)] == [[0, 1, 3]]
    assert list(images.unreadable) == ["red/000.png"]
    assert caplog.text.count("left out") == 1


def test_pictures_of_all_kinds_have_three_channels(tmp_path: Path) -> None:
    kinds = {"L": "L", "P": "P", "RGBA": "RGBA", "16": "I;16", "1": "1"}
    for number, (name, mode) in enumerate(kinds.items()):
        (tmp_path / ("a", "b")[number % 2]).mkdir(exist_ok=True)
        array = np.full((20, 30), 40_000, np.uint16) if mode == "I;16" else None
        image = Image.fromarray(array) if array is not None else Image.new(mode, (30, 20))
        image.save(tmp_path / ("a", "b")[number % 2] / f"{name}.png")
    images, _ = open_labelled(tmp_path, 0.0)
    (batch, _), *_ = images.inputs(Preprocessing(size=(16, 16)), 3, 10)
    assert batch.shape == (5, 3, 16, 16)
    assert images.unreadable == {}


def test_sources_that_cannot_be_used(coloured: Folder, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="does not exist"):
        open_labelled(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="no image"):
        open_labelled(tmp_path / "empty")
    with pytest.raises(DataError, match="'red' only"):
        open_labelled(coloured("single", classes=("red",)))
    with pytest.raises(DataError, match="none of the 2 images"):
        open_labelled(coloured("flat/x", number=2, classes=("red",)) / "red")
    source = coloured()
    (source / ".hidden").mkdir()
    (source / "green").mkdir()
    (source / "green" / "notes.txt").touch()
    with pytest.raises(DataError, match="folders without an image: 'green'"):
        open_labelled(source)
    (source / "green" / "notes.txt").unlink()
    (source / "green").rmdir()
    with pytest.raises(DataError, match="not trained for: 'green'") as caught:
        open_labelled(source, coloured("other", classes=("green", "red")))
    assert caught.value.found == ("green",)
    for path in (source / "red").iterdir():
        path.write_bytes(b"")
    with pytest.raises(DataError, match=r"no image of the class 'red'.*10 tried"):
        open_labelled(source, 0.0)[0].check_classes(32)
