"""Use the encoder as a timm model: after `import maezoo` nothing else is needed. Drawing needs the extra `figures`.

python examples/timm_backbone.py photo.jpg -o layers.png
"""

import argparse
from pathlib import Path

import timm
import torch
from matplotlib.figure import Figure

import maezoo  # noqa: F401  # puts the encoders into timm's registry
from maezoo.images.batches import open_image


def main(photo: Path, output: Path) -> None:
    """Print what a classifier and a pyramid of features look like, and draw how strongly each layer responds."""
    classifier = timm.create_model("mae_vit_tiny", pretrained=True, num_classes=10).eval()
    settings = timm.data.resolve_model_data_config(classifier)
    prepare = timm.data.create_transform(**settings, is_training=False)
    x = prepare(open_image(photo))[None]  # (1, 3, H, W)

    layers = timm.create_model("mae_vit_tiny", pretrained=True, features_only=True, out_indices=(0, 2, 5)).eval()
    with torch.no_grad():
        print("logits of a new head:", tuple(classifier(x).shape))
        maps = layers(x)  # each (1, D, h, w)
    print("feature maps:", [tuple(m.shape) for m in maps])

    figure = Figure(figsize=(8, 2.25), layout="constrained")
    panels = figure.subplots(1, 1 + len(maps))
    mean, std = torch.tensor(settings["mean"]), torch.tensor(settings["std"])
    panels[0].imshow((x[0].permute(1, 2, 0) * std + mean).clamp(0, 1).numpy())
    panels[0].set_title("photo")
    for panel, m, layer in zip(panels[1:], maps, (0, 2, 5), strict=True):
        panel.imshow(m[0].square().mean(dim=0).sqrt().numpy(), cmap="viridis")
        panel.set_title(f"layer {layer}")
    for panel in panels:
        panel.set_axis_off()
    figure.savefig(output, dpi=120)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("photo", type=Path)
    parser.add_argument("-o", "--output", type=Path, default=Path("layers.png"))
    arguments = parser.parse_args()
    main(arguments.photo, arguments.output)
