"""Images in lists, tar shards, Parquet files and at URIs: the same pictures, the same steps, each fault its own."""

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from typer.testing import CliRunner

from maezoo.cli import app
from maezoo.errors import CheckpointError, DataError, SourceMissingError
from maezoo.extraction.item import Item
from maezoo.training import ImageSource, ListedImages, open_source, pretrain
from maezoo.training.pretraining import Pretraining
from maezoo.training.shape import find_shape
from maezoo.training.sources.fingerprint import fingerprint
from maezoo.training.sources.numbered import Numbered
from maezoo.training.sources.shards import spelled_out
from tests.training.sources.conftest import BROKEN, RECIPE, SMALL, part, pictures, same, views, write_tar


def test_every_kind_of_source_gives_the_same_pictures(data: Path) -> None:
    expected = views(open_source(data / "folder"))
    assert expected.isnan().flatten(1).all(1).nonzero().tolist() == [[BROKEN]]
    memory = fsspec.filesystem("memory")
    for shard in (0, 1):
        memory.pipe(f"/maezoo-test/train-{shard}.tar", (data / "shards" / f"train-{shard}.tar").read_bytes())
        memory.pipe(f"/maezoo-tables/{shard}.parquet", (data / "tables" / f"{shard}.parquet").read_bytes())
    for where in (
        ["list.txt"],
        ["shards"],
        ["shards/train-{0..1}.tar"],
        ["shards/*.tar"],
        ["tables"],
        ["tables/0.parquet", "shards/train-1.tar"],
        [(data / "shards" / "train-0.tar").as_uri(), (data / "tables" / "1.parquet").as_uri()],
        [(data / "folder").as_uri()],
        ["memory://maezoo-test/train-{0..1}.tar"],
        ["memory://maezoo-test/*.tar"],
        ["memory://maezoo-test"],
        ["memory://maezoo-tables"],
    ):
        workers = 1 if where[0].startswith("memory:") else None  # fsspec gives all readers of memory one position
        places = (each if "://" in each else data / each for each in where)
        source = open_source(*places, folder=data / "kept", workers=workers)
        same(views(source), expected)
        assert isinstance(source, ListedImages)
        (name,) = source.unreadable
        assert f"{BROKEN:03}.jpg" in name or name.endswith(f"#{BROKEN}")


def test_an_image_that_cannot_be_read_counts_for_nothing(data: Path) -> None:
    """Loss and gradients of a batch with it are those of the batch without it."""
    task = Pretraining(RECIPE, open_source(data / "folder"), torch.device("cpu"), find_shape(RECIPE, variant=SMALL))
    images = (views(task.source, [1, BROKEN, 2, 3]) - 0.5) * 4
    mask = torch.rand(4, 16, generator=torch.Generator().manual_seed(0)).argsort(1) < 12
    gradients = []
    for rows in ([0, 1, 2, 3], [0, 2, 3]):
        task.objective.zero_grad()
        task.objective(images[rows], mask[rows]).backward()
        gradients.append([p.grad.clone() for p in task.objective.parameters() if p.grad is not None])
    torch.testing.assert_close(*gradients)
    nothing = task.objective(torch.full_like(images, float("nan")), mask)
    assert nothing.item() == 0


@pytest.mark.parametrize("kind", ["shards", "tables"])
def test_a_stopped_run_resumes_to_the_same_bits(data: Path, kind: str, tmp_path: Path) -> None:
    def run(out: str, stop: bool = False) -> dict[str, torch.Tensor]:
        def report(progress: object) -> None:
            if stop:
                raise ZeroDivisionError

        source = open_source(data / kind, folder=tmp_path / out / "source")
        settings = {"report": report, "report_every": 5, "checkpoint_seconds": 0, "device": "cpu"}
        return pretrain(RECIPE, source, tmp_path / out, variant=SMALL, **settings).state_dict()

    whole = run("whole")
    with pytest.raises(ZeroDivisionError):
        run("parts", stop=True)
    resumed = run("parts")
    assert all(torch.equal(value, resumed[name]) for name, value in whole.items())


def begun(source: ImageSource, out: Path, **settings: Any) -> None:
    pretrain(replace(RECIPE, views=4), source, out, variant=SMALL, device="cpu", **settings)


@pytest.mark.parametrize("kind", ["folder", "shards", "tables"])
def test_images_may_move_but_not_change_while_a_run_is_stopped(data: Path, kind: str) -> None:
    begun(open_source(data / kind), data / "run")
    moved = (data / kind).rename(data / "moved")
    begun(open_source(moved), data / "run")
    if kind == "tables":  # with bytes added, it would be no table
        return
    changed = sorted(path for path in moved.rglob("*") if path.is_file())[0]
    changed.write_bytes((data / "list.txt").read_bytes() if kind == "folder" else changed.read_bytes() + bytes(512))
    with pytest.raises(CheckpointError, match=r"images: files differ\..*--resume-from .* -o ANOTHER_FOLDER"):
        begun(open_source(moved), data / "run")


def test_no_more_files_are_looked_up_than_are_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("maezoo.training.sources.fingerprint._LOOKED_UP", 2)
    paths = [tmp_path / f"{number}.jpg" for number in range(3)]
    for path in paths:
        path.write_bytes(b"one")
    items = [Item(path.name, os.fsencode(path)) for path in paths]
    before = fingerprint(items)
    paths[1].write_bytes(b"other")
    assert fingerprint(items) == before
    paths[2].write_bytes(b"other")
    assert fingerprint(items)["sizes"] != before["sizes"]


def test_a_list_of_images_is_known_by_its_items(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("maezoo.training.sources.fingerprint._TOGETHER", 2)
    items = [Item(f"s.tar/é{number}", b"/s.tar", None, 512 * number, 9) for number in range(5)]
    assert fingerprint(Numbered(items)) == fingerprint(items)
    assert fingerprint(Numbered(items[::-1]))["names"] != fingerprint(items)["names"]
    assert fingerprint(Numbered())["count"] == 0


def test_what_differs_in_the_images_is_told(data: Path) -> None:
    begun(open_source(data / "folder"), data / "run")
    with pytest.raises(CheckpointError, match=r"window was 'full', now \[0, 255\]"):
        begun(open_source(data / "folder", window=(0, 255)), data / "run")
    first = data / "folder" / "deep" / "000.jpg"
    other = first.rename(first.with_name("a.jpg"))
    with pytest.raises(CheckpointError, match="images: names, labels or order differ"):
        begun(open_source(data / "folder"), data / "run")
    other.unlink()
    with pytest.raises(CheckpointError, match="images: there were 14, now 13"):
        begun(open_source(data / "folder"), data / "run")
    recipe, checkpoint = replace(RECIPE, views=8), data / "run" / "checkpoint.safetensors"
    pretrain(recipe, open_source(data / "folder"), data / "next", variant=SMALL, device="cpu", resume_from=checkpoint)


def test_kept_lists_of_shards_are_used_until_the_shard_changes(data: Path) -> None:
    shard, kept = data / "shards" / "train-0.tar", data / "kept"
    first = views(open_source(shard, folder=kept))
    (index,) = kept.glob("*.npz")
    same(views(open_source(shard, folder=kept)), first)
    for damage in (b"", b"PK rubbish", index.read_bytes()[:200]):
        index.write_bytes(damage)
        same(views(open_source(shard, folder=kept)), first)
    write_tar(shard, part(pictures(), 8, 11))
    assert len(open_source(shard, folder=kept)) == 3


def test_empty_shards_and_tables_are_named(data: Path) -> None:
    write_tar(data / "shards" / "train-2.tar", {"notes.txt": b"no image"})
    with pytest.raises(SourceMissingError, match=r"train-2\.tar is a shard without an image"):
        open_source(data / "shards")
    (data / "shards" / "train-2.tar").write_bytes(b"")
    with pytest.raises(DataError, match=r"train-2\.tar is not a complete"):
        open_source(data / "shards")
    pq.write_table(pa.table({"image": pa.array([], pa.binary())}), data / "empty.parquet")
    with pytest.raises(DataError, match=r"empty\.parquet"):
        open_source(data / "empty.parquet")
    with pytest.raises(SourceMissingError, match="fits no file"):
        open_source(data / "shards" / "*.tgz")


def test_fewer_images_than_a_batch_are_refused(data: Path) -> None:
    with pytest.raises(DataError, match=r"14 images .* fewer than the 15 of a batch.*--batch-size 14"):
        pretrain(replace(RECIPE, batch_size=15), open_source(data / "folder"), data / "out", variant=SMALL)


def test_a_source_of_which_nothing_can_be_read_is_refused(tmp_path: Path) -> None:
    for number in range(6):
        (tmp_path / f"{number}.jpg").write_bytes(b"?")
    source = open_source(tmp_path)
    with pytest.raises(DataError, match="none of the 6 images"):
        views(source)


def test_the_names_of_left_out_images_outlive_the_process(data: Path) -> None:
    views(open_source(data / "folder", folder=data / "kept"))
    with (data / "kept" / "unreadable.jsonl").open("a") as file:
        file.write(json.dumps({"image": "of another process", "reason": "x"}) + '\n{"image": "cut')
    again = open_source(data / "folder", folder=data / "kept")
    assert isinstance(again, ListedImages)
    assert list(again.left_out()) == [str(data / "folder" / "deep" / f"{BROKEN:03}.jpg"), "of another process"]


def test_braces_and_stars() -> None:
    assert spelled_out("s3://b/{a,c}-{8..10}.tar") == [f"s3://b/{x}-{n}.tar" for x in "ac" for n in (8, 9, 10)]
    assert spelled_out("s3://b/{008..010}.tar") == [f"s3://b/{n}.tar" for n in ("008", "009", "010")]
    assert spelled_out("s3://b/{one}.tar") == ["s3://b/{one}.tar"]
    with pytest.raises(ValueError, match="stands for"):
        spelled_out("x-{0..99999999}.tar")


def test_the_command_line_names_what_it_left_out(data: Path) -> None:
    out = data / "out"
    run = ["pretrain", str(data / "shards"), "-o", str(out), "--views", "14", "--batch-size", "7"]
    result = CliRunner().invoke(app, [*run, "--optimizer", "adamw", "--precision", "float32", "--window", "auto"])
    assert result.exit_code == 0, result.output
    assert f"1 image could not be read and counted for nothing: {data}/shards/train-0.tar#005.jpg" in result.stderr
    assert json.loads((out / "config.json").read_text())["maezoo"]["preprocess"]["window"] == "auto"
