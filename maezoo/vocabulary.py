"""The closed lists of words that arguments and files use. No torch here: the command line reads it before any model."""

from typing import Literal, TypeAlias, get_args

__all__ = [
    "EXPORT_FORMATS",
    "EXPORT_INPUTS",
    "EXPORT_PRECISIONS",
    "EXPORT_TASKS",
    "FIELDS",
    "LAYOUTS",
    "PARTS",
    "POOLS",
    "POSITIONS",
    "RESAMPLINGS",
    "STRATEGIES",
    "TARGETS",
    "WINDOWS",
    "ExportFormat",
    "ExportInput",
    "ExportPrecision",
    "ExportTask",
    "Field",
    "Layout",
    "Part",
    "Pool",
    "Positions",
    "Resampling",
    "Strategy",
    "Target",
    "Window",
    "WindowRule",
]

Field = Literal["photos", "satellite", "audio", "medical", "text"]
Target = Literal["pixel", "normpix"]
Part = Literal["encoder", "decoder"]
Layout = Literal["maezoo", "fair", "timm", "transformers", "prithvi"]
Strategy = Literal["random", "block", "grid"]
Pool = Literal["cls", "mean", "cls+mean"]
Positions = Literal["sincos", "sincos3d", "learned"]
Resampling = Literal["antialias", "bicubic", "aligned", "leading"]
WindowRule = Literal["full", "auto", "percentiles"]
ExportFormat = Literal["onnx", "torch", "aotinductor", "openvino"]
ExportTask = Literal["features", "tokens", "maps", "encode", "reconstruct"]
ExportPrecision = Literal["float32", "float16", "bfloat16", "int8"]
ExportInput = Literal["pixels", "normalised"]
Window: TypeAlias = WindowRule | tuple[float, float]
"""Which values of a picture of more than 8 bits become black and white; a pair is those two values."""

FIELDS: tuple[str, ...] = get_args(Field)
TARGETS: tuple[str, ...] = get_args(Target)
PARTS: tuple[str, ...] = get_args(Part)
LAYOUTS: tuple[str, ...] = get_args(Layout)
STRATEGIES: tuple[str, ...] = get_args(Strategy)
POOLS: tuple[str, ...] = get_args(Pool)
POSITIONS: tuple[str, ...] = get_args(Positions)
RESAMPLINGS: tuple[str, ...] = get_args(Resampling)
WINDOWS: tuple[str, ...] = get_args(WindowRule)
EXPORT_FORMATS: tuple[str, ...] = get_args(ExportFormat)
EXPORT_TASKS: tuple[str, ...] = get_args(ExportTask)
EXPORT_PRECISIONS: tuple[str, ...] = get_args(ExportPrecision)
EXPORT_INPUTS: tuple[str, ...] = get_args(ExportInput)


def __dir__() -> list[str]:
    """List the public names alone."""
    return __all__
