"""Checks that a tag, the package and CHANGELOG.md name one version: `python version.py vX.Y.Z [--changes]`.

With --changes it prints what that version changed, for the page of the release. Before a release, without a tag, the
changelog's newest version may have no date yet; `python version.py` checks the rest.
"""

import re
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
# Semantic versions, the way Python spells the preliminary ones: 1.2.3, 1.2.3rc1.
VERSION = re.compile(r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)((a|b|rc)\d+)?")


def read(name: str, pattern: str) -> str:
    """Return what a file says, in the first group of the pattern."""
    found = re.search(pattern, (ROOT / name).read_text(encoding="utf-8"), re.MULTILINE)
    if found is None:
        raise SystemExit(f"{name} names no version")
    return found[1]


def changes(version: str) -> tuple[str, str]:
    """Return what stands behind a version in the heading of CHANGELOG.md, and the text below."""
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    found = re.search(rf"^## \[?{re.escape(version)}\]?(.*)\n((?:(?!^## ).*\n)*)", text, re.MULTILINE)
    if found is None:
        raise SystemExit(f"CHANGELOG.md has no section {version}")
    return found[1].strip(" -()"), found[2].strip()


def main(tag: str | None, *, show: bool) -> None:
    """Compare the places that name the version."""
    version = read("maezoo/version.py", r'^__version__ = "(.+)"')
    if not VERSION.fullmatch(version):
        raise SystemExit(f"{version} is no semantic version, such as 1.2.3 or 1.2.3rc1")
    cited = read("CITATION.cff", r"^version: (.+)")
    if cited != version:
        raise SystemExit(f"CITATION.cff has version {cited}, maezoo/version.py {version}")
    date, text = changes(version)
    if tag is not None and tag != f"v{version}":
        raise SystemExit(f"the tag is {tag}; maezoo/version.py has {version}: name it v{version}, or change the file")
    if tag is not None and not re.fullmatch(r"\d{4}-\d{2}-\d{2}", date):
        raise SystemExit(f"CHANGELOG.md has {date!r} for {version} where the day of the release belongs: 2026-01-31")
    print(text if show else f"version {version}")


if __name__ == "__main__":
    given = [each for each in sys.argv[1:] if each != "--changes"]
    main(given[0] if given else None, show="--changes" in sys.argv)
