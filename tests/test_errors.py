"""The error tree is as its docstring draws it."""

import builtins
import re
from pathlib import Path

import pytest

from maezoo import errors
from maezoo.errors import MaezooError, UnknownModelError

DRAWN = re.findall(r"[├└]── (\w+) +\((\w+)\)", errors.__doc__ or "")


def test_every_error_is_drawn() -> None:
    assert {name for name, _ in DRAWN} | {"MaezooError", "RandomWeightsWarning"} == set(errors.__all__)
    assert "RandomWeightsWarning " in errors.__doc__


@pytest.mark.parametrize(("name", "builtin"), DRAWN)
def test_each_derives_from_both(name: str, builtin: str) -> None:
    error = getattr(errors, name)
    assert issubclass(error, MaezooError)
    assert issubclass(error, getattr(builtins, builtin))
    assert str(error("what was wrong")) == "what was wrong"


def test_suggestions() -> None:
    assert "Did you mean 'mae_vit_base'?" in str(UnknownModelError.for_name("mae_vit_bse", ["mae_vit_base", "resnet"]))
    assert "Known: a, b." in str(UnknownModelError.for_name("zzzzzz", ["b", "a"]))


def test_the_page_lists_every_error() -> None:
    page = (Path(__file__).parent.parent / "docs" / "errors.md").read_text(encoding="utf-8")
    assert re.findall(r"^\| `(\w+)` \| `(\w+)` \|", page, re.MULTILINE) == DRAWN
    names = set(re.findall(r"`(\w+)`", page.partition("parse it:")[2].partition(".")[0]))
    assert names == set(vars(MaezooError()))
