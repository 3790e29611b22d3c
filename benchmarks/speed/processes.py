"""What is measured in processes of their own: imports, the command line, loading, memory."""

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from benchmarks.speed.timing import explain
from maezoo.checkpoints.convert import convert
from maezoo.checkpoints.metadata import WeightsMetadata
from maezoo.checkpoints.save import save_model
from maezoo.images.preprocessing import Preprocessing
from maezoo.model import VARIANTS, build_mae

__all__ = ["measure_create", "measure_memory", "measure_start"]

Say = Callable[[str], None]

_TIMED = """
import sys, time
{imports}

def peak():
    try:
        with open("/proc/self/status") as status:
            return next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))
    except OSError:
        import resource
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // (1024 if sys.platform == "darwin" else 1)

try:
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")  # the peak so far is forgotten: what the imports needed for a moment does not count
except OSError:
    pass
before = peak()
start = time.perf_counter()
{statement}
print(time.perf_counter() - start, peak() - before)
"""
_OWN = "own.safetensors"
_TIMM = {"base": "vit_base_patch16_224", "large": "vit_large_patch16_224", "huge": "vit_huge_patch14_224"}


def measure_start(rounds: int, say: Say) -> list[dict[str, Any]]:
    """Time imports and the command line, the whole process each."""
    command = Path(sys.executable).with_name("maezoo")
    ours = [str(command)] if command.exists() else [sys.executable, "-c", "from maezoo.cli import main; main()"]
    commands = {
        "python -c pass": [sys.executable, "-c", "pass"],
        "import torch": [sys.executable, "-c", "import torch"],
        "import maezoo": [sys.executable, "-c", "import maezoo"],
        "import maezoo; maezoo.create": [sys.executable, "-c", "import maezoo; maezoo.create"],
        "import timm": [sys.executable, "-c", "import timm"],
        "maezoo --version": [*ours, "--version"],
        "maezoo --help": [*ours, "--help"],
    }

    def run(name: str) -> dict[str, float]:
        start = time.perf_counter()
        subprocess.run(commands[name], capture_output=True, text=True, check=True)
        return {"seconds": time.perf_counter() - start}

    return _in_turns(list(commands), run, rounds, "start", say)


def measure_create(name: str, folder: Path, rounds: int, say: Say) -> list[dict[str, Any]]:
    """Time a model from files in the page cache to its first use; imports are done before the clock starts."""
    size = write_weights(name, folder, timm=True)
    contestants = _loaders(name, folder)

    def run(label: str) -> dict[str, float]:
        seconds, memory = _measured(*contestants[label])
        return {"seconds": seconds, "memory_of_file": memory / size}

    return _in_turns(list(contestants), run, rounds, f"create {name}", say)


def measure_memory(name: str, folder: Path, batch: int, say: Say) -> list[dict[str, Any]]:
    """Measure the peak memory of features on the CPU, relative to the size of the encoder's weights."""
    write_weights(name, folder)
    variant = VARIANTS[name]
    with torch.device("meta"):
        weights = 4 * sum(each.numel() for each in build_mae(variant, decoder=False, init=False).parameters())
    tokens = 1 + (variant.img_size // variant.patch_size) ** 2
    # The widest moment of a block: input, its norm, and the MLP's hidden layer before and after its activation.
    activations = batch * tokens * variant.embed_dim * 4 * (1 + 1 + 4 + 4)
    create = f'maezoo.create("local-dir:{folder}/transformers", device="cpu", decoder=False)'
    own = f'maezoo.create("{name}", checkpoint="{folder}/{_OWN}", device="cpu", decoder=False)'
    run = f"x = torch.zeros({batch}, 3, {variant.img_size}, {variant.img_size}); model.features(x)"
    ways = {
        "maezoo, transformers' layout": f"model = {create}; {run}",
        "maezoo, own layout": f"model = {own}; {run}",
        "maezoo optimised, eager": f'model = {create}.optimize(engine="eager", batch_sizes=({batch},)); {run}',
    }

    def one(label: str) -> dict[str, float]:
        _, memory = _measured("import torch, maezoo; maezoo.create", ways[label])
        return {
            "peak_of_weights": memory / weights,
            "without_activations_of_weights": (memory - activations) / weights,
            "peak_mib": memory / 2**20,
            "weights_mib": weights / 2**20,
            "activations_mib": activations / 2**20,
        }

    return _in_turns(list(ways), one, 1, f"memory of {name} features, batch {batch}", say)


def write_weights(name: str, folder: Path, *, timm: bool = False) -> int:
    """Write random weights in transformers' layout, our own and, if asked, timm's; return the size of the first."""
    whole = folder / "transformers" / "model.safetensors"
    if not whole.exists():
        variant = VARIANTS[name]
        with torch.device("meta"):
            model = build_mae(variant, init=False)
        model = model.to_empty(device="cpu").requires_grad_(False)
        for parameter in model.parameters():
            parameter.normal_(std=0.02)
        size = (variant.img_size, variant.img_size)
        metadata = WeightsMetadata(variant, "pixel", Preprocessing(size=size), ("encoder", "decoder"))
        ours = folder / _OWN
        save_model(model, ours, metadata=metadata)
        del model
        if timm:
            convert(ours, folder / "timm", to="timm", encoder_only=True)
        convert(ours, folder / "transformers", to="transformers")
    return whole.stat().st_size


def _loaders(name: str, folder: Path) -> dict[str, tuple[str, str]]:
    """Return imports and statement of each way to load."""
    create = f'maezoo.create("local-dir:{folder}/transformers", device="cpu"'
    ways = {
        "maezoo": ("import maezoo; maezoo.create", f"model = {create})"),
        "maezoo, encoder": ("import maezoo; maezoo.create", f"model = {create}, decoder=False)"),
        "transformers": (
            "from transformers import ViTMAEForPreTraining",
            f'model = ViTMAEForPreTraining.from_pretrained("{folder}/transformers")',
        ),
    }
    timm_name = _TIMM.get(name.rpartition("_")[2])
    if timm_name is not None:
        path = folder / "timm" / "model.safetensors"
        call = f'model = timm.create_model("{timm_name}", num_classes=0, checkpoint_path="{path}")'
        ways["timm, encoder"] = ("import timm", call)
    return ways


def _measured(imports: str, statement: str) -> tuple[float, float]:
    """Return the seconds that a statement takes and the bytes by which the peak memory grew, in a fresh process."""
    code = _TIMED.format(imports=imports, statement=statement)
    environment = {**os.environ, "OMP_NUM_THREADS": str(torch.get_num_threads())}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, env=environment)
    if done.returncode:
        raise RuntimeError(done.stderr.strip().splitlines()[-1] if done.stderr.strip() else f"exit {done.returncode}")
    seconds, memory = done.stdout.split()[-2:]
    return float(seconds), float(memory) * 1024


def _in_turns(
    names: list[str], run: Callable[[str], dict[str, float]], rounds: int, title: str, say: Say
) -> list[dict[str, Any]]:
    """Measure alternately; return the medians and the times of each."""
    found: dict[str, list[dict[str, float]]] = {name: [] for name in names}
    failed: dict[str, str] = {}
    for number in range(rounds):
        say(f"{title}: round {number + 1} of {rounds}")
        for name in names:
            if name in failed:
                continue
            try:
                found[name].append(run(name))
            except (subprocess.CalledProcessError, RuntimeError, ValueError, OSError) as error:
                failed[name] = explain(error)
    return [_row(name, found[name], failed.get(name)) for name in names]


def _row(name: str, found: list[dict[str, float]], failure: str | None) -> dict[str, Any]:
    """Put the measurements of one contestant together."""
    if failure is not None or not found:
        return {"contestant": name, "status": "failed", "note": failure or "not measured"}
    medians = {key: statistics.median(each[key] for each in found) for key in found[0]}
    samples = [round(each["seconds"], 4) for each in found if "seconds" in each]
    return {"contestant": name, "status": "ok", **medians, **({"samples": samples} if samples else {})}
