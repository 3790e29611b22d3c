"""Time of a model from a warm cache to its first use: maezoo, transformers and timm on the same weights, interleaved.

    python benchmarks/load.py [mae_vit_base] [--rounds 5]

Each measurement is a process of its own whose imports are done before the clock starts. Weights are random: speed does
not depend on them. Ratios of medians are printed; a machine with other work gives noisy ones.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import torch

from maezoo.model import VARIANTS, build_mae
from maezoo.preprocessing import Preprocessing
from maezoo.weights import WeightsMetadata, save_model
from maezoo.weights.convert import convert

_TIMED = """
import resource, sys, time
{imports}
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
start = time.perf_counter()
model = {expression}
print(time.perf_counter() - start, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def contestants(name: str, folder: Path) -> dict[str, tuple[str, str]]:
    """Imports and expression of each way to load."""
    create = f'maezoo.create("local-dir:{folder}/transformers", device="cpu")'
    timm_name = {"mae_vit_base": "vit_base_patch16_224", "mae_vit_large": "vit_large_patch16_224"}.get(
        name, "vit_huge_patch14_224"
    )
    path = f"{folder}/timm/model.safetensors"
    return {
        "maezoo": ("import maezoo; maezoo.create", create),
        "maezoo encoder": ("import maezoo; maezoo.create", create.replace(")", ", decoder=False)")),
        "transformers": (
            "from transformers import ViTMAEForPreTraining",
            f'ViTMAEForPreTraining.from_pretrained("{folder}/transformers")',
        ),
        "timm": ("import timm", f'timm.create_model("{timm_name}", num_classes=0, checkpoint_path="{path}")'),
    }


def measure(imports: str, expression: str) -> tuple[float, int]:
    """Seconds and KiB of additional peak memory, in a fresh process."""
    code = _TIMED.format(imports=imports, expression=expression)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    seconds, memory = done.stdout.split()[-2:]
    return float(seconds), int(memory)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("name", nargs="?", default="mae_vit_base", choices=sorted(set(VARIANTS) - {"mae_vit_tiny"}))
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    variant = VARIANTS[options.name]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with torch.device("meta"):
            model = build_mae(variant, init=False)
        model = model.to_empty(device="cpu").requires_grad_(False)
        for parameter in model.parameters():
            parameter.normal_(std=0.02)
        metadata = WeightsMetadata(variant, "pixel", Preprocessing(size=(224, 224)), ("encoder", "decoder"))
        save_model(model, folder / "ours.safetensors", metadata=metadata)
        del model
        convert(folder / "ours.safetensors", folder / "transformers", to="transformers")
        convert(folder / "ours.safetensors", folder / "timm", to="timm", encoder_only=True)
        size = (folder / "transformers/model.safetensors").stat().st_size
        times: dict[str, list[float]] = {}
        memory: dict[str, int] = {}
        for _ in range(options.rounds):
            for label, (imports, expression) in contestants(options.name, folder).items():
                seconds, peak = measure(imports, expression)
                times.setdefault(label, []).append(seconds)
                memory[label] = max(memory.get(label, 0), peak)
    ours = statistics.median(times["maezoo"])
    for label, values in times.items():
        median = statistics.median(values)
        print(
            f"{label:16} median {median:.3f} s  best {min(values):.3f} s  {median / ours:5.2f} x maezoo  "
            f"memory {memory[label] * 1024 / size:.2f} x the file"
        )


if __name__ == "__main__":
    main()
