"""The site builds without a warning or a network, and its pages ask no other server for anything."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent

pytestmark = [pytest.mark.site, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("sphinx_gallery", reason="it is in the group docs")
    work = tmp_path_factory.mktemp("site")
    built = ("_examples", "gallery", "reference", "__pycache__", "build", "dist", "runs", "site", "*.egg-info")
    shutil.copytree(ROOT, work / "here", ignore=shutil.ignore_patterns(".*", *built), ignore_dangling_symlinks=True)
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "docs", str(work / "site")]
    paths = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = {**os.environ, "PYTHONPATH": paths}
    done = subprocess.run(command, cwd=work / "here", env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr
    return work / "site"


def test_nothing_is_loaded_from_another_server(site: Path) -> None:
    loaded = []
    for page in site.rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        tags = re.findall(r"<(?:script|img|iframe|link|source)\b[^>]*>", text)
        loaded += [(page.name, tag) for tag in tags if re.search(r"(?:src|href)=\"(?:https?:)?//", tag)]
    styles = [path.read_text(encoding="utf-8", errors="replace") for path in site.rglob("*.css")]
    assert not loaded
    assert not re.findall(r"(?:url\(|@import)\s*[\"']?(?:https?:)?//", "".join(styles))


@pytest.mark.parametrize("name", ["index", "choose", "reference/maezoo", "gallery/search", "notebooks/fine_tuning"])
def test_pages_are_there_with_their_pictures(site: Path, name: str) -> None:
    page = site / f"{name}.html"
    for source in re.findall(r"<img[^>]* src=\"([^\"]+)\"", page.read_text(encoding="utf-8")):
        assert source.startswith("data:") or (page.parent / source).exists(), source


def test_the_table_of_weights_has_every_one(site: Path) -> None:
    from maezoo.manifest import load_manifest

    text = (site / "choose.html").read_text(encoding="utf-8")
    assert [name for name in load_manifest().entries if name not in text] == []


def test_the_search_finds_words_without_a_server(site: Path) -> None:
    index = (site / "searchindex.js").read_text(encoding="utf-8")
    assert index.startswith("Search.setIndex(")
    assert '"mirror"' in index


def test_every_public_name_is_described_once(site: Path) -> None:
    import maezoo

    pages = {path.stem: path.read_text(encoding="utf-8") for path in (site / "reference").glob("*.html")}
    for name in ("maezoo.create", "maezoo.MAE", "maezoo.figures.plot_map", "maezoo.errors.ImageError"):
        assert sum(f'id="{name}"' in text for text in pages.values()) == 1, name
    assert set(pages) >= {"maezoo", "maezoo.training", "maezoo.model"}
    assert "index" in pages
    assert maezoo.__version__ in pages["index"]
