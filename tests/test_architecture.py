"""Imports go down the layers; pyproject.toml has the rules, CONTRIBUTING.md the picture."""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "maezoo"


def test_no_import_goes_up() -> None:
    program = "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports(no_cache=True))"
    # In a process of its own: it configures logging, which would switch off every logger that is there already.
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_folder_and_module_is_in_the_picture() -> None:
    picture = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    folders = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    modules = {path.stem for path in PACKAGE.glob("*.py")} - {"__init__", "__main__", "version"}
    shown = set(re.findall(r"[a-z_]+", picture.partition("```text\n")[2].partition("```")[0]))
    assert not (folders | modules) - shown
