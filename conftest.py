"""The snippets of README and docs are tests: sybil collects them, each page in a folder of its own with photographs.

Blocks marked `python` and `bash` are run, each on its own, so that a reader may copy any one of them. What needs the
public hub is marked `python no-run`.
"""

import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from PIL import Image
from sybil import Example, Sybil
from sybil.evaluators.python import PythonEvaluator
from sybil.parsers.markdown import CodeBlockParser

from tests.conftest import clean_environment  # noqa: F401 - each page is read in a clean environment, too

PHOTOS = Path(__file__).parent / "tests" / "data" / "photos"


def lay_the_desk(namespace: dict[str, object]) -> None:
    """Enter a folder with some photographs, as users have; all else comes from `maezoo.sample`."""
    desk = Path(tempfile.mkdtemp(prefix="maezoo-page-"))
    (desk / "photos").mkdir()
    for name, source in zip(("cat", "dog", "photo"), sorted(PHOTOS.glob("*.jpg")), strict=False):
        with Image.open(source) as image:
            image.save(desk / "photos" / f"{name}.jpg")
            for number in range(2):
                folder = desk / "photos_by_class" / name
                folder.mkdir(parents=True, exist_ok=True)
                image.save(folder / f"{number}.jpg")
    namespace["desk"] = desk, Path.cwd()
    os.chdir(desk)


def clear_the_desk(namespace: dict[str, object]) -> None:
    """Leave the folder and remove it."""
    desk, before = namespace["desk"]
    os.chdir(before)
    shutil.rmtree(desk, ignore_errors=True)  # Windows keeps files that are still mapped


def run_python(example: Example) -> None:
    """Run a block with no names of the blocks above it."""
    document, example.namespace = example.namespace, {"__name__": "page"}
    try:
        PythonEvaluator()(example)
    finally:
        example.namespace = document


def run_commands(example: Example) -> None:
    """Run each line as a shell does; the programs are those next to this Python."""
    for line in filter(None, example.parsed.splitlines()):
        program, *arguments = shlex.split(line, comments=True)
        path = Path(sys.executable).with_name(program)
        done = subprocess.run([str(path), *arguments], capture_output=True, text=True, check=False, encoding="utf-8")
        assert done.returncode == 0, f"{line}\n{done.stderr}"


pytest_collect_file = Sybil(
    parsers=[CodeBlockParser("python", run_python), CodeBlockParser("bash", run_commands)],
    patterns=["README.md", "docs/**/*.md", "docs/*.md"],
    excludes=["docs/_*/**", "docs/gallery/**", "docs/reference/**"],
    setup=lay_the_desk,
    teardown=clear_the_desk,
    fixtures=["clean_environment"],
).pytest()


@pytest.hookimpl(tryfirst=True)
def pytest_ignore_collect(collection_path: Path) -> bool | None:
    """Leave out the site's own program and what a build wrote."""
    folder = collection_path.name if collection_path.parent.name == "docs" else ""
    return True if folder in ("_ext", "_examples", "gallery", "reference", "conf.py") else None
