"""Time and memory of a feature pyramid on a large image: attention in windows against global attention.

python -m benchmarks.speed.windows --model mae_vit_base --size 1024

Each measurement has a process and one thread of its own. The time is that of the processor, which hardly depends on
what else the machine does; the memory is the peak, less what the model and the imports hold before.
"""

import argparse
import os
import subprocess
import sys

_PROGRAM = """
import sys, time
import timm, torch, maezoo
from maezoo.downstream import FeaturePyramid

name, size, window, mode = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]) or None, sys.argv[4]
torch.set_num_threads(1)
pyramid = FeaturePyramid(timm.create_model(name), window_size=window)
pyramid.set_grad_checkpointing(mode == "checkpointed")
images = torch.randn(1, 3, size, size)

def kilobytes(key):
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith(key))

with open("/proc/self/clear_refs", "w") as file:
    file.write("5")  # forget the peak so far
before = kilobytes("VmRSS")
start = time.process_time()
with torch.set_grad_enabled(mode != "forward"):
    maps = pyramid(images)
    if mode != "forward":
        sum(x.square().mean() for x in maps.values()).backward()
print(time.process_time() - start, (kilobytes("VmHWM") - before) / 2**20)
"""


def main() -> None:
    """Measure and print a table for Markdown. Linux only: it reads /proc."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="mae_vit_base")
    parser.add_argument("--size", type=int, default=1024, help="side of the image in pixels")
    parser.add_argument("--window", type=int, default=14, help="side of a window in patches")
    parser.add_argument("--modes", nargs="+", default=["forward", "training", "checkpointed"])
    arguments = parser.parse_args()
    print("| | attention | seconds | GiB |\n|---|---|---:|---:|", flush=True)
    for mode in arguments.modes:
        for window in (0, arguments.window):
            command = [sys.executable, "-c", _PROGRAM, arguments.model, str(arguments.size), str(window), mode]
            threads = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
            done = subprocess.run(command, capture_output=True, text=True, check=True, env=os.environ | threads)
            seconds, gigabytes = map(float, done.stdout.split())
            attention = f"windows of {window}, four blocks global" if window else "global"
            print(f"| {mode} | {attention} | {seconds:.1f} | {gigabytes:.2f} |", flush=True)


if __name__ == "__main__":
    main()
