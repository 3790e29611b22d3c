"""How much memory a run has taken at most."""

import sys

import torch

__all__ = ["peak_memory"]


def peak_memory(device: torch.device) -> int | None:
    """Return the most bytes that were held at once: of CUDA's memory by tensors, else of the process's main memory.

    Returns:
        Bytes; `None` on the CPU of Windows, where Python's standard library does not give it.

    Example:
        >>> (peak_memory(torch.device("cpu")) or 2**20) > 2**19
        True
    """
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    try:
        import resource
    except ImportError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024  # bytes on macOS, KiB elsewhere
