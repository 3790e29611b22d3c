"""Text: drawn as strips, one patch high; and what cannot be drawn."""

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from maezoo import Scene, Sound, Text
from maezoo.errors import ArgumentError, ImageError
from maezoo.images.batches import batches
from maezoo.images.preprocessing import Preprocessing

STRIP = Preprocessing((16, 8464), "squash", mean=(0.5,) * 3, std=(0.5,) * 3, kind="text")


def strip(given: Any) -> torch.Tensor:
    (found,) = batches(given, STRIP, 3, 8)
    return found[0]


def test_a_text_is_black_on_white_and_ends_in_a_black_patch() -> None:
    found = strip("Hello, world")
    assert found.dtype == torch.uint8
    assert found.shape[1] == 16
    assert found.shape[2] % 16 == 0
    assert (found[:, :, -16:] == 0).all()
    assert (found[:, :, :2] == 255).all()  # the margin
    ink = found[0, :, :-16] < 128
    assert 10 < ink.sum() < 400
    rows = torch.nonzero(ink.any(dim=1)).flatten()
    assert abs(float(rows.float().mean()) - 7.5) <= 1.5  # in the middle
    assert torch.equal(strip("  Hello,\n\tworld "), found)
    assert strip("Hello, world, and more").shape[2] > found.shape[2]


def test_accents_are_joined_with_their_letters(caplog: pytest.LogCaptureFixture) -> None:
    fonts = pytest.importorskip("matplotlib.font_manager")
    font = fonts.findfont("DejaVu Sans")  # it has them, Pillow's has not
    with caplog.at_level(logging.WARNING):
        assert torch.equal(
            strip(Text("cafe\u0301 a\u0308rger", font=font)), strip(Text("caf\u00e9 \u00e4rger", font=font))
        )
    assert not caplog.records
    assert Text("e\u0301 " * 9).windows()[0].text == " ".join("\u00e9" * 9)


def test_characters_without_a_shape_are_left_out() -> None:
    assert torch.equal(strip("\ufeffa\u200bb\u202e\x00c\u00ad"), strip("abc"))


def test_pairs_and_widths() -> None:
    one, pair = strip("one two"), strip(Text("one two", "three"))
    assert torch.equal(pair[:, :, : one.shape[2]], one)
    assert (pair[:, :, -16:] == 0).all()
    wide = strip(Text("one two", patches=529))
    assert wide.shape == (3, 16, 8464)
    assert torch.equal(wide[:, :, : one.shape[2]], one)
    assert (wide[:, :, one.shape[2] :] == 255).all()


def test_texts_of_one_width_are_a_batch_and_others_another() -> None:
    found = list(batches(["aa", "aa", "a much longer text", "aa"], STRIP, 3, 8))
    assert [len(batch) for batch in found] == [2, 1, 1]


def test_a_long_text_is_split_at_its_spaces() -> None:
    text = " ".join(f"word{number}" for number in range(900))
    parts = Text(text).windows()
    assert len(parts) > 2
    assert " ".join(part.text for part in parts) == text
    assert all(strip(part).shape[2] <= 8464 for part in parts)
    assert "".join(part.text for part in Text("x" * 3_000).windows(20)) == "x" * 3_000
    assert all(strip(part).shape[2] <= 320 for part in Text("wide words " * 50).windows(20))
    with pytest.raises(ArgumentError, match="at least 4"):
        Text("a").windows(2)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("", "image 0 is an empty text"),
        (" \n\x00", "empty text"),
        ("word " * 1_500, r"patches, and a strip holds 529 patches.*windows\(\)"),
        ("x" * 100_000, r"100,000 characters|patches.*windows\(\)"),
        (Text("two words", patches=2), "needs 6 patches, .* up to 529; got 2"),
        (Text("a", patches=530), "up to 529; got 530"),
        (Text("a", font="nowhere.ttf"), r"nowhere\.ttf cannot be opened"),
        (Text(3), "a text is a str"),  # type: ignore[arg-type]
        ("\U0001f680\U0001f9ff", r"none of its characters: .*U\+1F680.*MAEZOO_FONT"),
        (Image.new("RGB", (100, 16)), "100x16 pixels; this model takes texts, or strips"),
        (3, "image 0 is an int"),
        (Text("a", second=" "), "image 0 is an empty text"),
        (Text("word " * 700, "word " * 700), r"patches, and a strip holds 529 patches.*windows\(\)"),
        (Sound(np.zeros(9_000), 16_000), "is a Sound, and this model takes texts"),
        (Scene(np.zeros((16, 32, 3))), "is a Scene, and this model takes texts"),
    ],
)
def test_what_cannot_be_drawn_is_told_with_the_cure(given: Any, message: str) -> None:
    with pytest.raises(ImageError, match=message):
        list(batches([given], STRIP, 3, 8))


@pytest.mark.parametrize("patches", [0, True, 40.0, "40"])
def test_a_width_is_a_whole_number(patches: Any) -> None:
    with pytest.raises(ArgumentError, match="patches is a whole number"):
        Text("a", patches=patches)


def test_characters_without_a_glyph_are_told(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        strip("to the moon \U0001f680")
    assert "the font lacks \U0001f680 (U+1F680), which become boxes" in caplog.text


def test_files_of_text_strips_and_fonts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.txt").write_text("one two", encoding="utf-8-sig")
    assert torch.equal(strip(tmp_path / "a.txt"), strip("one two"))
    (tmp_path / "b.txt").write_bytes(b"\xff\xfe\xff")
    with pytest.raises(ImageError, match=r"b\.txt cannot be read as text"):
        strip(tmp_path / "b.txt")
    picture = Image.fromarray(strip("one two").permute(1, 2, 0).numpy())
    assert torch.equal(strip(picture), strip("one two"))
    (tmp_path / "broken.ttf").write_bytes(b"no font")
    monkeypatch.setenv("MAEZOO_FONT", str(tmp_path / "broken.ttf"))
    with pytest.raises(ImageError, match=r"broken\.ttf cannot be opened"):
        strip("one")


def test_an_array_is_a_strip() -> None:
    assert strip(np.full((16, 48, 3), 255, np.uint8)).shape == (3, 16, 48)
