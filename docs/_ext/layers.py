"""The picture of the layers, drawn from the rules in pyproject.toml that import-linter checks."""

import importlib
import re
import sys
from html import escape
from pathlib import Path

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parent.parent.parent


class Layers(SphinxDirective):
    """`{layers}`: each layer a row, its packages next to each other."""

    def run(self) -> list[nodes.Node]:
        """Draw it as HTML, which takes the page's colours and any width."""
        self.env.note_dependency(str(ROOT / "pyproject.toml"))
        contracts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]
        layers = next(each["layers"] for each in contracts["contracts"] if each["id"] == "layers")
        rows = []
        for layer in layers:
            boxes = "".join(_box(name) for name in re.split(r"\s*[|:]\s*", layer))
            rows.append(f'<div class="layer">{boxes}</div>')
        return [nodes.raw("", f'<div class="layers">{"".join(rows)}</div>', format="html")]


def _box(name: str) -> str:
    """Draw a package or module: its name, and the first sentence of its docstring."""
    document = importlib.import_module(name).__doc__ or ""
    sentence = re.split(r"(?<=[.:])\s", document.strip(), maxsplit=1)[0].strip(" .:")
    words = re.sub(r"`([^`]*)`", r"<code>\1</code>", escape(sentence))
    return f"<div><b>{escape(name.removeprefix('maezoo.'))}</b><span>{words}</span></div>"


def setup(app: Sphinx) -> dict[str, bool]:
    """Add the directive."""
    app.add_directive("layers", Layers)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
