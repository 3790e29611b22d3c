"""`maezoo.export`: a model as a file for another runtime."""

import errno
import json
import os
import secrets
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path

import torch

from maezoo.api.image_methods import ImageMethods
from maezoo.checkpoints.transformers_config import transformers_preprocessor
from maezoo.engines.graph import export_graph, open_axes
from maezoo.errors import ArgumentError, DiskFullError, EngineError, MaezooError
from maezoo.exporting.check import compare, example_inputs, other_size
from maezoo.exporting.facts import Facts
from maezoo.exporting.formats import WRITERS, add_facts
from maezoo.exporting.report import Comparison, ExportReport
from maezoo.exporting.runtimes import open_exported
from maezoo.exporting.settings import Settings, make_settings
from maezoo.exporting.task import export_module, float32_copy
from maezoo.files import errors_named
from maezoo.hashes import sha256_of
from maezoo.images.preprocessing import Preprocessing
from maezoo.paths import user_path
from maezoo.progress import announce
from maezoo.version import __version__
from maezoo.vocabulary import ExportFormat, ExportInput, ExportPrecision, ExportTask, Pool

__all__ = ["export"]

PREPROCESS = "preprocess.json"
_FULL = ("no space left", "file too large", "disk full")  # what libraries say without the system's number


def export(
    model: ImageMethods,
    path: str | Path,
    *,
    format: ExportFormat | None = None,
    task: ExportTask = "features",
    pool: Pool | None = None,
    layers: Sequence[int] = (-1,),
    precision: ExportPrecision = "float32",
    batch: int | str = "dynamic",
    img_size: tuple[int, int] | str = "dynamic",
    input: ExportInput = "pixels",
    overwrite: bool = False,
    progress: bool = False,
) -> ExportReport:
    """Write a model as a file for another runtime, its preprocessing with it, and check it there.

    The file is run on photographs in its runtime, in two batch sizes and two image sizes, and held against eager
    PyTorch in float32. One that is off is not kept. `preprocess.json` next to it has the format of transformers' image
    processors.

    Args:
        model: what `maezoo.create` returned.
        path: the file to write; its folder is made when missing.
        format: `"onnx"` (.onnx), `"torch"` (.pt2, of `torch.export`), `"aotinductor"` (.pt2, compiled for this kind
            of CPU; takes a C++ compiler and a minute) or `"openvino"` (.xml and .bin); by the suffix when `None`.
        task: `"features"` (B, D), pooled; `"tokens"` (B, 1 + N, D); `"maps"`, one (B, D, h, w) for each of `layers`;
            `"encode"`, the tokens of visible patches; `"reconstruct"`, two pictures (B, C, H, W) in [0, 1]:
            `predicted`, and `pixels` with the visible patches pasted. The last two have a second input `visible`,
            (B, K) int64: the raster indices of the visible patches.
        pool: of features, `"cls"`, `"mean"` or `"cls+mean"`; what `MAE.features` takes when `None`.
        layers: blocks of maps, counted as in `MAE.feature_maps`.
        precision: `"float32"`; `"float16"`, with LayerNorms in float32; `"bfloat16"` (not ONNX); `"int8"` (ONNX).
            Inputs and outputs stay as they are.
        batch: a number of images, or `"dynamic"` for any.
        img_size: (height, width) in pixels, or `"dynamic"` for any multiples of the patch side.
        input: `"pixels"`, uint8, which the graph normalises, or `"normalised"`, float32, which models of sound need,
            and bands that are to keep all their bits.
        overwrite: replace files that are there.
        progress: show each step.

    Returns:
        The files, what they say of themselves, and the check; `print` it.

    Raises:
        ArgumentError: a word, number or suffix that is not allowed, or a file that is there already.
        MissingExtraError: what the format needs is not installed.
        DecoderMissingError: `"reconstruct"` without a decoder.
        EngineError: the file cannot be made or is off; none is left.
        DiskFullError, OSError: it cannot be written; none is left.

    Example:
        >>> import maezoo, tempfile
        >>> model = maezoo.create("mae_vit_tiny", pretrained=True, device="cpu")
        >>> report = export(model, Path(tempfile.mkdtemp()) / "mae.pt2", batch=1, img_size=(32, 32))
        >>> report.cosine > 0.999
        True
    """
    path = user_path(path)
    if input == "pixels" and model.preprocess.kind == "sound":
        raise ArgumentError(
            f"{model.name} takes log-mel energies, which are no pixels of 8 bits; pass input='normalised' (--input "
            "normalised).",
            expected="normalised",
            found=input,
        )
    settings = make_settings(
        model,
        path,
        format=format,
        task=task,
        pool=pool or model.pooling,
        layers=layers,
        precision=precision,
        batch=batch,
        img_size=img_size,
        input=input,
    )
    if model.random_weights is not None:
        parts = {"encoder": model.encoder, **({"decoder": model.decoder} if task == "reconstruct" else {})}
        model.random_weights.warn(model.name, {name: part for name, part in parts.items() if part is not None})
    facts = _facts_of(model, settings)
    about = _preprocess_json(facts)
    _refuse_existing(path, about, overwrite)
    with announce("exporting", show=progress) as advance, _own_folder(path) as folder:
        comparisons = _write(model, settings, facts, folder / path.name, advance)
        facts = replace(facts, check=tuple(asdict(each) for each in comparisons))
        (folder / PREPROCESS).write_text(about, encoding="utf-8")
        files = _moved(folder, path)
    return ExportReport(path, files, facts, comparisons)


def _write(
    model: ImageMethods, settings: Settings, facts: Facts, path: Path, advance: Callable[[str], None]
) -> tuple[Comparison, ...]:
    """Write the files of a format and check them."""
    exact = float32_copy(model, settings)
    module = export_module(exact, settings, model.preprocess, precision=settings.precision)
    size = settings.img_size or other_size(model)
    example = example_inputs(model, settings, model.preprocess, settings.batch or 2, size)
    patch_size = model.patch_size if settings.img_size is None else None
    axes = open_axes(len(example), batch=settings.batch is None, patch_size=patch_size)
    advance("tracing")
    try:
        program = export_graph(module, example, axes, strict=False)
        advance(f"writing {settings.format}")
        WRITERS[settings.format](program, path, facts)
    except (OSError, MaezooError):
        raise
    except Exception as error:  # exporters raise what they like
        _refuse_if_full(path, error)
        first = str(error).strip().partition("\n")[0][:300]
        raise EngineError(f"{settings.format} export of {settings.task} failed: {first}", reason=first) from error
    advance("checking on photographs")
    reference = export_module(exact, replace(settings, img_size=None), model.preprocess)
    opened = open_exported(path, threads=torch.get_num_threads(), trust=True)
    comparisons = compare(opened, reference, model, settings, model.preprocess)
    add_facts(program, path, replace(facts, check=tuple(asdict(each) for each in comparisons)))
    return comparisons


def _facts_of(model: ImageMethods, settings: Settings) -> Facts:
    """Return what the file will say of itself."""
    size = settings.img_size or model.preprocess.size
    sha256 = model.entry.sha256 if model.entry is not None else None
    if sha256 is None and model.load_report is not None and model.load_report.path.is_file():
        sha256 = sha256_of(model.load_report.path)
    return Facts(
        model=model.name,
        format=settings.format,
        task=settings.task,
        pool=settings.pool if settings.task == "features" else None,
        layers=settings.layers,
        precision=settings.precision,
        input=settings.input,
        batch=settings.batch,
        img_size=settings.img_size,
        patch_size=model.patch_size,
        in_chans=model.in_chans,
        preprocess=replace(model.preprocess, size=size),
        license=model.license,
        sha256=sha256,
        maezoo_version=__version__,
        torch_version=str(torch.__version__),
    )


def _preprocess_json(facts: Facts) -> str:
    """Return what is to be done before the graph, in the format of transformers' image processors."""
    preprocess: Preprocessing = facts.preprocess
    outside = facts.input == "normalised"
    config = {**transformers_preprocessor(preprocess), "do_rescale": outside, "do_normalize": outside}
    return json.dumps(config, indent=2) + "\n"


def _refuse_existing(path: Path, about: str, overwrite: bool) -> None:
    """Refuse to write over files, unless the one for preprocessing says the same."""
    next_to = path.with_name(PREPROCESS)
    if path.is_dir():
        raise ArgumentError(f"{path} is a folder; name a file in it.", path=path)
    if overwrite:
        return
    for each in (path, path.with_suffix(".bin") if path.suffix.lower() == ".xml" else path):
        if each.exists():
            raise ArgumentError(
                f"{each} is there already; pass overwrite=True (--overwrite), or name another.", path=each
            )
    if next_to.exists() and next_to.read_text(encoding="utf-8", errors="replace") != about:
        raise ArgumentError(
            f"{next_to} is there already, for another preprocessing; export to another folder, or pass overwrite=True "
            "(--overwrite).",
            path=next_to,
        )


@contextmanager
def _own_folder(path: Path) -> Iterator[Path]:
    """Give a folder next to a file that is to be written, which is removed with all that is left in it."""
    folder = path.with_name(f".maezoo-export-{secrets.token_hex(4)}")
    with errors_named(path, folder):
        path.parent.mkdir(parents=True, exist_ok=True)
        folder.mkdir(mode=0o700)
    try:
        with errors_named(path, folder / path.name):
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _moved(folder: Path, path: Path) -> dict[Path, int]:
    """Move all files of a folder next to `path`, the one that is opened last; return them with their sizes."""
    names = sorted((each.name for each in folder.iterdir()), key=lambda name: (name == path.name, name))
    for name in names:
        (folder / name).replace(path.with_name(name))
    return {path.with_name(name): path.with_name(name).stat().st_size for name in reversed(names)}


def _refuse_if_full(path: Path, error: Exception) -> None:
    """Raise the error of a full disk where that is what a library means: some say it in words alone."""
    text = str(error).lower()
    full = shutil.disk_usage(path.parent).free < 2**20
    if full or any(words in text for words in _FULL):
        reason = os.strerror(errno.ENOSPC)
        raise DiskFullError(
            f"{path.name} cannot be written: {reason}. Make room, or name another place.", path=path, reason=reason
        ) from error
