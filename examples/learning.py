"""What detect.py and segment.py share: the training loop and the command line."""

import argparse
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

BATCH = 4
RATE = 5e-4


def fit(network: nn.Module, loss_of: Callable[[range], Tensor], steps: int) -> None:
    """Train a network; `loss_of` gives the loss of the scenes with some seeds.

    It uses AdamW with a warm-up and a cosine decay. For real data add layer decay, as docs/downstream.md shows.
    """
    optimizer = torch.optim.AdamW(network.parameters(), lr=RATE, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=RATE, total_steps=steps)
    for step in range(steps):
        loss = loss_of(range(BATCH * step, BATCH * (step + 1)))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if step % 20 == 0:
            print(f"step {step}: loss {loss.item():.3f}", flush=True)


def parse(description: str | None, output: str) -> argparse.Namespace:
    """Read the command line."""
    formatter = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=description, formatter_class=formatter)
    parser.add_argument("-o", "--output", type=Path, default=Path(output))
    parser.add_argument("--model", default="mae_vit_tiny", help="an architecture; mae_vit_base for a GPU")
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--channels", type=int, default=64, help="of the pyramid, 256 for a GPU")
    parser.add_argument(
        "--random", action="store_true", help="start from random weights, to see what pretraining gives"
    )
    return parser.parse_args()
