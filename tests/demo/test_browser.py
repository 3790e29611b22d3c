"""The page in a real browser."""

import io
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ..images.test_dicom import dicom

FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
CHROMIUM = next((path for path in map(shutil.which, BROWSERS) if path), None)

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason=f"no browser found: none of {', '.join(BROWSERS)} on the PATH")


@pytest.fixture(scope="module")
def browser():
    playwright = pytest.importorskip("playwright.sync_api", reason="Playwright drives the browser")
    with playwright.sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield chromium
        chromium.close()


@pytest.fixture
def page(browser, address):
    """A loaded page; what it asked of others and complained of is looked at when the test is over."""
    context = browser.new_context(viewport={"width": 1280, "height": 900}, accept_downloads=True)
    page = context.new_page()
    page.set_default_timeout(20_000)
    asked, errors = [], []
    page.on("request", lambda request: asked.append(request.url))
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(address)
    page.wait_for_selector(".mz-board img")
    yield page
    context.close()
    assert not [url for url in asked if not url.startswith((address, "data:", "blob:"))]
    assert not errors


def told(page) -> str:
    return page.inner_text("#message")


def wait_until_told(page, words: str) -> str:
    page.wait_for_function("words => document.querySelector('#message').innerText.includes(words)", arg=words)
    return told(page)


def click_patch(page, row: int, column: int) -> None:
    box = page.locator(".mz-board").bounding_box()
    page.mouse.click(box["x"] + (column + 0.5) * box["width"] / 12, box["y"] + (row + 0.5) * box["height"] / 12)


def shown(page) -> list[str]:
    return page.eval_on_selector_all("#panels figcaption", "all => all.map(one => one.innerText)")


def test_it_loads_with_a_sample_and_its_pictures(page):
    assert "coffee: 108 of 144 patches hidden (75%)" in told(page)
    assert shown(page)[:3] == ["original", "masked", "reconstruction"]
    sizes = page.eval_on_selector_all("#panels img", "all => all.map(one => one.naturalWidth)")
    assert len(sizes) == 9
    assert all(sizes)


def test_the_ratio_changes(page):
    page.locator("#ratio input[type=number]").fill("50")
    page.locator("#ratio input[type=number]").press("Enter")
    assert re.search(r"\d+ ms", wait_until_told(page, "72 of 144"))


def test_strategy_and_seed(page):
    before = page.get_attribute(".mz-board img", "src")
    page.locator("#strategy").get_by_text("grid").click()
    page.wait_for_function("src => document.querySelector('.mz-board img').src !== src", arg=before)
    page.locator("#strategy").get_by_text("random").click()
    page.wait_for_function("src => document.querySelector('.mz-board img').src === src", arg=before)
    page.click("#fresh")
    page.wait_for_function("src => document.querySelector('.mz-board img').src !== src", arg=before)


def test_patches_are_painted_by_clicks_and_strokes(page):
    page.locator("#ratio input[type=number]").fill("0")
    page.locator("#ratio input[type=number]").press("Enter")
    wait_until_told(page, "0 of 144")
    click_patch(page, 2, 3)
    wait_until_told(page, "1 of 144")
    box = page.locator(".mz-board").bounding_box()
    side = box["width"] / 12
    page.mouse.move(box["x"] + 4.5 * side, box["y"] + 6.5 * side)
    page.mouse.down()
    page.mouse.move(box["x"] + 8.5 * side, box["y"] + 6.5 * side, steps=30)
    page.mouse.up()
    wait_until_told(page, "6 of 144")
    click_patch(page, 2, 3)
    wait_until_told(page, "5 of 144")


def test_the_keyboard_paints_too(page):
    page.locator("#ratio input[type=number]").fill("0")
    page.locator("#ratio input[type=number]").press("Enter")
    wait_until_told(page, "0 of 144")
    page.focus(".mz-board")
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("Enter")
    wait_until_told(page, "1 of 144")
    assert page.get_attribute(".mz-board", "data-column") == "5"


def test_a_click_shows_what_is_alike(page):
    page.locator("#action").get_by_text("shows similar patches").click()
    click_patch(page, 1, 9)
    page.wait_for_function("() => document.querySelector('#panels').innerText.includes('similarity to (1, 9)')")
    assert "108 of 144" in told(page)


def test_a_sample_is_chosen(page):
    page.click("[data-sample=lighthouse]")
    wait_until_told(page, "lighthouse: 108 of 144")


def test_a_photo_is_uploaded_and_not_kept(page, photos, served):
    page.set_input_files("#upload input[type=file]", str(photos[0]))
    wait_until_told(page, "astronaut.jpg: 108 of 144")
    left = [path for path in served.scratch.rglob("*") if path.is_file() and path.stat().st_size]
    assert left == []


def test_a_dark_scan_is_brightened_by_another_window(page, tmp_path):
    path = tmp_path / "scan.dcm"
    path.write_bytes(dicom(np.linspace(0, 3000, 96 * 96).reshape(96, 96).astype(np.uint16)))
    page.set_input_files("#upload input[type=file]", str(path))
    wait_until_told(page, "choose other values for black and white")
    before = page.get_attribute(".mz-board img", "src")
    page.locator("#window input").fill("0,4095")
    page.locator("#window input").press("Enter")
    page.wait_for_function("src => document.querySelector('.mz-board img').src !== src", arg=before)
    assert told(page).startswith("scan.dcm: 108 of 144")
    assert "choose other" not in told(page)


def test_a_broken_file_is_answered_in_words(page, tmp_path):
    path = tmp_path / "broken.jpg"
    path.write_bytes(b"\xff\xd8\xff\xe0 this is no photo")
    page.set_input_files("#upload input[type=file]", str(path))
    said = wait_until_told(page, "broken.jpg")
    assert "cannot be read" in said
    assert page.locator("#message [role=alert]").count() == 1
    page.click("[data-sample=hats]")  # and the page goes on
    wait_until_told(page, "hats: 108 of 144")


def test_the_strip_is_downloaded(page):
    with page.expect_download() as download:
        page.click(".mz-download")
    assert download.value.suggested_filename == "maezoo.png"
    with Image.open(io.BytesIO(Path(download.value.path()).read_bytes())) as strip:
        assert strip.size == (296, 96)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_a_phone(browser, address, scheme):
    context = browser.new_context(viewport={"width": 390, "height": 844}, color_scheme=scheme, has_touch=True)
    page = context.new_page()
    page.goto(address)
    page.wait_for_selector(".mz-board img")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    before = page.get_attribute(".mz-board img", "src")
    box = page.locator(".mz-board").bounding_box()
    page.touchscreen.tap(box["x"] + box["width"] / 24, box["y"] + box["height"] / 24)
    page.wait_for_function("src => document.querySelector('.mz-board img').src !== src", arg=before)
    context.close()
