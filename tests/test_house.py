"""Imports go down the floors of the house; pyproject.toml has the rules, CONTRIBUTING.md the picture."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "maezoo"


def test_no_arrow_runs_back_up(capsys: pytest.CaptureFixture[str]) -> None:
    from importlinter.cli import lint_imports

    code = lint_imports(str(ROOT / "pyproject.toml"), no_cache=True)
    assert code == 0, capsys.readouterr().out


def test_every_room_is_in_the_picture() -> None:
    picture = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    rooms = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    ground = {path.stem for path in PACKAGE.glob("*.py")} - {"__init__", "__main__", "version"}
    shown = set(re.findall(r"[a-z_]+", picture.partition("```text\n")[2].partition("```")[0]))
    assert not (rooms | ground) - shown
