"""Images in lists, tar shards, Parquet files and at URIs: the same pictures, the same steps, each fault its own."""

import io
import json
import tarfile
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from maezoo.cli import app
from maezoo.errors import DataError, SourceMissingError
from maezoo.images.cropping import open_crop
from maezoo.model import find_variant
from maezoo.training import ImageSource, ListedImages, Recipe, open_source, pretrain
from maezoo.training.pretraining import Pretraining
from maezoo.training.shape import find_shape
from maezoo.training.sources import retries
from maezoo.training.sources.shards import spelled_out
from maezoo.training.sources.views import Blocks, Crops, crop_box, draw_crops, draw_indices, step_generator

SMALL = replace(find_variant("mae_vit_tiny"), img_size=32, depth=1, embed_dim=48, decoder_depth=1, decoder_dim=48)
RECIPE = Recipe(views=32, batch_size=4, optimizer="adamw", precision="float32")
BROKEN = 5


def pictures() -> dict[str, bytes]:
    """Fourteen JPEGs, the sixth of which is none."""
    files = {}
    for number in range(14):
        rough = np.random.default_rng(number).integers(0, 255, (5, 7, 3), dtype=np.uint8)
        buffer = io.BytesIO()
        Image.fromarray(rough).resize((70, 50), Image.Resampling.BICUBIC).save(buffer, "JPEG")
        files[f"{number:03}.jpg"] = buffer.getvalue() if number != BROKEN else b"no picture"
    return files


def write_tar(path: Path, files: dict[str, bytes]) -> None:
    with tarfile.open(path, "w") as tar:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))


def part(files: dict[str, bytes], start: int, stop: int) -> dict[str, bytes]:
    return dict(list(files.items())[start:stop])


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """The same pictures as a folder, a list, two shards, and Parquet in row groups of four."""
    files = pictures()
    for folder in ("folder/deep", "shards", "tables"):
        (tmp_path / folder).mkdir(parents=True)
    for name, content in files.items():
        (tmp_path / "folder" / "deep" / name).write_bytes(content)
    (tmp_path / "list.txt").write_text("".join(f"folder/deep/{name}\n" for name in files))
    for shard, (start, stop) in enumerate([(0, 8), (8, 14)]):
        write_tar(tmp_path / "shards" / f"train-{shard}.tar", part(files, start, stop))
        rows = [{"bytes": content, "path": name} for name, content in part(files, start, stop).items()]
        table = pa.table({"image": rows, "label": [0] * len(rows)})
        pq.write_table(table, tmp_path / "tables" / f"{shard}.parquet", row_group_size=4)
    return tmp_path


def views(source: ImageSource, indices: list[int] | None = None) -> torch.Tensor:
    chosen = torch.tensor(range(len(source)) if indices is None else indices)
    return source.views(chosen, draw_crops(len(chosen), (0.2, 1.0), (0.75, 1.33), step_generator(3, 1)), 32)


def same(one: torch.Tensor, other: torch.Tensor) -> None:
    torch.testing.assert_close(one, other, rtol=0, atol=0, equal_nan=True)


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


def test_a_pack_with_a_damaged_image_loses_that_image(data: Path) -> None:
    squares = []
    for name, content in pictures().items():
        buffer = io.BytesIO()
        if name != f"{BROKEN:03}.jpg":
            Image.open(io.BytesIO(content)).resize((32, 32)).save(buffer, "PNG")
        squares.append(buffer.getvalue())
    ends = np.cumsum([0, *map(len, squares)])
    np.savez(data / "pack.npz", blob=np.frombuffer(b"".join(squares), np.uint8), offset=ends)
    source = open_source(data / "pack.npz")
    assert views(source).isnan().flatten(1).all(1).nonzero().tolist() == [[BROKEN]]
    assert list(source.left_out()) == [f"{data / 'pack.npz'}#{BROKEN}"]
    with pytest.raises(DataError, match="mixed"):
        open_source(data / "pack.npz", data / "folder")


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


@pytest.mark.parametrize(("together", "images"), [(1, 23), (3, 23), (99, 23)])
def test_an_order_by_blocks_shows_each_image_once_and_few_blocks_at_a_time(together: int, images: int) -> None:
    blocks = Blocks(torch.arange(images) // 4, together)
    order = torch.cat([draw_indices(images, 1, step, 0, blocks) for step in range(2 * images)])
    for epoch in (order[:images], order[images:]):
        assert sorted(epoch.tolist()) == list(range(images))
        for start in range(0, images - 4 * together, 4 * together):
            assert len(set((epoch[start : start + 4] // 4).tolist())) <= 2 * together
    assert order[:images].tolist() != order[images:].tolist()


def test_braces_and_stars() -> None:
    assert spelled_out("s3://b/{a,c}-{8..10}.tar") == [f"s3://b/{x}-{n}.tar" for x in "ac" for n in (8, 9, 10)]
    assert spelled_out("s3://b/{008..010}.tar") == [f"s3://b/{n}.tar" for n in ("008", "009", "010")]
    assert spelled_out("s3://b/{one}.tar") == ["s3://b/{one}.tar"]
    with pytest.raises(ValueError, match="stands for"):
        spelled_out("x-{0..99999999}.tar")


@pytest.mark.parametrize("turn", [1, 6])
def test_a_large_jpeg_is_decoded_at_the_scale_that_its_crop_allows(tmp_path: Path, turn: int) -> None:
    y, x = np.mgrid[0:640, 0:800]
    picture = Image.fromarray(np.stack([x // 4, y // 4, (x + y) // 8], axis=2).astype(np.uint8))
    exif = Image.Exif()
    exif[0x0112] = turn
    picture.save(tmp_path / "large.jpg", quality=95, exif=exif)
    picture.save(tmp_path / "large.png", exif=exif)
    seen: list[tuple[int, int]] = []

    def box(area: float, width: int, height: int) -> tuple[float, float, float, float]:
        seen.append((width, height))
        return crop_box(area, 1.1, 0.3, 0.6, width, height)

    for area, side in ((1.0, 100), (0.1, 400), (0.01, 800)):
        crops = [open_crop(tmp_path / f"large.{end}", 64, lambda *s, a=area: box(a, *s)) for end in ("jpg", "png")]
        assert seen[1] == ((side, side * 4 // 5) if turn == 1 else (side * 4 // 5, side))
        one, other = (np.asarray(crop).astype(float) for crop in crops)
        assert np.abs(one - other).mean() < 2
        seen.clear()


class _Web(BaseHTTPRequestHandler):
    """Sends parts of files where it may; what is in `failing` is refused so many times first."""

    def do_GET(self) -> None:
        content = self.server.files.get(self.path)
        if content is None:
            self.send_error(404)
            return
        if self.server.failing.get(self.path, 0) > 0 and self.server.armed:
            self.server.failing[self.path] -= 1
            self.send_error(503)
            return
        asked = self.headers.get("Range") if self.server.parts else None
        if asked:
            first, last = (int(each) for each in asked.removeprefix("bytes=").split("-"))
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {first}-{last}/{len(content)}")
            content = content[first : last + 1]
        else:
            self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def web(data: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ThreadingHTTPServer]:
    """A web server on this machine."""
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(retries, "_WAITS", (0.0, 0.0))
    with ThreadingHTTPServer(("127.0.0.1", 0), _Web) as serving:
        serving.files = {f"/{path.name}": path.read_bytes() for path in (data / "shards").iterdir()}
        serving.files |= {f"/{path.name}": path.read_bytes() for path in (data / "tables").iterdir()}
        serving.files |= {f"/{name}": content for name, content in pictures().items()}
        serving.failing, serving.armed, serving.parts = {}, True, True
        serving.url = f"http://127.0.0.1:{serving.server_address[1]}"
        thread = threading.Thread(target=serving.serve_forever)
        thread.start()
        yield serving
        serving.shutdown()
        thread.join()


@pytest.mark.parametrize("parts", [True, False])
@pytest.mark.parametrize("names", ["train-{0..1}.tar", "{0..1}.parquet"])
def test_shards_on_a_web_server_give_the_same_pictures(
    web: ThreadingHTTPServer, data: Path, names: str, parts: bool
) -> None:
    web.parts = parts
    same(views(open_source(f"{web.url}/{names}", folder=data / "kept")), views(open_source(data / "folder")))
    if not parts:
        with pytest.raises(DataError, match="sends whole files only"):
            open_source(f"{web.url}/{names}")


def test_a_server_that_fails_for_a_while_costs_nothing(web: ThreadingHTTPServer, data: Path) -> None:
    (data / "urls.txt").write_text("".join(f"{web.url}/{name}\n" for name in pictures()))
    web.failing = {"/002.jpg": 2, "/train-0.tar": 1}
    source = open_source(data / "urls.txt")
    same(views(source), views(open_source(data / "folder")))
    assert len(open_source(f"{web.url}/train-0.tar")) == 8


def test_a_server_that_goes_on_failing_is_named_and_the_same_command_resumes(
    web: ThreadingHTTPServer, data: Path
) -> None:
    whole = pretrain(RECIPE, open_source(f"{web.url}/train-1.tar"), data / "whole", variant=SMALL, device="cpu")
    web.armed = False
    web.failing = {"/train-1.tar": 10**6}

    def fail(progress: object) -> None:
        web.armed = True

    settings = {"variant": SMALL, "device": "cpu", "checkpoint_seconds": 0, "report": fail, "report_every": 3}
    with pytest.raises(OSError, match=r"train-1\.tar.* cannot be read for now, after 3 tries.*503.*same command"):
        pretrain(RECIPE, open_source(f"{web.url}/train-1.tar"), data / "out", **settings)
    web.armed = False
    resumed = pretrain(RECIPE, open_source(f"{web.url}/train-1.tar"), data / "out", variant=SMALL, device="cpu")
    assert all(torch.equal(value, resumed.state_dict()[name]) for name, value in whole.state_dict().items())


def test_what_is_gone_from_a_server_is_left_out(web: ThreadingHTTPServer, data: Path) -> None:
    names = [*pictures()][:5]
    (data / "urls.txt").write_text("".join(f"{web.url}/{name}\n" for name in [*names, "gone.jpg"]))
    source = open_source(data / "urls.txt")
    assert views(source)[5].isnan().all()
    assert list(source.left_out()) == [f"{web.url}/gone.jpg"]


def test_the_command_line_names_what_it_left_out(data: Path) -> None:
    out = data / "out"
    run = ["pretrain", str(data / "shards"), "-o", str(out), "--views", "14", "--batch-size", "7"]
    result = CliRunner().invoke(app, [*run, "--optimizer", "adamw", "--precision", "float32", "--window", "auto"])
    assert result.exit_code == 0, result.output
    assert f"1 image could not be read and counted for nothing: {data}/shards/train-0.tar#005.jpg" in result.stderr
    assert json.loads((out / "config.json").read_text())["maezoo"]["preprocess"]["window"] == "auto"


def test_whole_crops_of_any_size_are_the_picture(tmp_path: Path) -> None:
    Image.new("L", (5, 3), 200).save(tmp_path / "small.png")
    whole = Crops(*(torch.tensor([value]) for value in (1.0, 9.0, 0.5, 0.5)), flip=torch.tensor([True]))
    view = open_source(tmp_path).views(torch.tensor([0]), whole, 32)
    torch.testing.assert_close(view, torch.full((1, 3, 32, 32), 200 / 255))
