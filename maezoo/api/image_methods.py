"""What a model does with image-likes, written once for `MAE` and `OptimizedMAE`."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TypeVar

import torch
from timm.models import VisionTransformer
from torch import Tensor, nn

from maezoo.api.random_weights import RandomWeights
from maezoo.api.reconstruction import Reconstruction, reconstruct_batch
from maezoo.api.view import view_of
from maezoo.checkpoints.load import LoadReport
from maezoo.errors import ArgumentError, DecoderMissingError, ImageError
from maezoo.images.batches import ImageLikes, Images, batches, look_at, normalise
from maezoo.images.preprocessing import Preprocessing
from maezoo.manifest.entries import WeightsEntry, load_manifest
from maezoo.masks.rows import DrawnRows, GivenRows, MaskRows
from maezoo.model import Decoder, Facts, MaskedAutoencoder, PatchedImages, pool_tokens
from maezoo.model.facts import PAPER
from maezoo.progress import track
from maezoo.vocabulary import POOLS, Pool, Strategy, Target

__all__ = ["ImageMethods", "check_one_shape"]

_T = TypeVar("_T")


class ImageMethods(MaskedAutoencoder):
    """A masked autoencoder that takes image-likes, and knows where its weights are from.

    Args:
        encoder: a timm `VisionTransformer` with a class token.
        decoder: its decoder; `None` for an encoder alone.
        target: what the decoder predicts, `"pixel"` or `"normpix"`; `None` for an encoder alone where it is not known.
        preprocess: how image-likes become input; its size is the default size of the input.
        name: architecture or `architecture.tag`, for errors and records.
        facts: of the weights, as for `MaskedAutoencoder`.

    Attributes:
        preprocess: as given.
        name: as given.
        entry: the manifest's entry of the weights, if they have one.
        license: of the weights, as their source states it.
        load_report: what became of every key of the weights' file; `None` for random weights.
        dtype_reason: why the weights have the number format that they have.
        random_weights: what `maezoo.create` drew, if it drew the weights; using them warns once.
    """

    def __init__(
        self,
        encoder: VisionTransformer,
        decoder: Decoder | None = None,
        *,
        preprocess: Preprocessing,
        target: Target | None = "pixel",
        name: str = "mae",
        facts: Facts = PAPER,
    ) -> None:
        super().__init__(encoder, decoder, target=target, facts=facts)
        self.preprocess = preprocess
        self.name = name
        self.entry: WeightsEntry | None = None
        self.license = "unknown"
        self.load_report: LoadReport | None = None
        self.dtype_reason = "the default"
        self.random_weights: RandomWeights | None = None

    def __repr__(self) -> str:
        """Say in one line what it is; `print(model.encoder)` and `print(model.decoder)` show the layers."""
        (H, W), (h, w) = self.img_size, self.grid_size
        facts = (
            f"{H}x{W}",
            f"patch {self.patch_size}",
            f"{h}x{w} grid",
            f"{self.embed_dim} x {len(self.encoder.blocks)}",
            *([] if self.in_chans == 3 else [f"in_chans {self.in_chans}"]),
            str(self.target) if self.decoder is not None else "no decoder",
            str(self.dtype).removeprefix("torch."),
            str(self.device),
        )
        return f"{type(self).__name__} {self.name}: {', '.join(facts)}"

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
                already normalised. Models of bands, sound or text take arrays of other formats, `.npy` and GeoTIFF
                files, `maezoo.Scene`, sound files, `maezoo.Sound`, texts and `maezoo.Text`.
            mask: (B, N) bool, True = hidden, the same number hidden in each row; hidden patches are not computed.
            batch_size: images at a time.
            progress: show a bar.

        Returns:
            (B, 1 + K, D) normed tokens on the model's device: the class token (or all of them, where there are
            several), then the K visible patches in raster order.

        Raises:
            ImageError: an image cannot be read; the message says which and why.
            MaskError: a mask of another dtype or shape, or with unequal rows.
            SizeError: a tensor whose sides are no multiples of the patch side.
        """
        given = look_at(images)
        rows = None if mask is None else GivenRows(mask, given.total, visible=True)

        def run(batch: PatchedImages) -> Tensor:
            visible = None if rows is None else _next_rows(rows, batch).to(self.device)
            return self.encode_tokens(batch, visible)

        parts = self._map(given, run, batch_size, progress)
        if rows is not None:
            rows.check_end()
        return torch.cat(check_one_shape(parts))

    def features(
        self, images: ImageLikes, *, pool: Pool | None = None, batch_size: int = 32, progress: bool = False
    ) -> Tensor:
        """Return one vector for each image, after the encoder's trained norm.

        Args:
            images: as in `encode`.
            pool: `"cls"` (the class token, or the mean of several), `"mean"` (of the patch tokens) or `"cls+mean"`
                (both, 2 D wide); what the authors of the weights use when `None`, `model.facts.pooling`.
            batch_size: images at a time.
            progress: show a bar.

        Returns:
            (B, D), or (B, 2 D), on the model's device.

        Raises:
            ArgumentError: an unknown pool.
            ImageError, SizeError: as in `encode`.
        """
        chosen = self.pooling if pool is None else pool
        if chosen not in POOLS:
            raise ArgumentError.for_choice("pool", pool, POOLS)

        def run(batch: PatchedImages) -> Tensor:
            return pool_tokens(self.encode_tokens(batch), chosen, self.num_prefix_tokens)

        return torch.cat(self._map(look_at(images), run, batch_size, progress))

    def feature_maps(
        self,
        images: ImageLikes,
        *,
        layers: Sequence[int] = (-1,),
        norm: bool = True,
        batch_size: int = 32,
        progress: bool = False,
    ) -> list[Tensor]:
        """Return the patch tokens after chosen blocks as maps.

        Args:
            images: as in `encode`.
            layers: block indices from 0; negative ones count from the end. The blocks after the last one do not run.
            norm: apply the encoder's final norm to each.
            batch_size: images at a time.
            progress: show a bar.

        Returns:
            One (B, D, h, w) tensor for each entry of `layers`.

        Raises:
            LayerError: no such block.
            ImageError, SizeError: as in `encode`.
        """

        def run(batch: PatchedImages) -> list[Tensor]:
            found = self.block_tokens(batch, layers, norm=norm)
            D, prefix = self.embed_dim, self.num_prefix_tokens
            return [x[:, prefix:].transpose(1, 2).reshape(len(x), D, *batch.grid_size) for x in found]  # (B, D, h, w)

        parts = self._map(look_at(images), run, batch_size, progress)
        return [torch.cat(check_one_shape(each)) for each in zip(*parts, strict=True)]

    def reconstruct(
        self,
        images: ImageLikes,
        *,
        mask_ratio: float = 0.75,
        mask: Tensor | None = None,
        strategy: Strategy = "random",
        seed: int = 0,
        bands: Sequence[str | int] | None = None,
        batch_size: int = 32,
        progress: bool = False,
    ) -> Reconstruction:
        """Hide patches and let the decoder fill them.

        Args:
            images: as in `encode`.
            mask_ratio: share of patches to hide, in [0, 1].
            mask: (B, N), (1, N) or (N,) bool, True = hidden, instead of a draw; rows may hide different numbers.
            strategy: `"random"`, `"block"`, `"grid"` or `"cells"`.
            seed: of the draw; one seed gives one mask on every device.
            bands: one or three bands to show, of weights that have names for theirs; the natural colours when `None`.
            batch_size: images at a time.
            progress: show a bar.

        Returns:
            The reconstruction, on the model's device.

        Raises:
            DecoderMissingError: these weights have no decoder; the message names those that have.
            ArgumentError: bands that these weights do not have.
            ImageError, MaskError, SizeError: as in `encode`.
        """
        view = view_of(self.preprocess, bands)
        self._warn_if_random({"encoder": self.encoder, "decoder": self.require_decoder()})
        given = look_at(images)
        rows: MaskRows = DrawnRows(strategy, mask_ratio, seed) if mask is None else GivenRows(mask, given.total)

        def run(batch: PatchedImages) -> Reconstruction:
            return reconstruct_batch(self, batch, _next_rows(rows, batch), self.preprocess, view)

        parts = self._map(given, run, batch_size, progress)
        rows.check_end()
        check_one_shape([part.original for part in parts])
        return Reconstruction.join(parts)

    def prepare(self, images: ImageLikes) -> Tensor:
        """Return images as the model's input: one batch, (B, C, H, W) normalised, on the model's device.

        Args:
            images: as in `encode`.

        Raises:
            ImageError: an image cannot be read; the message says which and why.
        """
        return torch.cat(check_one_shape([batch.images for batch in self.input_batches(images)]))

    def input_batches(self, images: ImageLikes, batch_size: int = 32) -> Iterator[PatchedImages]:
        """Yield images as the model's input, some at a time; the next ones are decoded meanwhile.

        Args:
            images: as in `encode`.
            batch_size: images at a time.

        Yields:
            Images (b, C, H, W), normalised, on the model's device, and their patch grid.

        Raises:
            ImageError: an image cannot be read; the message says which and why.
            SizeError: a tensor whose sides are no multiples of the patch side.
        """
        self._warn_if_random({"encoder": self.encoder})
        for chunk in batches(images, self.preprocess, self.in_chans, batch_size):
            chunk = chunk.to(self.device, non_blocking=True)
            if chunk.dtype == torch.uint8:
                chunk = normalise(chunk, self.preprocess)
            yield self.on_grid(chunk.to(self.dtype))

    def require_decoder(self) -> Decoder:
        """Return the decoder.

        Raises:
            DecoderMissingError: there is none; the message names the weights that have one.
        """
        if self.decoder is not None:
            return self.decoder
        with_decoder = load_manifest().with_decoder(self.name.partition(".")[0])
        hint = f" These have one: {', '.join(with_decoder)}." if with_decoder else ""
        raise DecoderMissingError(
            f"{self.name} was created without a decoder, so it cannot reconstruct.{hint}", suggestions=with_decoder
        )

    def _warn_if_random(self, parts: Mapping[str, nn.Module]) -> None:
        """Warn, once, of parts that are used and have random weights."""
        if self.random_weights is not None and not self.training:
            self.random_weights.warn(self.name, parts)

    def _map(self, images: Images, run: Callable[[PatchedImages], _T], batch_size: int, progress: bool) -> list[_T]:
        """Return what `run` makes of each batch."""
        parts = []
        with torch.no_grad(), track(images.total, "images", show=progress) as advance:
            for batch in self.input_batches(images, batch_size):
                parts.append(run(batch))
                advance(len(batch.images))
        return parts


def check_one_shape(parts: Sequence[Tensor]) -> list[Tensor]:
    """Return batches of inputs of one size.

    Raises:
        ImageError: texts of different lengths, of which only `features` makes one tensor.
    """
    shapes = sorted({tuple(part.shape[1:]) for part in parts})
    if len(shapes) > 1:
        raise ImageError(
            f"texts of different lengths give tensors of different shapes, from {shapes[0]} to {shapes[-1]}; pass them "
            "one by one, or draw all with one width: maezoo.Text(text, patches=…).",
            expected=shapes[0],
            found=shapes[-1],
        )
    return list(parts)


def _next_rows(rows: MaskRows, batch: PatchedImages) -> Tensor:
    """Return the rows of a mask that are a batch's."""
    return rows.take(len(batch.images), batch.grid_size)
