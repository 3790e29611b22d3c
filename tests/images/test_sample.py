"""Photographs come with the package."""

from pathlib import Path

import pytest

import maezoo
from maezoo.errors import ArgumentError
from maezoo.images import SAMPLES

FOLDER = Path(maezoo.images.__file__).with_name("samples")


@pytest.mark.parametrize("name", SAMPLES)
def test_a_sample_is_a_picture_of_some_size(name):
    picture = maezoo.sample(name)
    assert picture.mode == ("L" if name == "camera" else "RGB")
    assert max(picture.size) > 400
    assert f"{picture.size[0]} x {picture.size[1]}" in maezoo.sample.__doc__


def test_every_file_has_an_author_and_a_licence_and_all_are_small():
    readme = (FOLDER / "README.md").read_text(encoding="utf-8")
    files = sorted(FOLDER.glob("*.jpg"))
    assert [file.stem for file in files] == sorted(SAMPLES)
    assert all(f"| `{file.stem}` |" in readme for file in files)
    assert sum(file.stat().st_size for file in files) < 400_000


def test_an_unknown_name_lists_what_there_is():
    with pytest.raises(ArgumentError, match="'coffee'") as raised:
        maezoo.sample("cofee")
    assert raised.value.suggestions[0] == "coffee"
