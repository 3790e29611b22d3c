"""Train a detector: torchvision's Faster R-CNN on an encoder with a feature pyramid. Needs the extra `downstream`.

python examples/detect.py -o boxes.png
"""

from pathlib import Path

import torch
from learning import fit, parse
from scenes import CLASSES, make_scene
from scoring import average_precision, draw_boxes, save_grid
from torch import Tensor
from torchvision.models.detection import FasterRCNN

from maezoo.downstream import FeaturePyramid

# Fewer candidates than torchvision's defaults, which are for scenes with tens of objects.
FEWER = {"rpn_pre_nms_top_n_train": 500, "rpn_post_nms_top_n_train": 200, "rpn_pre_nms_top_n_test": 500}
FEWER |= {"rpn_post_nms_top_n_test": 200, "box_batch_size_per_image": 64, "box_detections_per_img": 20}


def main(output: Path, model: str, steps: int, channels: int, pretrained: bool = True, tests: int = 64) -> float:
    """Train; draw the truth and what was found in test scenes; return the mean average precision (AP50)."""
    torch.manual_seed(0)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    backbone = FeaturePyramid(model, channels, pretrained=pretrained)
    network = FasterRCNN(backbone, num_classes=len(CLASSES), min_size=160, max_size=160, **FEWER).to(device)

    def loss_of(seeds: range) -> Tensor:
        scenes = [make_scene(seed) for seed in seeds]
        targets = [{name: x.to(device) for name, x in target.items()} for _, target in scenes]
        losses = network([image.to(device) for image, _ in scenes], targets)
        return torch.stack(list(losses.values())).sum()

    fit(network, loss_of, steps)
    images, truth = zip(*[make_scene(seed, test=True) for seed in range(tests)], strict=True)
    with torch.no_grad():
        found = [{k: x.cpu() for k, x in network.eval()([image.to(device)])[0].items()} for image in images]
    score = {name: average_precision(found, truth, label) for label, name in enumerate(CLASSES) if label}
    print({name: round(value, 3) for name, value in score.items()})
    mean = sum(score.values()) / len(score)
    print(f"mean AP50 on {tests} test scenes: {mean:.3f}")
    save_grid([draw_boxes(images[:6], truth), draw_boxes(images[:6], found)], output)
    return mean


if __name__ == "__main__":
    options = parse(__doc__, "boxes.png")
    main(options.output, options.model, options.steps, options.channels, not options.random)
