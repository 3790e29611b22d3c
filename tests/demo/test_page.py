import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from maezoo.demo import markup
from maezoo.demo.studio import Request, Studio, read_photo

pytest.importorskip("matplotlib")

SETTINGS = ("mae_vit_tiny.photos_pixel", 75, "random", 0, "full", 6)


@pytest.fixture(scope="module")
def studio() -> Studio:
    return Studio("cpu")


@pytest.fixture
def handlers(studio):
    pytest.importorskip("gradio", reason="the page needs the extra 'demo'")
    from maezoo.demo.handlers import Handlers

    return Handlers(studio)


def test_pictures_travel_inside_the_page(studio, photos):
    view = studio.look(Request(photo=read_photo(photos[0])))
    html = markup.board(view) + markup.panels(view) + markup.samples()
    sources = re.findall(r'(?:src|href)="([^"]{0,22})', html)
    assert len(sources) >= 1 + 6 + 3 + 1 + 5
    assert all(source.startswith("data:image/") for source in sources)
    assert html.count("<img") == html.count("alt=")


def test_words_are_escaped(studio, photos):
    view = studio.look(Request(photo=read_photo(photos[0])))
    assert "<script>" not in markup.failure("<script>x</script>")
    assert "<b>" not in markup.report(view, "model", "<b>.jpg")


def test_the_first_page_shows_a_sample(handlers):
    state, board, panels, message, _ = handlers.show(None, *SETTINGS)
    assert state.name == "coffee"
    assert 'data-rows="12"' in board
    assert panels.count("<figure>") == 6 + 3
    assert "108 of 144" in message


def test_a_click_hides_a_seen_patch_and_shows_a_hidden_one(handlers):
    state, *_ = handlers.show(None, *SETTINGS)
    none_hidden = (SETTINGS[0], 0, *SETTINGS[2:])
    state, _, _, message, _ = handlers.click([[0, 0], [0, 1], [11, 11]], True, state, *none_hidden)
    assert state.painted == {0, 1, 143}
    assert "3 of 144" in message
    state, _, _, message, _ = handlers.click([[0, 1], [5, 5]], True, state, *none_hidden)
    assert state.painted == {0, 143}
    state, _, _, message, _ = handlers.redraw(state, *SETTINGS)
    assert state.painted is None
    assert "108 of 144" in message


def test_a_click_can_ask_for_likes_instead(handlers):
    state, *_ = handlers.show(None, *SETTINGS)
    state, board, panels, *_ = handlers.click([[3, 4]], False, state, *SETTINGS)
    assert state.painted is None
    assert 'data-row="3" data-column="4"' in board
    assert "similarity to (3, 4)" in panels


@pytest.mark.parametrize("patches", [None, [], [[99, 99]], [[-1, 0]]])
def test_strange_clicks_change_nothing(handlers, patches):
    state, *_ = handlers.show(None, *SETTINGS)
    _, _, _, message, _ = handlers.click(patches, True, state, *SETTINGS)
    assert "108 of 144" in message
    assert "failure" not in message


def test_an_upload_is_read_and_deleted(handlers, photos, tmp_path):
    path = tmp_path / "mine.jpg"
    path.write_bytes(photos[1].read_bytes())
    state, _, _, message, _, emptied = handlers.upload(str(path), None, *SETTINGS)
    assert state.name == "mine.jpg"
    assert "mine.jpg" in message
    assert emptied is None
    assert not path.exists()


def test_a_broken_upload_is_said_in_words_and_deleted(handlers, tmp_path):
    path = tmp_path / "broken.jpg"
    path.write_bytes(b"nothing of a photo")
    *_, message, _, emptied = handlers.upload(str(path), None, *SETTINGS)
    assert "mz-failure" in message
    assert "broken.jpg" in message
    assert str(tmp_path) not in message
    assert emptied is None
    assert not path.exists()


def dark(path: Path) -> Path:
    """A picture of 16 bits that uses 12 of them, as cameras of microscopes and scanners write it."""
    Image.fromarray(np.linspace(0, 3000, 96 * 96).reshape(96, 96).astype(np.uint16)).save(path)
    return path


def seen_through(window: str) -> tuple:
    return (*SETTINGS[:4], window, SETTINGS[5])


def test_another_window_shows_an_uploaded_picture_of_16_bits_as_the_api_does(handlers, tmp_path):
    state, _, _, message, *_ = handlers.upload(str(dark(tmp_path / "scan.png")), None, *SETTINGS)
    assert state.photo.getextrema()[0] == (0, 11)
    assert "choose other values for black and white" in message
    state, *_ = handlers.click([[2, 3]], False, state, *SETTINGS)
    for window, brightest in (("percentiles", 255), ("0,6000", 127), ("full", 11)):
        state, board, _, message, _ = handlers.show(state, *seen_through(window))
        assert state.photo.getextrema()[0] == (0, brightest)
        assert 'data-row="2" data-column="3"' in board
        assert ("choose other" in message) == (window == "full")


def test_a_window_that_is_none_is_said_in_words_and_the_picture_stays(handlers, tmp_path):
    state, *_ = handlers.upload(str(dark(tmp_path / "scan.png")), None, *SETTINGS)
    *_, message, _ = handlers.show(state, *seen_through("240,-160"))
    assert "LOW,HIGH" in message
    _, _, _, message, _ = handlers.show(state, *SETTINGS)
    assert "scan.png" in message


def test_of_a_photo_of_8_bits_no_second_copy_is_kept(handlers, photos, tmp_path):
    path = tmp_path / "mine.jpg"
    path.write_bytes(photos[1].read_bytes())
    state, *_ = handlers.upload(str(path), None, *SETTINGS)
    assert state.file is None


def test_an_unknown_or_unreachable_model_is_said_in_words(handlers, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    *_, message, _ = handlers.change_model(None, "mae_vit_huge.in1k_pixel", *SETTINGS[1:])
    assert "mz-failure" in message
    *_, message, _ = handlers.change_model(None, "no_such_model", *SETTINGS[1:])
    assert "Unknown" in message


def test_scripts_and_styles_ask_no_one_else():
    folder = Path(markup.__file__).parent
    for path in (*folder.glob("*.js"), *folder.glob("*.css")):
        assert "http" not in path.read_text(encoding="utf-8")
