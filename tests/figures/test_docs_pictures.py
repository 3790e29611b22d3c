from pathlib import Path

DOCS = Path(__file__).parent.parent.parent / "docs"
PICTURES = sorted((DOCS / "images").glob("*.png"))


def test_pictures_are_small_and_shown():
    assert PICTURES
    pages = "".join(page.read_text(encoding="utf-8") for page in [*DOCS.rglob("*.md"), DOCS.parent / "README.md"])
    for picture in PICTURES:
        assert picture.stat().st_size < 300_000
        assert f"images/{picture.name}" in pages
