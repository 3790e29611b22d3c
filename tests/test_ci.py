"""The scripts in .ci/ that others rely on: the floors, the version, what is tried without each extra."""

import importlib.util
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
from packaging.requirements import Requirement

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parent.parent


def script(name: str) -> ModuleType:
    """Import a script of .ci/."""
    spec = importlib.util.spec_from_file_location(name, ROOT / ".ci" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("asked", "pinned"),
    [
        ("numpy>=1.26", "numpy==1.26"),
        ("numpy<3,>=1.26,!=1.26.1", "numpy==1.26"),
        ("numpy~=1.26", "numpy==1.26"),
        ("numpy==1.26.*", "numpy==1.26.*"),
        ("numpy>=1.9,>=1.10", "numpy==1.10"),
        ("numpy>=2.0rc1", "numpy==2.0rc1"),
        ("ray[data, tune]>=2.40; python_version < '3.14'", 'ray[data,tune]==2.40; python_version < "3.14"'),
    ],
)
def test_a_floor_is_the_oldest_version_that_is_admitted(asked: str, pinned: str) -> None:
    assert script("oldest").oldest(Requirement(asked)) == pinned


@pytest.mark.parametrize("asked", ["numpy", "numpy<3", "numpy>=1.26,!=1.26", "numpy>=2,<2"])
def test_a_dependency_without_a_floor_is_an_error(asked: str) -> None:
    with pytest.raises(SystemExit, match="floor"):
        script("oldest").oldest(Requirement(asked))


def test_one_floor_for_each_dependency_of_package_extras_and_tests() -> None:
    command = [sys.executable, ".ci/oldest.py", "pyproject.toml"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    pinned = [Requirement(line) for line in done.stdout.splitlines()]
    names = [each.name for each in pinned]
    assert len(set(names)) == len(names), "an extra and the test group name different floors"
    assert {"torch", "gradio", "transformers"} <= set(names)
    assert "maezoo" not in names


def test_every_extra_is_tried_without_it() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    assert set(script("smoke").WITHOUT) == set(extras) - {"all"}, "add a command that needs the extra to .ci/smoke.py"


def test_all_is_every_extra() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    (everything,) = extras["all"]
    named = Requirement(everything).extras
    brought = {
        extra for name in named for line in extras[name] for extra in Requirement(line).extras if "maezoo" in line
    }
    assert named | brought == set(extras) - {"all"}


def test_one_version_is_named_everywhere() -> None:
    def say(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, ".ci/version.py", *arguments]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)

    done = say()
    assert done.returncode == 0, done.stderr
    version = done.stdout.split()[1]
    listed = subprocess.run(
        ["git", "tag", "--points-at", "HEAD", "v*"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    for tag in listed.stdout.split():
        assert say(tag).returncode == 0, say(tag).stderr
    wrong = say("v99.0.0")
    assert wrong.returncode == 1
    assert f"name it v{version}" in wrong.stderr


def test_workflows_take_actions_by_a_version() -> None:
    for path in sorted((ROOT / ".github" / "workflows").glob("*.yml")):
        used = re.findall(r"uses: (\S+)", path.read_text(encoding="utf-8"))
        assert used, path
        assert all(re.fullmatch(r"[\w./-]+@(v\d[\w.]*|release/v\d+|[0-9a-f]{40})", each) for each in used), used
