"""What a stranger tries first, with the installed package alone: `python -I smoke.py bare` in an empty folder.

`bare` is an environment without extras: the package works there, and whatever needs an extra says how to install it.
`extras` is one with `maezoo[demo,extract]`: these work, too.
"""

import json
import os
import re
import signal
import subprocess
import sys
import urllib.request
from importlib.metadata import metadata
from pathlib import Path

import numpy as np

import maezoo

COMMAND = [sys.executable, "-I", "-m", "maezoo"]
SCRIPT = Path(sys.executable).with_name("maezoo.exe" if os.name == "nt" else "maezoo")
SCENE = "from pathlib import Path; from maezoo.images.geotiff import read_geotiff; read_geotiff(Path('a.tif'), 'a.tif')"
SOUND = (
    "from pathlib import Path; from maezoo.images.sounds import read_sound; read_sound(Path('a.wav'), 'a.wav', 0, 1)"
)
ESTIMATOR = "from maezoo.downstream import MAEFeatures; MAEFeatures()"

# For each extra, what a user runs who does not have it.
WITHOUT = {
    "demo": [*COMMAND, "demo", "--no-browser"],
    "dicom": [*COMMAND, "features", "scan.dcm", "-o", "scan.npz"],
    "downstream": [sys.executable, "-I", "-c", ESTIMATOR],
    "eval": [*COMMAND, "eval", "linear", "train.npz", "test.npz"],
    "export": [*COMMAND, "export", "mae_vit_tiny", "mae.onnx"],
    "extract": [*COMMAND, "extract", "photos", "out"],
    "figures": [*COMMAND, "sweep", "photos/cat.jpg", "-o", "sweep.png"],
    "lora": [*COMMAND, "finetune", "classes", "-o", "run", "--lora", "4"],
    "openvino": [*COMMAND, "export", "mae_vit_tiny", "mae.xml"],
    "ray": [*COMMAND, "extract", "photos", "out", "--engine", "ray"],
    "audio": [sys.executable, "-I", "-c", SOUND],
    "geo": [sys.executable, "-I", "-c", SCENE],
    **{
        name: [*COMMAND, "pretrain", "photos", "-o", "run", "--log", name]
        for name in ("tensorboard", "trackio", "wandb")
    },
}


def run(command: list[str], *, expected: int = 0) -> subprocess.CompletedProcess[str]:
    """Run a command in this folder; its exit code must be the expected one."""
    done = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", check=False, timeout=600)
    if done.returncode != expected:
        raise SystemExit(f"{command} ended with {done.returncode}, not {expected}:\n{done.stdout}{done.stderr}")
    return done


def write_inputs() -> None:
    """Write photographs, a DICOM file's beginning and labelled features, in folders with names of all alphabets."""
    for folder in ("photos", "classes/ночь", "classes/été", "写真"):
        Path(folder).mkdir(parents=True)
        for name in ("cat", "coffee", "rocket"):
            maezoo.sample(name).save(Path(folder, f"{name}.jpg"))
    Path("scan.dcm").write_bytes(bytes(128) + b"DICM" + bytes(64))
    draw = np.random.default_rng(0)
    for name in ("train", "test"):
        features = draw.normal(size=(20, 4)).astype("float32")  # (n, D)
        np.savez(f"{name}.npz", features=features, labels=np.arange(20) % 2)


def check_the_package() -> None:
    """Import, create, embed and reconstruct, from Python and on the command line."""
    home = Path(maezoo.__file__).resolve()
    assert home.is_relative_to(Path(sys.prefix).resolve()), f"maezoo was imported from {home}"
    for flags in (["-W", "error"], ["-OO"]):
        run([sys.executable, "-I", *flags, "-c", "import maezoo; maezoo.create('mae_vit_tiny', pretrained=True)"])
    model = maezoo.create("mae_vit_tiny", pretrained=True, device="cpu")
    photos = sorted(Path("写真").glob("*.jpg"))
    features = model.features(photos)  # (3, 192)
    assert features.shape == (3, 192)
    assert features.equal(model.features(photos))
    model.reconstruct(photos).save("写真/結果.png")
    assert (home.parent / "py.typed").exists()
    assert maezoo.info("mae_vit_base").revision

    assert run([str(SCRIPT), "--version"]).stdout == run([*COMMAND, "--version"]).stdout
    assert "reconstruct" in run([*COMMAND, "--help"]).stdout
    run([*COMMAND, "reconstruct", str(photos[0]), "-o", "写真/mae.png"])
    assert Path("写真/mae.png").stat().st_size
    assert json.loads(run([*COMMAND, "list", "--json"]).stdout)
    run([*COMMAND, "verify", "mae_vit_tiny"])


def check_missing_extras() -> None:
    """Without an extra, what needs it ends with the command that installs it."""
    provided = set(metadata("maezoo").get_all("Provides-Extra") or ()) - {"all"}
    assert provided == set(WITHOUT), f"extras and what is tried here differ: {provided ^ set(WITHOUT)}"
    for extra, command in WITHOUT.items():
        done = run(command, expected=1)
        wanted = f"pip install 'maezoo[{extra}]'"
        assert wanted in " ".join(done.stderr.split()), f"{command} does not say {wanted}:\n{done.stderr}"
        if "-c" not in command:
            assert "Traceback" not in done.stderr, done.stderr
        print(f"  without {extra}: {done.stderr.strip().splitlines()[-1]}")


def check_extraction() -> None:
    """Extract a folder, and find the nearest images in it."""
    run([*COMMAND, "extract", "photos", "out", "--device", "cpu"])
    assert "cat" in run([*COMMAND, "search", "out", "photos/cat.jpg"]).stdout


def check_the_demo() -> None:
    """Start the page, read it, and stop it as Ctrl-C does."""
    new_group = {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP} if os.name == "nt" else {}  # type: ignore[attr-defined]
    with subprocess.Popen([*COMMAND, "demo", "--no-browser"], stdout=subprocess.PIPE, text=True, **new_group) as page:
        assert page.stdout
        found = next(filter(None, (re.search(r"http://127\.0\.0\.1:\d+", line) for line in page.stdout)), None)
        try:
            assert found, "the demo ended without an address"
            with urllib.request.urlopen(found[0], timeout=60) as answer:
                assert answer.status == 200
                assert b"maezoo" in answer.read()
        finally:
            page.send_signal(signal.CTRL_BREAK_EVENT if os.name == "nt" else signal.SIGINT)  # type: ignore[attr-defined]
            page.wait(timeout=60)


CHECKS = {"bare": (check_the_package, check_missing_extras), "extras": (check_extraction, check_the_demo)}

if __name__ == "__main__":
    if not Path("photos").exists():
        write_inputs()
    for check in CHECKS[sys.argv[1]]:
        check()
        print(f"passed: {check.__name__.replace('_', ' ')}")
