"""MAE, what create() returns: a masked autoencoder that takes image-likes."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from maezoo.api.saving import SavableModel

if TYPE_CHECKING:
    from maezoo.api.optimized import OptimizedMAE

__all__ = ["MAE"]


class MAE(SavableModel):
    """A masked autoencoder that knows its weights' preprocessing. `maezoo.create` makes it.

    Its arguments and attributes are those of `ImageMethods`.

    Example:
        >>> import maezoo, torch
        >>> model = maezoo.create("mae_vit_tiny", pretrained=True, device="cpu")
        >>> model.features(torch.zeros(2, 3, 96, 96)).shape
        torch.Size([2, 192])
    """

    def optimize(
        self,
        *,
        engine: str = "auto",
        precision: str | None = None,
        tasks: Sequence[str] = ("features",),
        batch_sizes: Sequence[int] | None = None,
        cache_dir: str | Path | None = None,
        progress: bool = False,
    ) -> "OptimizedMAE":
        """Return a frozen model with the same methods, prepared for this machine.

        The model itself does not change. The result has a copy of its current weights, and can be pickled and copied.

        The engines that are installed are checked against eager PyTorch on real photographs and timed in turns, for
        some seconds to a minute; the fastest for each range of batch sizes is taken. The choice is remembered by
        machine, versions, weights and shape, so that the next time costs the preparation alone.

        Args:
            engine: `"auto"`; `"pytorch"` for those alone that need no export; or one by name: `"eager"`, `"onednn"`,
                `"inductor"`, `"onnxruntime"`, `"openvino"`.
            precision: `None` (that of the weights), `"float32"`, `"bfloat16"`, `"float16"` or `"int8"`. int8 changes
                the numbers: its cosine to float32 is in the plan.
            tasks: what to prepare: `"features"` (all patches, as `features` and `encode` without a mask compute
                them), `"encode"` (with a mask), `"reconstruct"`. The others run in eager PyTorch.
            batch_sizes: on which the engines are timed; (1, 8, 32), and (1, 64, 256) on CUDA, when `None`.
            cache_dir: folder of remembered choices; the user's own, `HF_HOME/maezoo`, when `None`. One that cannot be
                written is told of as a warning: the engines are then measured at each start.
            progress: show each step.

        Returns:
            The optimised model; its `plan` says what was tried, measured and chosen.

        Raises:
            ArgumentError: an unknown engine, precision or task, or a precision that the engine does not have.
            MissingExtraError: what the engine needs is not installed.
            DecoderMissingError: `"reconstruct"` without a decoder.
            EngineError: no engine gave the right output; the message has each one's reason.

        Example:
            >>> import maezoo
            >>> model = maezoo.create("mae_vit_tiny", pretrained=True, device="cpu")
            >>> fast = model.optimize(engine="eager", batch_sizes=(1, 4))
            >>> fast.plan.tasks["features"].routes[-1].engine
            'eager'
        """
        from maezoo.api.optimized import optimize  # the engines take longer to import than a model to create

        return optimize(
            self,
            engine=engine,
            precision=precision,
            tasks=tasks,
            batch_sizes=batch_sizes,
            cache_dir=cache_dir,
            progress=progress,
        )
