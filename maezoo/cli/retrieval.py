"""`maezoo search` and `maezoo dedup`: what extracted features find."""

from pathlib import Path
from typing import Annotated

import typer

from maezoo.cli.options import Device, Json, output_option
from maezoo.cli.screen import errors, note, print_json, say, show_table
from maezoo.files import is_stream
from maezoo.paths import user_path

__all__ = ["dedup", "search"]

Output = Annotated[str, typer.Argument(metavar="OUT", help="What `maezoo extract` wrote.")]


def search(
    output: Output,
    query: Annotated[Path, typer.Argument(help="A picture.", parser=user_path, metavar="QUERY")],
    k: Annotated[int, typer.Option("-k", min=1, help="How many images to find.")] = 10,
    model: Annotated[
        str | None, typer.Option("--model", "-m", help="Model that made OUT. [by its record]", show_default=False)
    ] = None,
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Find the extracted images nearest to a picture.

    Prints the cosine of centred embeddings and the id of each, the most similar first.
    """
    from maezoo.retrieval import search as run

    matches = run(output, query, k=k, model=model, device=device)
    if as_json:
        print_json([match._asdict() for match in matches])
        return
    show_table((">cosine", "id"), [(f"{match.similarity:.4f}", match.id) for match in matches])


def dedup(
    output: Output,
    table: Annotated[Path | None, output_option("Table of the groups, .csv or .parquet.")] = None,
    threshold: Annotated[float, typer.Option(min=0, max=1, help="Least cosine of near duplicates.")] = 0.98,
    as_json: Json = False,
) -> None:
    """Find groups of extracted images that are alike.

    The image with the most pixels of each group is kept. Prints group, kept or not, cosine, exact or near, and id.
    """
    from maezoo.retrieval import dedup as run
    from maezoo.retrieval.duplicates import check_table

    if table is not None:
        check_table(table)
    found = run(output, threshold=threshold, progress=errors.is_terminal)
    if table is not None:
        found.save(table)
    if as_json:
        print_json({"images": found.images, "threshold": threshold, "groups": found.to_table().to_pylist()})
    elif table is None:
        rows = found.to_table().to_pylist()
        show_table(
            (">group", "", ">cosine", "", "id"),
            [
                (
                    str(row["group"]),
                    "kept" if row["kept"] else "",
                    f"{row['similarity']:.4f}",
                    "" if row["kept"] else "exact" if row["exact"] else "near",
                    row["id"],
                )
                for row in rows
            ],
        )
        note(str(found))
    else:
        (note if is_stream(table) else say)(f"{table}  {found}")
