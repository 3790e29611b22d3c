"""Links that lead out of `docs/`, as they work on the hub of the code, lead to the pages of the site."""

import re
from pathlib import Path

from sphinx.application import Sphinx

PAGES = {
    "README.md": "index.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
    "examples": "gallery/index.rst",
}


def lead_to_pages(app: Sphinx, document: str, source: list[str]) -> None:
    """Replace the targets of a page's links."""
    up = "../" * document.count("/")

    def page_of(match: re.Match[str]) -> str:
        target = match[1]
        if target.startswith("examples/") and target.endswith(".py"):
            return f"]({up}gallery/{Path(target).stem}.rst"
        page = PAGES.get(target, "")
        return f"]({up}{page}" if page and (Path(app.srcdir) / page).exists() else match[0]

    if document == "index":  # places for pages that come later: `reliabilit*` stands for nothing until there is one
        lines = source[0].splitlines(keepends=True)
        source[0] = "".join(each for each in lines if not each.endswith("*\n") or _stands(app, each, lines))
    source[0] = re.sub(rf"\]\({re.escape(up)}\.\./([^)#]+)", page_of, source[0])


def _stands(app: Sphinx, pattern: str, lines: list[str]) -> bool:
    """Say whether there are pages of a pattern that no line names."""
    found = (path.relative_to(app.srcdir).with_suffix("") for path in Path(app.srcdir).glob(f"{pattern.strip()}.md"))
    return any(f"{name.as_posix()}\n" not in lines for name in found)


def say_the_language(app: Sphinx, page: str, template: str, context: dict[str, object], doctree: object) -> None:
    """Mark the pages of `zh/` as Chinese, by which browsers choose letters and voices."""
    if page.startswith("zh/"):
        context["language"] = "zh-CN"


def setup(app: Sphinx) -> dict[str, bool]:
    """Connect it."""
    app.connect("source-read", lead_to_pages)
    app.connect("html-page-context", say_the_language)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
