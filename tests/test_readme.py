"""README and docs: what they show runs, what they list is so. (Blocks marked `python no-run` need the public hub.)"""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def blocks(language: str) -> list[object]:
    found = []
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for match in re.finditer(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
            line = text[: match.start()].count("\n") + 1
            found.append(pytest.param(match[1], id=f"{page.relative_to(ROOT)}:{line}"))
    return found


@pytest.fixture
def desk(tmp_path: Path, photos: list[Path], monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the photographs that the pages speak of."""
    (tmp_path / "photos").mkdir()
    for name, source in zip(("cat", "dog", "photo"), photos, strict=False):
        with Image.open(source) as image:
            image.save(tmp_path / f"{name}.jpg")
            image.save(tmp_path / "photos" / f"{name}.jpg")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("code", blocks("python"))
def test_python_runs(code: str, desk: Path) -> None:
    exec(compile(code, "page", "exec"), {"__name__": "page"})


@pytest.mark.parametrize("code", blocks("bash"))
def test_commands_run(code: str, desk: Path) -> None:
    for line in filter(None, code.splitlines()):
        program, *arguments = shlex.split(line, comments=True)
        path = Path(sys.executable).with_name(program)
        done = subprocess.run([str(path), *arguments], capture_output=True, text=True, check=False, encoding="utf-8")
        assert done.returncode == 0, f"{line}\n{done.stderr}"


def test_the_table_of_models_is_the_manifests() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    shown = re.search(r"<!-- models: (.*?) -->\n\n?(.*?)\n?<!-- end -->", text, re.DOTALL)
    assert shown
    program, *arguments = shlex.split(shown[1])
    command = [str(Path(sys.executable).with_name(program)), *arguments]
    made = subprocess.run(command, capture_output=True, text=True, check=True, encoding="utf-8").stdout
    assert shown[2].strip() == made.strip()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?:|#|mailto:)([^)#]+)", page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), target
