"""`maezoo download`, `verify`, `cache`, `convert` and `manifest pin`: weights files. Torch only where one is read."""

import json
import time
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.text import Text

from maezoo.cli.screen import bytes_text, complain, errors, print_json, printable, say, show_table
from maezoo.errors import LayoutError, MaezooError, OfflineError
from maezoo.manifest.entries import WeightsEntry, load_manifest
from maezoo.vocabulary import Layout, Target

__all__ = ["add_commands"]

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
CacheDir = Annotated[Path | None, typer.Option(help="Where downloads are kept. [HF_HUB_CACHE]", show_default=False)]
_STYLES = {"verified": "green", "unchanged": "yellow", "absent": "dim", "damaged": "red"}


def add_commands(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.command()(download)
    app.command()(verify)
    app.command()(cache)
    app.command()(convert)
    manifest = typer.Typer(help="The weights manifest, for those who keep one.", no_args_is_help=True)
    manifest.command()(pin)
    app.add_typer(manifest, name="manifest")


def download(
    names: Annotated[list[str] | None, typer.Argument(help="Weights, architectures, or hf-hub:org/repo.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="All weights of the manifest.")] = False,
    cache_dir: CacheDir = None,
    as_json: Json = False,
) -> None:
    """Fetch weights into the cache and verify them; afterwards they need no network."""
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
        done.append({"name": name, "path": str(path), "size": path.stat().st_size})
        if not as_json:
            say(f"{name}  {bytes_text(path.stat().st_size)}  {path}")
    if as_json:
        print_json(done)
    if failed:
        complain(f"{failed} of {failed + len(done)} weights could not be fetched.")
        raise typer.Exit(1)


def verify(
    names: Annotated[list[str] | None, typer.Argument(help="Weights; all that are here when none is named.")] = None,
    cache_dir: CacheDir = None,
    as_json: Json = False,
) -> None:
    """Hash weights files again and compare them with what was published; exit code 1 when one is damaged or absent."""
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
    """List the weights that are on this machine: size, when verified, and where."""
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
    target: Annotated[Target | None, typer.Option(help="What its decoder was trained to predict.")] = None,
    preprocess: Annotated[str | None, typer.Option(help='JSON: {"size": [224, 224], "resize": "crop", …}.')] = None,
    architecture: Annotated[str | None, typer.Option(help="Where the shapes do not tell.")] = None,
    like: Annotated[str | None, typer.Option(help="Weights of the manifest that have the same of all these.")] = None,
    license_: Annotated[str | None, typer.Option("--license", help="Of the weights.")] = None,
    encoder_only: Annotated[bool, typer.Option("--encoder-only", help="Leave the decoder out.")] = False,
    take: Annotated[
        str | None, typer.Option(help="Which of several state dicts in it: model_ema, teacher, … [the model itself]")
    ] = None,
    as_json: Json = False,
) -> None:
    """Turn weights of FAIR, timm or transformers into a maezoo file, or any of them into another."""
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
    if done.dropped:
        say(f"left out: {', '.join(done.dropped)}")


def pin(
    path: Annotated[Path | None, typer.Argument(help="The manifest. [the one in force]", show_default=False)] = None,
    output: Annotated[Path | None, typer.Option("-o", "--output", help="Write there and not over it.")] = None,
    as_json: Json = False,
) -> None:
    """Fill in the hashes, sizes and commits that a manifest lacks, from the hub; exit code 1 on contradictions."""
    from maezoo.hub.client import HubUnreachableError
    from maezoo.hub.pin import pin_manifest

    manifest = path or load_manifest().path
    if manifest is None:
        raise typer.BadParameter("name the manifest")
    try:
        pins = pin_manifest(manifest, output)
    except HubUnreachableError as error:
        raise OfflineError(f"{error}. `maezoo manifest pin` needs the hub.") from error
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
        return fetch(load_manifest().find(name), cache_dir=cache_dir)
    repository = Repository.parse(name.removeprefix(HUB))
    path = repository.fetch(cache_dir=cache_dir)
    try:
        repository.fetch_configs(path, cache_dir=cache_dir)
    except WeightsNotFoundError:
        return path  # a file that describes itself needs none
    return path


def _cached(entry: WeightsEntry, cache_dir: Path | None) -> dict[str, Any] | None:
    """Describe the file of an entry, if it is on this machine."""
    from maezoo.hub.cache import HubCache
    from maezoo.hub.fetching import hub_file, locate
    from maezoo.hub.verification import read_record

    path = locate(entry, cache_dir=cache_dir)
    if path is None:
        return None
    beside = HubCache.at(cache_dir).record(hub_file(entry)) if entry.package_file is None else None
    record = read_record(path, beside)
    verified = record and time.strftime("%Y-%m-%d %H:%M", time.localtime(record.checked_at))
    return {"name": entry.name, "size": path.stat().st_size, "verified": verified, "path": str(path)}


def _preprocessing(text: str | None) -> Any:
    """Read the option of that name."""
    from maezoo.images.preprocessing import Preprocessing

    if text is None:
        return None
    try:
        return Preprocessing.from_dict(json.loads(text))
    except ValueError as error:
        raise LayoutError(f"--preprocess {text!r}: {error}") from error
