"""MAE, what create() returns: a masked autoencoder that takes image-likes."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import torch
from timm.models import VisionTransformer
from torch import Tensor

from maezoo.api.reconstruction import Reconstruction, reconstruct_batch
from maezoo.checkpoints.folders import describe_model, save_folder
from maezoo.checkpoints.load import LoadReport
from maezoo.checkpoints.metadata import WeightsMetadata
from maezoo.errors import ArgumentError, DecoderMissingError
from maezoo.hub.push import push_folder
from maezoo.images.batches import ImageLikes, batches, look_at, normalise
from maezoo.images.preprocessing import Preprocessing
from maezoo.manifest.entries import WeightsEntry, load_manifest
from maezoo.masks.draw import draw_mask, generator_for
from maezoo.masks.visible import MaskRows, check_mask, visible_indices
from maezoo.model import Decoder, MaskedAutoencoder
from maezoo.progress import track
from maezoo.vocabulary import POOLS, Pool, Strategy, Target

if TYPE_CHECKING:
    from maezoo.api.optimized import OptimizedMAE

__all__ = ["MAE", "pool_tokens"]

_T = TypeVar("_T")


class MAE(MaskedAutoencoder):
    """A masked autoencoder that knows its weights' preprocessing. `maezoo.create` makes it.

    Args:
        encoder: a timm `VisionTransformer` with a class token.
        decoder: its decoder; `None` for an encoder alone.
        target: what the decoder predicts, `"pixel"` or `"normpix"`.
        preprocess: how image-likes become input; its size is the default size of the input.
        name: architecture or `architecture.tag`, for errors and records.

    Attributes:
        preprocess: as given.
        name: as given.
        entry: the manifest's entry of the weights, if they have one.
        license: of the weights, as their source states it.
        load_report: what became of every key of the weights' file; `None` for random weights.
        dtype_reason: why the weights have the number format that they have.

    Example:
        >>> import maezoo
        >>> model = maezoo.create("mae_vit_tiny", pretrained=True, device="cpu")
        >>> model.features(torch.zeros(2, 3, 96, 96)).shape
        torch.Size([2, 192])
    """

    def __init__(
        self,
        encoder: VisionTransformer,
        decoder: Decoder | None = None,
        *,
        preprocess: Preprocessing,
        target: Target = "pixel",
        name: str = "mae",
    ) -> None:
        super().__init__(encoder, decoder, target=target)
        self.preprocess = preprocess
        self.name = name
        self.entry: WeightsEntry | None = None
        self.license = "unknown"
        self.load_report: LoadReport | None = None
        self.dtype_reason = "the default"

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.cls_token.device

    @property
    def dtype(self) -> torch.dtype:
        """The weights' number format."""
        return self.cls_token.dtype

    def encode(
        self, images: ImageLikes, *, mask: Tensor | None = None, batch_size: int = 32, progress: bool = False
    ) -> Tensor:
        """Encode images to tokens. Without a mask nothing is hidden, and two calls give the same bits.

        Args:
            images: a path, bytes, an open file, a PIL image, or a uint8 or uint16 array (H, W[, C]); a list, iterator
                or generator of them; a uint8 tensor (B, C, H, W); or a float tensor (B, C, H, W), which is taken as
                already normalised.
            mask: (B, N) bool, True = hidden, the same number hidden in each row; hidden patches are not computed.
            batch_size: images at a time.
            progress: show a bar.

        Returns:
            (B, 1 + K, D) normed tokens on the model's device: the class token, then the K visible patches in raster
            order.

        Raises:
            ImageError: an image cannot be read; the message says which and why.
            MaskError: a mask of another dtype or shape, or with unequal rows.
            SizeError: a tensor whose sides are no multiples of the patch side.
        """
        if mask is None:
            return self._join(self._map(images, batch_size, progress, self.encode_tokens))
        given = look_at(images)
        visible: list[MaskRows] = []

        def run(chunk: Tensor) -> Tensor:
            if not visible:
                h, w = self.grid_for(chunk)
                rows = visible_indices(check_mask(mask, given.total, h * w)).to(self.device)
                visible.append(MaskRows(rows, given.total))
            return self.encode_tokens(chunk, visible[0].take(len(chunk)))

        tokens = self._join(self._map(given, batch_size, progress, run))
        visible[0].check_end()
        return tokens

    def features(
        self, images: ImageLikes, *, pool: Pool = "cls", batch_size: int = 32, progress: bool = False
    ) -> Tensor:
        """Return one vector for each image, behind the encoder's trained norm.

        Args:
            images: as in `encode`.
            pool: `"cls"` (the class token), `"mean"` (of the patch tokens) or `"cls+mean"` (both, 2 D wide).
            batch_size: images at a time.
            progress: show a bar.

        Returns:
            (B, D), or (B, 2 D), on the model's device.

        Raises:
            ArgumentError: an unknown pool.
            ImageError, SizeError: as in `encode`.
        """
        if pool not in POOLS:
            raise ArgumentError(f"pool is one of {', '.join(map(repr, POOLS))}; got {pool!r}.")
        return self._join(
            self._map(images, batch_size, progress, lambda chunk: pool_tokens(self.encode_tokens(chunk), pool))
        )

    def feature_maps(
        self,
        images: ImageLikes,
        *,
        layers: Sequence[int] = (-1,),
        norm: bool = True,
        batch_size: int = 32,
        progress: bool = False,
    ) -> list[Tensor]:
        """Return the patch tokens behind chosen blocks as maps.

        Args:
            images: as in `encode`.
            layers: block indices from 0; negative ones count from the end. Blocks above the last one do not run.
            norm: apply the encoder's final norm to each.
            batch_size: images at a time.
            progress: show a bar.

        Returns:
            One (B, D, h, w) tensor for each entry of `layers`.

        Raises:
            IndexError: no such block.
            ImageError, SizeError: as in `encode`.
        """

        def run(chunk: Tensor) -> list[Tensor]:
            h, w = self.grid_for(chunk)
            tokens = self.block_tokens(chunk, layers, norm=norm)
            return [x[:, 1:].transpose(1, 2).reshape(len(x), -1, h, w) for x in tokens]  # (B, D, h, w)

        parts = list(self._map(images, batch_size, progress, run))
        return [torch.cat(maps) for maps in zip(*parts, strict=True)]

    def reconstruct(
        self,
        images: ImageLikes,
        *,
        mask_ratio: float = 0.75,
        mask: Tensor | None = None,
        strategy: Strategy = "random",
        seed: int = 0,
        batch_size: int = 32,
        progress: bool = False,
    ) -> Reconstruction:
        """Hide patches and let the decoder fill them.

        Args:
            images: as in `encode`.
            mask_ratio: share of patches to hide, in [0, 1].
            mask: (B, N), (1, N) or (N,) bool, True = hidden, instead of a draw; rows may hide different numbers.
            strategy: `"random"`, `"block"` or `"grid"`.
            seed: of the draw; one seed gives one mask on every device.
            batch_size: images at a time.
            progress: show a bar.

        Returns:
            The reconstruction, on the model's device.

        Raises:
            DecoderMissingError: these weights have no decoder; the message names those that have.
            ImageError, MaskError, SizeError: as in `encode`.
        """
        self.require_decoder()
        given = look_at(images)
        generator = generator_for(seed)
        given_rows: list[MaskRows] = []

        def rows_of(chunk: Tensor) -> Tensor:
            h, w = self.grid_for(chunk)
            if mask is None:  # drawn in parts, the rows are those of one draw
                return draw_mask(strategy, len(chunk), (h, w), mask_ratio, generator=generator)
            if not given_rows:
                given_rows.append(MaskRows(check_mask(mask, given.total, h * w), given.total))
            return given_rows[0].take(len(chunk))

        def run(chunk: Tensor) -> Reconstruction:
            return reconstruct_batch(self, chunk, rows_of(chunk), self.preprocess)

        parts = list(self._map(given, batch_size, progress, run))
        for rows in given_rows:
            rows.check_end()
        return Reconstruction.join(parts)

    def prepare(self, images: ImageLikes) -> Tensor:
        """Return images as the model's input: one batch, (B, C, H, W) normalised, on the model's device.

        Args:
            images: as in `encode`.

        Raises:
            ImageError: an image cannot be read; the message says which and why.
        """
        return torch.cat(list(self.input_batches(images)))

    def input_batches(self, images: ImageLikes, batch_size: int = 32) -> Iterator[Tensor]:
        """Yield images as the model's input, some at a time; the next ones are decoded meanwhile.

        Args:
            images: as in `encode`.
            batch_size: images at a time.

        Yields:
            (b, C, H, W) normalised, on the model's device.

        Raises:
            ImageError: an image cannot be read; the message says which and why.
        """
        for chunk in batches(images, self.preprocess, self.in_chans, batch_size):
            chunk = chunk.to(self.device, non_blocking=True)
            if chunk.dtype == torch.uint8:
                chunk = normalise(chunk, self.preprocess)
            yield chunk.to(self.dtype)

    def require_decoder(self) -> Decoder:
        """Return the decoder.

        Raises:
            DecoderMissingError: there is none; the message names the weights that have one.
        """
        if self.decoder is not None:
            return self.decoder
        with_decoder = load_manifest().with_decoder(self.name.partition(".")[0])
        mend = f" These have one: {', '.join(with_decoder)}." if with_decoder else ""
        raise DecoderMissingError(f"{self.name} was created without a decoder, so it cannot reconstruct.{mend}")

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

        This one stays as it is; the other has a copy of its weights as they are now, and may be pickled and copied.

        The engines that are installed are checked against eager PyTorch on real photographs and timed in turns, for
        some seconds to a minute; the fastest for each range of batch sizes is taken. The choice is remembered by
        machine, versions, weights and shape, so that the next time costs the preparation alone.

        Args:
            engine: `"auto"`; `"pytorch"` for those alone that need no export; or one by name: `"eager"`, `"onednn"`,
                `"inductor"`, `"onnxruntime"`, `"openvino"`.
            precision: `None` (that of the weights), `"float32"`, `"bfloat16"`, `"float16"` or `"int8"`. int8 changes
                the numbers: its cosine to float32 is in the plan.
            tasks: what to prepare: `"features"` (whole images, as `features` and `encode` without a mask compute
                them), `"encode"` (with a mask), `"reconstruct"`. The others run in eager PyTorch.
            batch_sizes: on which the engines are timed; (1, 8, 32), and (1, 64, 256) on CUDA, when `None`.
            cache_dir: folder of remembered choices; the user's own when `None`.
            progress: show what is being done.

        Returns:
            The optimised model; its `plan` says what was tried, measured and chosen.

        Raises:
            ArgumentError: an unknown engine, precision or task, a precision that the engine does not have, or a model
                that is optimised already.
            MissingExtraError: what the engine needs is not installed.
            DecoderMissingError: `"reconstruct"` without a decoder.
            RuntimeError: no engine gave the right output; the message has each one's reason.

        Example:
            >>> import maezoo
            >>> model = maezoo.create("mae_vit_tiny", pretrained=True, device="cpu")
            >>> fast = model.optimize(engine="eager", batch_sizes=(1, 4))
            >>> fast.plan.tasks["features"].routes[-1].engine
            'eager'
        """
        from maezoo.api.optimized import optimize

        return optimize(
            self,
            engine=engine,
            precision=precision,
            tasks=tasks,
            batch_sizes=batch_sizes,
            cache_dir=cache_dir,
            progress=progress,
        )

    def save_pretrained(self, folder: str | Path, *, license: str | None = None) -> Path:
        """Write the model as a folder that `maezoo.create("local-dir:…")` and timm read back.

        Args:
            folder: gets model.safetensors, config.json and README.md.
            license: of the weights; that of their source when `None`.

        Returns:
            The folder.

        Example:
            >>> import maezoo, tempfile
            >>> model = maezoo.create("mae_vit_tiny", pretrained=True, device="cpu")
            >>> sorted(path.name for path in model.save_pretrained(tempfile.mkdtemp()).iterdir())
            ['README.md', 'config.json', 'model.safetensors']
        """
        return save_folder(self, folder, self._describe(license))

    def push_to_hub(
        self,
        repo_id: str,
        *,
        private: bool = False,
        revision: str | None = None,
        commit_message: str = "Add model",
        token: str | None = None,
        license: str | None = None,
    ) -> str:
        """Write the model to a repository of the hub, from where `maezoo.create("hf-hub:…")` and timm read it back.

        Args:
            repo_id: `org/repo`, made when missing.
            private: of a repository that is made.
            revision: the branch.
            commit_message: of the one commit.
            token: to write with; `HF_TOKEN` or the one of `hf auth login` when `None`.
            license: of the weights; that of their source when `None`.

        Returns:
            The commit's address.
        """
        metadata = self._describe(license)
        return push_folder(
            self,
            repo_id,
            metadata,
            private=private,
            revision=revision,
            commit_message=commit_message,
            token=token,
        )

    def _describe(self, license: str | None) -> WeightsMetadata:
        """Return what a file of this model says of itself."""
        return describe_model(self, self.preprocess, license=license or self.license, origin=f"Saved from {self.name}.")

    def _map(self, images: ImageLikes, batch_size: int, progress: bool, run: Callable[[Tensor], _T]) -> Iterator[_T]:
        """Yield what `run` makes of each batch of normalised input."""
        given = look_at(images)
        with torch.no_grad(), track(given.total, "images", show=progress) as advance:
            for chunk in self.input_batches(given, batch_size):
                yield run(chunk)
                advance(len(chunk))

    @staticmethod
    def _join(parts: Iterator[Tensor]) -> Tensor:
        return torch.cat(list(parts))


def pool_tokens(tokens: Tensor, pool: Pool) -> Tensor:
    """Pool (B, 1 + N, D) tokens, class token first, to (B, D) or (B, 2 D).

    Example:
        >>> pool_tokens(torch.zeros(2, 5, 8), "cls+mean").shape
        torch.Size([2, 16])
    """
    if pool == "cls":
        return tokens[:, 0]
    mean = tokens[:, 1:].mean(dim=1)
    return mean if pool == "mean" else torch.cat([tokens[:, 0], mean], dim=1)
