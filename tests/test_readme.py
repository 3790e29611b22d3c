"""README and docs: what they list is so. (What they show is run by sybil: see `conftest.py` at the top.)"""

import importlib
import re
import shlex
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
import typer

import maezoo
from maezoo.cli import app
from maezoo.manifest import load_manifest

ROOT = Path(__file__).parent.parent
BUILT = {"_examples", "gallery", "reference"}  # by a build of the site
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
PAGES = [page for page in PAGES if not BUILT & set(page.relative_to(ROOT).parts)]


def test_the_table_of_models_is_the_manifests() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    shown = re.search(r"<!-- models: (.*?) -->\n\n?(.*?)\n?<!-- end -->", text, re.DOTALL)
    assert shown
    program, *arguments = shlex.split(shown[1])
    command = [str(Path(sys.executable).with_name(program)), *arguments]
    made = subprocess.run(command, capture_output=True, text=True, check=True, encoding="utf-8").stdout
    assert shown[2].strip() == made.strip()


def test_the_numbers_of_each_field_are_the_manifests() -> None:
    rows = re.findall(r"^\| (\w+) \| (\d+) \|", (ROOT / "README.md").read_text(encoding="utf-8"), re.MULTILINE)
    entries = load_manifest().entries.values()
    assert Counter({field: int(number) for field, number in rows}) == Counter(entry.field for entry in entries)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?:|#|mailto:)([^)#]+)", page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), target


SOURCES = [path for folder in ("maezoo", "examples") for path in sorted((ROOT / folder).rglob("*.py"))]
TEXTS = [*PAGES, ROOT / "CHANGELOG.md", ROOT / "CONTRIBUTING.md", *SOURCES]
COMMANDS = typer.main.get_command(app)
PROGRAMS = [path for folder in ("benchmarks", "examples") for path in (ROOT / folder).rglob("*.py")]
OTHER_OPTIONS = "".join(path.read_text(encoding="utf-8") for path in PROGRAMS)


def exists(name: str) -> bool:
    """Say whether a dotted name is a module, or something in one."""
    module, _, rest = name.partition(".")
    found = importlib.import_module(module)
    for part in filter(None, rest.split(".")):
        module += f".{part}"
        if hasattr(found, part):
            found = getattr(found, part)
            continue
        try:
            found = importlib.import_module(module)
        except ImportError:
            return False
    return True


def options_of(command: object) -> set[str]:
    """List the options of a command and of those below it."""
    below = [options_of(each) for each in getattr(command, "commands", {}).values()]
    own = {option for each in command.params for option in (*each.opts, *each.secondary_opts)}
    return own.union({"--help", "-h"}, *below)


def test_every_name_that_is_promised_is_there() -> None:
    lacking = set()
    for page in TEXTS:
        text = page.read_text(encoding="utf-8")
        names = re.findall(r"(?<![\w/.-])maezoo(?:\.[A-Za-z_]\w*)+(?![\w/-])", text)
        names += [f"maezoo.{name}" for name in re.findall(r"(?<![\w/.])figures\.[a-z_]+(?=\()", text)]
        classes = "|".join(name for name in maezoo.__all__ if name[0].isupper())
        names += [f"maezoo.{name}" for name in re.findall(rf"`((?:{classes})\.\w+)", text)]
        lacking |= {f"{page.relative_to(ROOT)}: {name}" for name in names if not exists(name)}
    assert lacking <= {"maezoo/demo/markup.py: maezoo.png"}  # a file's name


def test_every_command_and_option_that_is_promised_is_there() -> None:
    lacking = []
    for page in TEXTS:
        text = page.read_text(encoding="utf-8").replace("\\\n", " ")
        code = re.findall(r"`(maezoo [^`\n]+)`", text)
        if page.suffix == ".md":
            code += re.findall(r"^ *(maezoo [^\n]+)$", text, re.MULTILINE)
        for line in code:
            words = re.sub(r"\s#.*", "", line).replace("…", "").split()[1:]
            command = COMMANDS
            while words and words[0] in getattr(command, "commands", {}):
                command = command.commands[words.pop(0)]
            if words and re.match(r"[a-z]", words[0]) and hasattr(command, "commands"):
                lacking.append(f"{page.relative_to(ROOT)}: {line}")
            named = set(re.findall(r"(?<!\S)--?[a-z][a-z-]*", " ".join(words)))
            lacking += [f"{page.relative_to(ROOT)}: {line}: {option}" for option in named - options_of(command)]
    assert not lacking


OTHERS = {"--nnodes", "--rdzv-endpoint", "--max-restarts", "--logdir"}  # of torchrun and TensorBoard


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_option_and_variable_that_a_page_names_is_somewhere(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for quoted in re.findall(r"`([^`\n]*)`", text):
        for option in set(re.findall(r"(?<!\S)--[a-z][a-z-]*", quoted)) - OTHERS:
            assert option in options_of(COMMANDS) or f'"{option}"' in OTHER_OPTIONS, option
    for variable in set(re.findall(r"MAEZOO_[A-Z_]+", text)):
        assert any(variable in source.read_text(encoding="utf-8") for source in SOURCES), variable
