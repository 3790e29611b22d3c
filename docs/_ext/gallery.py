"""The gallery: each script of `examples/` with a heading made of its docstring, run on the package's own photographs.

The scripts stay as they are: copies of them, with headings as sphinx-gallery asks for, are written to `_examples/`.
"""

import ast
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sphinx_gallery.scrapers import figure_rst

import maezoo
from maezoo.images import SAMPLES

EXAMPLES = Path(__file__).parent.parent.parent / "examples"
HEADING = """\
Examples
========

Short, complete programs, which the tests run. The first five were run for this page on the photographs that come with
the package. The pictures of the other fields were drawn before, and so were those of *detect* and *segment*, which
train for about a minute and a half.
"""
# What a script is called with when the site is built; the others are shown and not run.
ARGUMENTS = {
    "quickstart": ["photos/cat.jpg", "photos/coffee.jpg", "photos/rocket.jpg"],
    "search": ["photos/cat.jpg", "photos"],
    "mask_ratio_sweep": ["photos/cat.jpg", "photos/coffee.jpg"],
    "anomaly_map": ["photos/coffee.jpg", "photos/rocket.jpg"],
    "timm_backbone": ["photos/cat.jpg"],
}
FIELDS = ("satellite", "medical", "sound", "text")
STORED = {
    "detect": "boxes",
    "segment": "segments",
    "scenes": "segments",
    "scoring": "boxes",
    **{name: f"field_{name}" for name in FIELDS},
}
ORDER = [*ARGUMENTS, *FIELDS, "detect", "segment", "serve", "learning", "scenes", "scoring"]


def settings(docs: Path) -> dict[str, Any]:
    """Write `_examples/`, and return what sphinx-gallery is to do with it."""
    _copy(docs / "_examples")
    return {
        "examples_dirs": "_examples",
        "gallery_dirs": "gallery",
        "filename_pattern": rf"/({'|'.join(ARGUMENTS)})\.py$",
        "within_subsection_order": "gallery.order",
        "reset_argv": "gallery.arguments",
        "reset_modules": (),
        "image_scrapers": (pictures,),
        "capture_repr": (),
        "notebook_extensions": set(),
        "download_all_examples": False,
        "show_signature": False,
        "write_computation_times": False,  # that page loads scripts from elsewhere
        "remove_config_comments": True,
        "abort_on_example_error": True,
    }


def order(name: str) -> tuple[int, str]:
    """Sort the scripts: what runs in seconds first, what is part of others last."""
    stem = Path(name).stem
    return (ORDER.index(stem) if stem in ORDER else len(ARGUMENTS), stem)


def arguments(_: Mapping[str, Any], variables: Mapping[str, Any]) -> list[str]:
    """Return a script's arguments on the command line."""
    return ARGUMENTS.get(Path(variables["src_file"]).stem, [])


def pictures(_: object, variables: Mapping[str, Any], configuration: Mapping[str, Any]) -> str:
    """Take the pictures that a script wrote next to itself."""
    found = []
    for written in sorted(Path(variables["src_file"]).parent.glob("*.png")):
        target = variables["image_path_iterator"].next()
        shutil.move(written, target)
        found.append(target)
    return str(figure_rst(found, configuration["src_dir"]))


def _copy(folder: Path) -> None:
    """Write the photographs, the page's head, and each script with a heading."""
    (folder / "photos").mkdir(parents=True, exist_ok=True)
    (folder / "README.rst").write_text(HEADING, encoding="utf-8")
    for name in SAMPLES:
        photo = maezoo.sample(name)
        photo.save(folder / "photos" / f"{name}.jpg")
    cat = maezoo.sample("cat")
    cat.crop((0, 0, cat.width * 4 // 5, cat.height * 4 // 5)).save(folder / "photos" / "part_of_cat.jpg")
    for script in EXAMPLES.glob("*.py"):
        (folder / script.name).write_text(_with_heading(script), encoding="utf-8")


def _with_heading(script: Path) -> str:
    """Return a script whose docstring begins with a title: its first words, up to the colon or full stop."""
    source = script.read_text(encoding="utf-8")
    docstring = ast.get_docstring(ast.parse(source), clean=True) or script.stem
    title = re.split(r"[:.](?:\s|$)", docstring, maxsplit=1)[0].replace("\n", " ")
    body = re.sub(r"^((?:python|uvicorn|curl) .*)$", r"::\n\n    \1\n", docstring, flags=re.MULTILINE)
    head = [title, "=" * len(title), "", body]
    settings = ""
    if script.stem in STORED:
        head += ["", f".. image:: /images/{STORED[script.stem]}.png"]
        settings = f"# sphinx_gallery_thumbnail_path = 'images/{STORED[script.stem]}.png'\n"
    _, _, code = source.partition('"""')[2].partition('"""')
    return f'r"""\n{chr(10).join(head)}\n"""\n\n{settings}{code.lstrip()}'
