"""int8 weights in an ONNX graph, one scale for each output channel; activations are quantised as they come."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from maezoo.engines.quiet import import_onnxruntime
from maezoo.hardware import int8_saturates

__all__ = ["quantise"]

# Stays in float32: its output has a few values far larger than the rest, and what int8 gets wrong there goes through
# all later blocks. On the bundled model that is most of the whole error (docs/performance.md).
_EXACT = "encoder.blocks.0.mlp"


def quantise(path: Path, target: Path, *, external: bool = True) -> None:
    """Quantise the weights of the matrix products; see `_EXACT`.

    Args:
        path: the graph in float32, which is changed.
        target: the graph to write.
        external: put its weights into a file next to it.
    """
    import onnx

    import_onnxruntime()
    from onnxruntime.quantization import QuantType, quantize_dynamic
    from onnxruntime.quantization.quant_utils import add_pre_process_metadata

    model = onnx.load(path, load_external_data=False)
    no_matrices = {each.name for each in model.graph.initializer if len(each.dims) > 2}  # positions that are resized
    exact = [
        node.name
        for node in model.graph.node
        if any(_EXACT in each.value for each in node.metadata_props) or no_matrices.intersection(node.input)
    ]
    add_pre_process_metadata(model)  # else it advises a preparation that changes nothing here
    onnx.save(model, path)
    with _root_handler():
        quantize_dynamic(
            path,
            target,
            op_types_to_quantize=["MatMul", "Gemm"],
            nodes_to_exclude=exact,
            per_channel=True,
            reduce_range=int8_saturates(),
            weight_type=QuantType.QInt8,
            use_external_data_format=external,
        )


@contextmanager
def _root_handler() -> Iterator[None]:
    """Give the root logger a handler for a while if it has none: the quantiser's first message would set one for good.

    It is the one that Python itself takes where there is none.
    """
    root, last = logging.getLogger(), logging.lastResort
    if root.handlers or last is None:
        yield
        return
    root.addHandler(last)
    try:
        yield
    finally:
        root.removeHandler(last)
