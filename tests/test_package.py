"""What is built is whole."""

import inspect
import os
import pydoc
import re
import subprocess
import sys
import zipfile
from pathlib import Path
from types import ModuleType

import pytest

import maezoo

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (path,) = folder.glob("*.whl")
    return path


def test_the_wheel_has_all_that_is_needed(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as file:
        names = set(file.namelist())
    for needed in (
        "weights_manifest.json",
        "py.typed",
        "checkpoints/mae_vit_tiny.safetensors",
        "images/samples/coffee.jpg",
        "images/samples/README.md",
        "api/mae.py",
        "cli/commands.py",
    ):
        assert f"maezoo/{needed}" in names
    assert not [name for name in names if name.startswith(("tests", "docs", "benchmarks", "examples"))]
    sources = {str(p.relative_to(ROOT)).replace("\\", "/") for p in (ROOT / "maezoo").rglob("*.py")}
    assert sources <= names


def test_the_wheel_is_small(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as file:
        assert file.getinfo("maezoo/checkpoints/mae_vit_tiny.safetensors").file_size <= 12e6
    assert wheel.stat().st_size < 13e6


def test_the_wheel_works_away_from_the_checkout(wheel: Path, tmp_path: Path) -> None:
    """Unpacked elsewhere, with no checkout in sight, it creates the bundled model."""
    with zipfile.ZipFile(wheel) as file:
        file.extractall(tmp_path / "site")
    program = (
        "import sys; sys.path.insert(0, 'site'); import maezoo; from pathlib import Path;"
        "home = Path(maezoo.__file__).resolve(); assert home.is_relative_to(Path(sys.argv[1]).resolve()), home;"
        "model = maezoo.create('mae_vit_tiny', pretrained=True, device='cpu');"
        "print(model.name, maezoo.info('mae_vit_base').revision)"
    )
    command = [sys.executable, "-P", "-c", program, str(tmp_path)] if sys.version_info >= (3, 11) else [
        sys.executable, "-c", program, str(tmp_path)
    ]  # fmt: skip
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[0] == "mae_vit_tiny.photos_pixel"


_USED = """
import sys, maezoo
before = set(sys.modules)
heavy = {"torch", "timm", "numpy", "PIL", "huggingface_hub", "safetensors", "matplotlib", "pyarrow", "gradio"}
assert not heavy & before, heavy & before
assert sys.argv[1] in dir(maezoo)
module = getattr(maezoo, sys.argv[1])
assert module.__name__ == f"maezoo.{sys.argv[1]}", module
assert {*getattr(module, "__all__", ())} <= {*dir(module)}
"""


@pytest.mark.parametrize(
    "name",
    [
        "checkpoints",
        "demo",
        "engines",
        "errors",
        "evaluation",
        "extraction",
        "figures",
        "hardware",
        "hub",
        "images",
        "manifest",
        "masks",
        "model",
        "training",
        "vocabulary",
    ],
)
def test_a_package_is_an_attribute_of_maezoo_and_imported_when_it_is_used(tmp_path: Path, name: str) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", _USED, name]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", [name for name in maezoo.__all__ if isinstance(getattr(maezoo, name), ModuleType)])
def test_a_package_shows_its_public_names_alone(name: str) -> None:
    module = getattr(maezoo, name)
    assert {each for each in dir(module) if not each.startswith("__")} == set(module.__all__)
    assert all(hasattr(module, each) for each in module.__all__)


def test_help_begins_with_every_public_name() -> None:
    first = pydoc.render_doc(maezoo, renderer=pydoc.plaintext).partition("PACKAGE CONTENTS")[0]
    assert not {name for name in maezoo.__all__ if not re.search(rf"\b{name}\b", first)}
    assert set(dir(maezoo)) == set(maezoo.__all__)


def test_signatures_are_short() -> None:
    assert str(inspect.signature(maezoo.MAE.features)).startswith("(self, images: ImageLikes, *, pool: ")


def test_what_is_no_name_of_maezoo_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="No maezoo attribute nothing"):
        _ = maezoo.nothing  # type: ignore[attr-defined]
