"""Tables of weights, made from the manifest at each build."""

import re

from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from maezoo.manifest import WeightsEntry, load_manifest
from maezoo.wording import bytes_text

HEAD = ("weights", "parameters", "holds", "target", "pooled vector", "input", "licence", "file")


class Weights(SphinxDirective):
    """`{weights} FIELD`: the table of one field, or of all of them."""

    optional_arguments = 1
    option_spec = {"field": directives.unchanged}  # noqa: RUF012 - docutils asks for this attribute

    def run(self) -> list[nodes.Node]:
        """Write the table in Markdown and let the page's own parser read it."""
        field = self.arguments[0] if self.arguments else None
        entries = [entry for entry in load_manifest().entries.values() if field in (None, entry.field)]
        if not entries:
            raise self.error(f"the manifest has no weights of the field {field!r}")
        rows = [HEAD, ("---", "---:", *["---"] * (len(HEAD) - 2)), *(_row(entry) for entry in entries)]
        return self.parse_text_to_nodes("\n".join(f"| {' | '.join(row)} |" for row in rows))


def _row(entry: WeightsEntry) -> tuple[str, ...]:
    """Write the facts that one chooses by."""
    says_so = re.search("-nc-|non-?commercial", entry.license, re.IGNORECASE) or not entry.noncommercial
    licence = entry.license + ("*" if entry.license_note else "") + ("" if says_so else ", non-commercial")
    access = "gated" if entry.gated else bytes_text(entry.size)
    return (
        f"`{entry.name}`",
        f"{entry.num_params / 1e6:.0f} M" if entry.num_params >= 1e7 else f"{entry.num_params / 1e6:.1f} M",
        "both" if entry.has_decoder else "encoder",
        entry.target or "not stated",
        entry.pooling or "not stated",
        entry.input_text,
        licence,
        access,
    )


def setup(app: Sphinx) -> dict[str, bool]:
    """Add the directive."""
    app.add_directive("weights", Weights)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
