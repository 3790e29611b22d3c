"""Checks what is in the release files, and writes their hashes: `python contents.py dist`.

They have every file of the package that git knows, and no other.
"""

import hashlib
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).parent.parent
# What the files have besides the package.
ADDED = {"maezoo/weights_manifest.json"}
META = {"METADATA", "RECORD", "WHEEL", "entry_points.txt"}
LICENCES = {
    "LICENSE",
    "LICENSE.weights",
    "LICENSES/CC0-1.0.txt",
    "LICENSES/LicenseRef-Kodak-Unrestricted.txt",
    "LICENSES/LicenseRef-NASA-Public-Domain.txt",
}
SOURCES = {
    "PKG-INFO",
    "pyproject.toml",
    "README.md",
    "CHANGELOG.md",
    "SECURITY.md",
    "CITATION.cff",
    ".gitignore",
    "weights_manifest.json",
}


def tracked(*paths: str) -> set[str]:
    """Return the files that git knows under these paths, with slashes."""
    listed = subprocess.run(["git", "ls-files", "-z", *paths], cwd=ROOT, check=True, capture_output=True, text=True)
    return {name for name in listed.stdout.split("\0") if name}


def in_wheel(path: Path) -> set[str]:
    """Return the names in a wheel, those of its metadata without the folder."""
    with zipfile.ZipFile(path) as file:
        names = set(file.namelist())
    info = "-".join(path.name.split("-")[:2]) + ".dist-info/"
    return {name.removeprefix(info).removeprefix("licenses/") for name in names}


def in_sdist(path: Path) -> set[str]:
    """Return the names in an sdist, without its folder."""
    with tarfile.open(path) as file:
        return {name.partition("/")[2] for name in file.getnames()}


def main(dist: Path) -> None:
    """Compare both with what they must have; write SHA256SUMS."""
    (wheel,), (sdist,) = dist.glob("*.whl"), dist.glob("*.tar.gz")
    package = tracked("maezoo")
    for path, found, wanted in (
        (wheel, in_wheel(wheel), package | ADDED | META | LICENCES),
        (sdist, in_sdist(sdist), package | SOURCES | LICENCES | tracked("LICENSES")),
    ):
        if found != wanted:
            raise SystemExit(f"{path.name}: missing {sorted(wanted - found)}, not wanted {sorted(found - wanted)}")
        print(f"{path.name}: {len(found)} files, {path.stat().st_size:,} bytes")
    files = sorted(path for path in dist.iterdir() if path.name != "SHA256SUMS")
    sums = "".join(f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n" for path in files)
    (dist / "SHA256SUMS").write_text(sums, encoding="utf-8", newline="\n")
    print(sums, end="")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
