"""A user without a home folder, as in some containers: the bundled model works, the rest says what to set."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

_PRELUDE = """
import pwd, sys

def nobody(*_):
    raise KeyError("uid not found")

pwd.getpwuid = nobody
import maezoo
from maezoo.errors import MaezooError
"""
_WORKS = """
import torch
model = maezoo.create("mae_vit_tiny", pretrained=True, device="cpu")
model.features(torch.zeros(1, 3, 96, 96))
model.optimize(engine="eager", batch_sizes=(1,))
assert maezoo.verify("mae_vit_tiny").results[0].status == "verified"
assert "mae_vit_base" in str(maezoo.list_pretrained())
from maezoo.manifest.licensing import acknowledge_license
acknowledge_license("mine", "cc-by-nc-4.0", None)
"""
_FETCHES = """
try:
    maezoo.fetch(sys.argv[1], offline=True)
except MaezooError as error:
    print(type(error).__name__, error)
"""
pytestmark = pytest.mark.skipif(os.name != "posix", reason="users are found otherwise there")


def run(folder: Path, program: str, *arguments: str, **environment: str) -> str:
    unset = ("HOME", "HF_HOME", "HF_HUB_CACHE", "XDG_CACHE_HOME", "MAEZOO_MANIFEST")
    variables = {name: value for name, value in os.environ.items() if name not in unset}
    done = subprocess.run(
        [sys.executable, "-c", _PRELUDE + program, *arguments],
        env={**variables, **environment},
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_bundled_model_works_and_leaves_no_folder_behind(tmp_path: Path) -> None:
    run(tmp_path, _WORKS)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["mae_vit_base.in1k_pixel", "mae_vit_base.in1k_normpix"])
def test_what_has_to_be_fetched_says_what_to_set(tmp_path: Path, name: str) -> None:
    assert "Set HF_HOME to a folder of yours" in run(tmp_path, _FETCHES, name)
    assert not list(tmp_path.iterdir())


def test_with_hf_home_everything_has_its_place(tmp_path: Path) -> None:
    place = {"HF_HOME": str(tmp_path / "mine")}
    run(tmp_path, _WORKS, **place)
    assert list((tmp_path / "mine/maezoo/engines").iterdir())
    assert run(tmp_path, _FETCHES, "mae_vit_base", **place).startswith("OfflineError")
