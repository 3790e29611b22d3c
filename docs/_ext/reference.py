"""The API reference: a page for each public package, written before each build from the names that it exports."""

import importlib
import inspect
import re
from pathlib import Path
from types import ModuleType

from sphinx.application import Sphinx

from maezoo import errors

# For users first, then the parts for those who build their own.
USED = ("figures", "evaluation", "training", "extraction", "retrieval", "downstream", "exporting", "errors")
PARTS = ("model", "images", "masks", "checkpoints", "manifest", "hub", "engines", "hardware", "vocabulary", "demo")


def write_pages(app: Sphinx) -> None:
    """Write `reference/*.rst`."""
    folder = Path(app.srcdir) / "reference"
    folder.mkdir(exist_ok=True)
    package = importlib.import_module("maezoo")
    packages = [name for name in package.__all__ if inspect.ismodule(getattr(package, name))]
    order = [name for name in (*USED, *PARTS) if name in packages]
    order += [name for name in packages if name not in order]  # a new package has its page at once
    owners = {id(getattr(errors, name)): "maezoo.errors" for name in errors.__all__}  # each name is described once
    modules = {"maezoo": package} | {f"maezoo.{name}": getattr(package, name) for name in order}
    pages = {name: _page(name, module, owners) for name, module in modules.items()}
    listed = "\n".join(f"   {name}" for name in pages)
    pages["index"] = f"API reference\n=============\n\n.. toctree::\n   :maxdepth: 1\n\n{listed}\n"
    for name, text in pages.items():
        path = folder / f"{name}.rst"
        if not path.exists() or path.read_text(encoding="utf-8") != text:  # what is unchanged is not read again
            path.write_text(text, encoding="utf-8")


def _page(name: str, module: ModuleType, owners: dict[int, str]) -> str:
    """Write a package's page: its docstring, then each public name that is no package and has no other page."""
    head = [name, "=" * len(name), "", f".. automodule:: {name}", "   :no-members:", ""]
    lines, elsewhere = [f".. currentmodule:: {name}", ""], []
    for each in module.__all__:
        found = getattr(module, each)
        if inspect.ismodule(found):
            continue
        owner = owners.setdefault(id(found), name)
        if owner != name:
            elsewhere.append(f":py:obj:`{each} <{owner}.{each}>`")
        elif inspect.isclass(found):
            lines += [f".. autoclass:: {name}.{each}", *_options(found), ""]
        elif inspect.isfunction(found):
            lines += [f".. autofunction:: {name}.{each}", ""]
        else:
            lines += [f".. py:data:: {each}", "", f"   {_kind(found)}", ""]
    if elsewhere:
        head += [f"Also here: {', '.join(elsewhere)}.", ""]
    return "\n".join(head + lines)


def _kind(found: object) -> str:
    """Say what a constant is: an alias of types is written out, anything else by its type."""
    meaning = getattr(found, "__value__", None)  # of a TypeAliasType
    if meaning is None:
        short = repr(found) if len(repr(found)) < 200 else f"a {type(found).__name__}"
        return f"Is ``{short}``."
    return f"Stands for ``{re.sub(r'[a-zA-Z_.]+[.](?=[a-zA-Z_])', '', str(meaning))}``."


def _options(found: type) -> list[str]:
    """Choose what is shown of a class: its own methods and those of our bases, none of torch's or the built-in ones."""
    if issubclass(found, BaseException):
        return ["   :show-inheritance:"]
    foreign = [base.__name__ for base in found.__mro__ if not base.__module__.startswith("maezoo")]
    return ["   :members:", f"   :inherited-members: {', '.join(foreign)}"]


def show_blocks(app: Sphinx, what: str, name: str, found: object, options: object, lines: list[str]) -> None:
    """Show the indented blocks of a package's docstring, tables and code, as they are written."""
    if what != "module":
        return
    shown: list[str] = []
    for line in lines:
        before = next((each for each in reversed(shown) if each), "")
        if line.startswith("    ") and before and not before.startswith((" ", "::")):
            shown += ["::", ""]
        shown.append(line)
    lines[:] = shown


def setup(app: Sphinx) -> dict[str, bool]:
    """Connect it."""
    app.connect("builder-inited", write_pages)
    app.connect("autodoc-process-docstring", show_blocks)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
