"""Prints the oldest version of each dependency that pyproject.toml admits, a line each, for pip's -r.

Those of the package, of all extras and of the test group. Needs `packaging`, and `tomli` before Python 3.11.
"""

import sys
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.version import Version

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


def oldest(requirement: Requirement) -> str:
    """The requirement with its floor pinned: 'name[extra]==1.2; marker'. Other bounds must admit the floor."""
    floors = [each.version for each in requirement.specifier if each.operator in (">=", "~=", "==", "===")]
    if not floors:
        raise SystemExit(f"{requirement} has no floor: write {requirement.name}>=VERSION")
    floor = max(floors, key=lambda version: Version(version.removesuffix(".*")))
    if "*" not in floor and not requirement.specifier.contains(floor, prereleases=True):
        raise SystemExit(f"{requirement} does not admit its own floor {floor}")
    extras = f"[{','.join(sorted(requirement.extras))}]" if requirement.extras else ""
    marker = f"; {requirement.marker}" if requirement.marker else ""
    return f"{requirement.name}{extras}=={floor}{marker}"


def asked(pyproject: dict[str, Any]) -> list[str]:
    """What the package, its extras and its test group ask for, without the package itself and included groups."""
    project = pyproject["project"]
    lines = [*project["dependencies"], *pyproject["dependency-groups"]["test"]]
    for extra in project["optional-dependencies"].values():
        lines += extra
    return [line for line in lines if isinstance(line, str) and Requirement(line).name != project["name"]]


def main(path: Path) -> None:
    """Prints each floor once; two floors for one package would be a mistake that pip reports."""
    pyproject = tomllib.loads(path.read_text(encoding="utf-8"))
    print(*sorted({oldest(Requirement(line)) for line in asked(pyproject)}), sep="\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
