"""Draw every picture of the docs again: `python -m benchmarks.drawings.pictures`.

It needs the extras `figures`, `eval` and `demo`, and for the demo page Playwright and a Chromium.

The pictures show the bundled weights and the photographs of `tests/data/photos`. Draw them again after a change of
either.
"""

import importlib.util
import shutil
import tempfile
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any, Literal

import numpy as np
from matplotlib import rc_context
from PIL import Image
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import maezoo
from maezoo import figures

ROOT = Path(__file__).parents[2]
TARGET = ROOT / "docs" / "images"
PHOTOS = {path.stem: path for path in sorted((ROOT / "tests" / "data" / "photos").glob("*.jpg"))}
LARGEST = 300_000  # bytes of a file
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]


def main() -> None:
    """Draw all pictures and print the size of each."""
    model = maezoo.create("mae_vit_tiny", pretrained=True)
    wide = maezoo.create("mae_vit_tiny", pretrained=True, img_size=(96, 144))
    photos, names = list(PHOTOS.values()), list(PHOTOS)
    lying = [PHOTOS["coffee"], PHOTOS["hats"]]

    keep("strip", model.reconstruct(PHOTOS["coffee"])._repr_png_())
    keep("reconstruction", figures.plot_reconstruction(model.reconstruct(photos), captions=names))
    keep("wide", figures.plot_reconstruction(wide.reconstruct(lying, strategy="block", mask_ratio=0.5)))
    keep("whole", figures.plot_whole(maezoo.reconstruct_all(model, photos, rounds=4), captions=names))
    keep("attention", figures.plot_attention(model, PHOTOS["astronaut"], layers=(0, 2, 5)))
    keep("similarity", figures.plot_similarity(model, PHOTOS["coffee"], [(5, 5), (9, 1), (1, 1)]))
    keep("components", figures.plot_components(model, photos, captions=names, layer=2))
    draw_paper(model)
    draw_patches(model)
    draw_examples()
    draw_page()


def draw_paper(model: maezoo.MAE) -> None:
    """Draw a figure as wide as a paper's column."""
    result = model.reconstruct([PHOTOS["coffee"], PHOTOS["hats"]])
    chosen = {"columns": ("original", "masked", "pasted"), "titles": ("original", "75 % hidden", "ours")}
    with rc_context({"font.size": 8, "font.family": "serif", "axes.titlesize": "medium", "savefig.dpi": 200}):
        keep("paper", figures.plot_reconstruction(result, **chosen, width=3.3))


def draw_patches(model: maezoo.MAE) -> None:
    """Ask a probe, fitted on parts of two photos, about the photos and about half of each."""
    names = ["coffee", "hats"]
    parts = [(part, name) for name in names for part in parts_of(PHOTOS[name])]
    probe = make_pipeline(StandardScaler(), LogisticRegression(C=0.1))
    probe.fit(model.features([part for part, _ in parts], pool="mean").numpy(), [name for _, name in parts])
    one, other = (Image.open(PHOTOS[name]).convert("RGB").resize((96, 96)) for name in names)
    half = one.copy()
    half.paste(other.crop((48, 0, 96, 96)), (48, 0))
    images = [one, other, half]
    look: dict[str, Any] = {"model": model, "captions": [*names, "half of each"]}
    added = figures.patch_contributions(model, images, probe).patches[:, 0]
    keep("contributions", figures.plot_map(images, added, label="part of the logit for hats", **look))
    drop = figures.patch_occlusion(model, images, probe.decision_function, pool="mean", block=3, step=1)
    keep("occlusion", figures.plot_map(images, drop, label="fall of the logit for hats", **look))


def parts_of(path: Path, count: int = 60) -> list[Image.Image]:
    """Return small parts of a photo."""
    photo, draw = Image.open(path).convert("RGB"), np.random.default_rng(0)
    side = min(photo.size) // 2
    corners = draw.integers(0, (photo.width - side + 1, photo.height - side + 1), size=(count, 2))
    return [photo.crop((x, y, x + side, y + side)) for x, y in corners.tolist()]


def draw_examples() -> None:
    """Run the examples and keep what they draw."""
    photos = list(PHOTOS.values())
    keep_example("quickstart", lambda main, output: main([PHOTOS["lighthouse"], *photos], output))
    keep_example("anomaly_map", lambda main, output: main(PHOTOS["lighthouse"], PHOTOS["astronaut"], output))
    keep_example("timm_backbone", lambda main, output: main(PHOTOS["lighthouse"], output))
    keep_example("mask_ratio_sweep", lambda main, output: main(photos, output))
    with tempfile.TemporaryDirectory() as folder:
        for name, path in PHOTOS.items():
            for number, part in enumerate(cut(path)):
                part.save(Path(folder) / f"{name}-{number}.png")
        keep_example("search", lambda main, output: main(Path(folder) / "hats-0.png", Path(folder), output, k=4))


def cut(path: Path) -> list[Image.Image]:
    """Return five overlapping parts of a photo."""
    with Image.open(path) as opened:
        photo = opened.convert("RGB")
    width, height = (round(side * 0.75) for side in photo.size)
    corners = [(x, y) for x in (0, photo.width - width) for y in (0, photo.height - height)]
    corners.append(((photo.width - width) // 2, (photo.height - height) // 2))
    return [photo.crop((x, y, x + width, y + height)) for x, y in corners]


def draw_page() -> None:
    """Take screenshots of the demo page, where there is a browser."""
    browser = next((path for path in map(shutil.which, BROWSERS) if path), None)
    if browser is None:
        print("no Chromium: the pictures of the demo page stay as they are")
        return
    from playwright.sync_api import sync_playwright

    from maezoo.demo import served

    shots: dict[str, tuple[tuple[int, int], Literal["light", "dark"]]] = {
        "demo": ((1180, 1120), "light"),
        "demo_dark": ((1180, 1120), "dark"),
        "demo_phone": ((390, 844), "light"),
    }
    with served() as address, sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=browser, args=FLAGS)
        for name, ((width, height), scheme) in shots.items():
            page = chromium.new_page(viewport={"width": width, "height": height}, color_scheme=scheme)
            page.goto(address)
            page.wait_for_selector(".mz-board img")
            page.wait_for_timeout(500)
            keep(name, page.screenshot())
        chromium.close()


def keep_example(name: str, run: Callable[[Any, Path], Any]) -> None:
    """Run an example's main and keep its picture under the example's name."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "examples" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / f"{name}.png"
        run(example.main, output)
        keep(name, output.read_bytes())


def keep(name: str, picture: Any) -> None:
    """Write a figure, or the bytes of a picture, as a PNG; reduced to 256 colours where the file would be too large."""
    if not isinstance(picture, bytes):
        buffer = BytesIO()
        picture.savefig(buffer, format="png")
        picture = buffer.getvalue()
    image = Image.open(BytesIO(picture)).convert("RGB")
    path = TARGET / f"{name}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, optimize=True)
    if path.stat().st_size > LARGEST:
        image.quantize(256, method=Image.Quantize.MEDIANCUT, kmeans=2, dither=Image.Dither.NONE).save(
            path, optimize=True
        )
    print(f"{path.relative_to(ROOT)}  {image.width}x{image.height}  {path.stat().st_size // 1000} kB")


if __name__ == "__main__":
    main()
