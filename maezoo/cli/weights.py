"""`maezoo download`, `verify`, `cache`, `convert` and `manifest pin`: weights files. Torch only where one is read."""

import json
import time
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.text import Text

from maezoo.cli.options import CacheDir, Json
from maezoo.cli.screen import complain, errors, print_json, printable, say, show_table
from maezoo.errors import MaezooError
from maezoo.manifest.entries import WeightsEntry, load_manifest
from maezoo.vocabulary import Layout, Target
from maezoo.wording import bytes_text

__all__ = ["cache", "convert", "download", "manifest_commands", "verify"]

_SHOWN = 6  # keys in one line
_STYLES = {"verified": "green", "unchanged": "yellow", "absent": "dim", "damaged": "red"}


manifest_commands = typer.Typer(help="Maintain a weights manifest of your own.", no_args_is_help=True)


def download(
    names: Annotated[list[str] | None, typer.Argument(help="Weights, architectures, or hf-hub:org/repo.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="All weights of the manifest.")] = False,
    cache_dir: CacheDir = None,
    as_json: Json = False,
) -> None:
    """Download weights into the cache and verify them. From then on they need no network."""
    if bool(names) == everything:
        raise typer.BadParameter("give names, or --all")
    done: list[dict[str, Any]] = []
    failed = 0
    for name in names or load_manifest().entries:
        try:
            path = _fetch(name, cache_dir)
        except MaezooError as error:
            failed += 1
            complain(f"{name}: {error}")
            continue
        size = _size(path)
        done.append({"name": name, "path": str(path), "size": size})
        if not as_json:
            say(f"{name}  {bytes_text(size)}  {path}")
    if as_json:
        print_json(done)
    if failed:
        complain(f"{failed} of {failed + len(done)} weights could not be fetched.")
        raise typer.Exit(1)


def verify(
    names: Annotated[
        list[str] | None, typer.Argument(help="Weights. [all on this machine]", show_default=False)
    ] = None,
    cache_dir: CacheDir = None,
    as_json: Json = False,
) -> None:
    """Check weights files against the published hashes.

    Hashes the whole files. The exit code is 1 when a file is damaged or absent.
    """
    from maezoo.hub.report import VerifyReport, VerifyResult, verify_entries

    manifest = load_manifest()
    entries = [manifest.find(name) for name in names] if names else list(manifest.entries.values())
    found: list[VerifyResult] = []
    with errors.status("hashing …") as status:
        for entry in entries:
            status.update(Text(printable(f"hashing {entry.name} ({bytes_text(entry.size)}) …")))
            found += verify_entries([entry], cache_dir, skip_absent=not names).results
    report = VerifyReport(tuple(found))
    if as_json:
        print_json(report.to_data())
    else:
        show_table(
            ("name", "status", ">size", "sha256", ""),
            [
                (r.name, Text(r.status, _STYLES[r.status]), bytes_text(r.size), r.found or "", r.problem or "")
                for r in report.results
            ],
        )
    if not report.fine:
        raise typer.Exit(1)


def cache(cache_dir: CacheDir = None, as_json: Json = False) -> None:
    """List the weights on this machine. Shows the size of each, when it was verified, and where it is."""
    rows = [row for entry in load_manifest().entries.values() if (row := _cached(entry, cache_dir)) is not None]
    if as_json:
        print_json(rows)
        return
    show_table(
        ("name", ">size", "verified", "path"),
        [(row["name"], bytes_text(row["size"]), row["verified"] or "never", row["path"]) for row in rows],
        title=f"{bytes_text(sum(row['size'] for row in rows))} in all",
    )


def convert(
    source: Annotated[Path, typer.Argument(help="A .safetensors, .pth or .bin file, or a folder with one.")],
    output: Annotated[Path, typer.Argument(help="A .safetensors file, or a folder: then with its config files.")],
    to: Annotated[Layout, typer.Option(help="Layout of the output.")] = "maezoo",
    target: Annotated[
        Target | None, typer.Option(help="What the decoder was trained to predict; only where SOURCE does not say it.")
    ] = None,
    preprocess: Annotated[
        str | None, typer.Option(help='How images are prepared, as JSON: {"size": [224, 224], …}. [as SOURCE says]')
    ] = None,
    architecture: Annotated[str | None, typer.Option(help="Architecture. [by the shapes]")] = None,
    like: Annotated[
        str | None,
        typer.Option(
            help="A name of `maezoo list`: its target, preprocessing and licence are taken where SOURCE has none."
        ),
    ] = None,
    license_: Annotated[str | None, typer.Option("--license", help="Licence of the weights. [as SOURCE says]")] = None,
    encoder_only: Annotated[bool, typer.Option("--encoder-only", help="Leave the decoder out.")] = False,
    take: Annotated[
        str | None, typer.Option(help="Which of the file's state dicts: model_ema, teacher, … [the model itself]")
    ] = None,
    as_json: Json = False,
) -> None:
    """Convert weights from one layout to another.

    Reads and writes the layouts of maezoo, FAIR, timm and transformers.
    """
    from maezoo.manifest.description import Description
    from maezoo.model.variants import find_variant

    said = Description(
        find_variant(architecture) if architecture else None, target, _preprocessing(preprocess), license_
    )
    if like is not None:
        said = said.filled_from(Description.of_entry(load_manifest().find(like)))
    from maezoo.checkpoints.convert import convert as run  # torch: only once the options are known to be right

    done = run(source, output, to=to, like=said, encoder_only=encoder_only, take=take)
    if as_json:
        print_json(done.to_data())
        return
    say(f"{done.output}: {done.tensors} tensors, {done.from_layout} -> {done.to_layout}")
    if done.taken or done.others:
        say(f"taken: {done.taken or 'the names without a prefix'}")
    if done.others:
        say(f"not taken: {', '.join(done.others)}; --take chooses")
    if done.classes:
        unsaid = "" if done.pool_is_known else ", which the source does not say: check config.json"
        say(f"head: {done.classes} classes, global_pool {done.global_pool}{unsaid}")
    if done.dropped:
        say(f"left out: {_left_out(done.dropped)}")


def _left_out(keys: tuple[str, ...]) -> str:
    """Name what was left out, in one line."""
    decoder = [key for key in keys if key.startswith("decoder.")]
    others = [key for key in keys if key not in decoder]
    parts = [f"the decoder ({len(decoder)} tensors)"] if decoder else []
    more = [f"{len(others) - _SHOWN} more"] if len(others) > _SHOWN else []
    return ", ".join([*parts, *others[:_SHOWN], *more])


@manifest_commands.command()
def pin(
    path: Annotated[Path | None, typer.Argument(help="The manifest. [the one in use]", show_default=False)] = None,
    output: Annotated[Path | None, typer.Option("-o", "--output", help="Write to this file. [over PATH]")] = None,
    as_json: Json = False,
) -> None:
    """Fill in missing hashes, sizes and commits from the hub.

    The exit code is 1 when the hub contradicts the manifest.
    """
    from maezoo.hub.pin import pin_manifest

    manifest = path or load_manifest().path
    if manifest is None:
        raise typer.BadParameter("name the manifest")
    pins = pin_manifest(manifest, output)
    if as_json:
        print_json([vars(pin) for pin in pins])
    else:
        for made in pins:
            filled = ", ".join(f"{field} = {value}" for field, value in made.filled.items())
            say(f"{made.name}: {filled or 'nothing to fill in'}")
    for made in pins:
        for field, value in made.conflicts.items():
            complain(f"{made.name}: the hub says {field} = {value}")
    if any(made.conflicts for made in pins):
        raise typer.Exit(1)


def _fetch(name: str, cache_dir: Path | None) -> Path:
    """Fetch a weight of the manifest, or a repository with its configuration files."""
    from maezoo.errors import WeightsNotFoundError
    from maezoo.hub.fetching import fetch
    from maezoo.hub.repository import HUB, Repository

    if not name.startswith(HUB):
        return fetch(load_manifest().find(name), decoder=True, cache_dir=cache_dir)
    repository = Repository.parse(name.removeprefix(HUB))
    path = repository.fetch(decoder=True, cache_dir=cache_dir)
    try:
        repository.fetch_configs(path, cache_dir=cache_dir)
    except WeightsNotFoundError:
        return path  # a file that describes itself needs none
    return path


def _size(path: Path) -> int:
    """Return the bytes of a weights file, or of all that an index names."""
    from maezoo.checkpoints.index import INDEX, read_index

    files = {path, *read_index(path).values()} if path.name.endswith(INDEX) else {path}
    return sum(file.stat().st_size for file in files)


def _cached(entry: WeightsEntry, cache_dir: Path | None) -> dict[str, Any] | None:
    """Describe the files of an entry that are on this machine."""
    from maezoo.hub.fetching import locate_all
    from maezoo.hub.report import last_check

    files = locate_all(entry, cache_dir=cache_dir)
    if not files:
        return None
    record = last_check(entry, files[0], cache_dir)
    verified = record and time.strftime("%Y-%m-%d %H:%M", time.localtime(record.checked_at))
    size = sum(path.stat().st_size for path in files)
    return {"name": entry.name, "size": size, "verified": verified, "path": str(files[0]), "files": [*map(str, files)]}


def _preprocessing(text: str | None) -> Any:
    """Read the option of that name."""
    from maezoo.images.preprocessing import Preprocessing

    if text is None:
        return None
    try:
        return Preprocessing.from_dict(json.loads(text))
    except ValueError as error:
        raise typer.BadParameter(f"{text!r}: {error}", param_hint="--preprocess") from error
