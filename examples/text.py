"""Sentences, drawn as strips: their features, and a reconstruction of one with a quarter of its patches hidden.

The weights are random, so that it runs without the network: the features and the reconstruction mean nothing. With
`pretrained=True` the published ones are downloaded. Pass the font of training, Go Noto Current, with `--font`.

python examples/text.py -o text.png
"""

import argparse
from pathlib import Path

import torch

import maezoo

SENTENCES = (
    "The cat sat on the mat.",
    "A cat was sitting on a mat.",
    "Masked autoencoders hide most of a picture and learn to draw it again. A page of text is a picture too: each "
    "letter is drawn in black on white, sixteen pixels high, and nothing is cut into words.",
)


def main(output: Path, font: Path | None = None) -> torch.Tensor:
    """Print how alike the sentences are, and draw the reconstruction of the longest as lines."""
    model = maezoo.create("mae_vit_base.rendered_text", device="cpu")  # pretrained=True for the published weights
    texts = [maezoo.Text(sentence, font=font) for sentence in SENTENCES]
    vectors = torch.nn.functional.normalize(model.features(texts, pool="mean"), dim=1)  # (3, D); no white is read
    print(f"cosines with the first: {(vectors @ vectors[0]).tolist()}")
    model.reconstruct(texts[2], mask_ratio=0.25).save(output, labels=True)
    print(f"{output}: original, masked, and the reconstruction by random weights")
    return vectors


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-o", "--output", type=Path, default=Path("text.png"))
    parser.add_argument("--font", type=Path)
    arguments = parser.parse_args()
    main(arguments.output, arguments.font)
