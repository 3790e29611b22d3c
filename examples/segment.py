"""Train a segmenter: UPerNet of segmentation-models-pytorch on one of our encoders. Needs the extra `downstream`.

python examples/segment.py -o segments.png
"""

from pathlib import Path

import segmentation_models_pytorch as smp
import torch
from learning import fit, parse
from scenes import CLASSES, COLOURS, MEAN, STD, make_scene
from scoring import save_grid
from torch import Tensor
from torchmetrics.segmentation import MeanIoU
from torchvision.transforms.functional import normalize
from torchvision.utils import draw_segmentation_masks

import maezoo  # noqa: F401  # puts the encoders into timm's registry, where the decoder looks for them


def load(seeds: range, *, test: bool = False) -> tuple[Tensor, Tensor]:
    """Return scenes (B, 3, H, W) in [0, 1], and the class of each pixel (B, H, W)."""
    scenes = [make_scene(seed, test=test) for seed in seeds]
    classes = [(target["masks"] * target["labels"][:, None, None]).sum(dim=0) for _, target in scenes]
    return torch.stack([image for image, _ in scenes]), torch.stack(classes)


def main(output: Path, model: str, steps: int, channels: int, pretrained: bool = True, tests: int = 64) -> float:
    """Train; draw test scenes, the truth and what was found; return the mean intersection over union."""
    torch.manual_seed(0)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    sizes = {"classes": len(CLASSES), "decoder_channels": channels, "out_channels": channels}
    network = smp.UPerNet(f"tu-{model}_pyramid", encoder_weights=pretrained or None, **sizes).to(device)

    def loss_of(seeds: range) -> Tensor:
        images, classes = load(seeds)
        return torch.nn.functional.cross_entropy(network(normalize(images, MEAN, STD).to(device)), classes.to(device))

    fit(network, loss_of, steps)
    images, classes = load(range(tests), test=True)
    with torch.no_grad():
        logits = [network.eval()(normalize(x, MEAN, STD).to(device)) for x in images.split(4)]
    found = torch.cat(logits).argmax(dim=1).cpu()
    score = MeanIoU(len(CLASSES), per_class=True, input_format="index")(found, classes)
    print({name: round(value, 3) for name, value in zip(CLASSES, score.tolist(), strict=True)})
    print(f"mean IoU on {tests} test scenes: {score.mean().item():.3f}")
    pictures = (images[:6] * 255).to(torch.uint8)
    save_grid([list(pictures), draw(pictures, classes), draw(pictures, found)], output)
    return score.mean().item()


def draw(pictures: Tensor, classes: Tensor) -> list[Tensor]:
    """Colour the pixels of each class in each picture."""
    masks = torch.arange(1, len(CLASSES))[:, None, None] == classes[: len(pictures), None]  # (B, 4, H, W)
    return [draw_segmentation_masks(x, mask, 0.6, list(COLOURS[1:])) for x, mask in zip(pictures, masks, strict=True)]


if __name__ == "__main__":
    options = parse(__doc__, "segments.png")
    main(options.output, options.model, options.steps, options.channels, not options.random)
