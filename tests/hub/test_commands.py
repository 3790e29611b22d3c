"""The commands that deal with weights files, as a user runs them."""

import json
import subprocess
import sys

import pytest

from .conftest import NAME, REPO, TINY
from .server import COMMIT


@pytest.fixture
def maezoo(machine):
    """Run the command line; the result has out, err and rc."""

    def run(*arguments, **environment):
        return subprocess.run(
            [sys.executable, "-c", "from maezoo.cli import main; main()", *map(str, arguments)],
            env={**machine.environment, **environment},
            cwd=machine.folder,
            capture_output=True,
            text=True,
            timeout=100,
        )

    return run


def test_download_then_verify_then_cache(maezoo, machine):
    assert json.loads(maezoo("cache", "--json").stdout) == []
    assert maezoo("verify", NAME).returncode == 1  # absent
    done = json.loads(maezoo("download", NAME, "--json").stdout)
    assert done[0]["size"] == len(machine.hub.files[REPO, "model.safetensors"])
    assert json.loads(maezoo("cache", "--json").stdout)[0]["verified"]
    result = maezoo("verify", "--json")
    assert result.returncode == 0
    assert json.loads(result.stdout)[0]["status"] == "verified"
    assert "verified" in maezoo("verify").stdout
    machine.blob().write_bytes(b"damaged")
    result = maezoo("verify", "--json", HF_HUB_OFFLINE="1")
    assert result.returncode == 1
    assert json.loads(result.stdout)[0]["status"] == "damaged"
    assert maezoo("download", "--all").returncode == 0
    assert maezoo("verify", NAME).returncode == 0


def test_download_names_what_it_could_not_fetch(maezoo, machine):
    result = maezoo("download", "mae_vit_tniy", NAME)
    assert result.returncode == 1
    assert "mae_vit_tiny" in result.stderr
    assert NAME in result.stdout
    assert maezoo("download").returncode == 2
    assert maezoo("download", NAME, "--all").returncode == 2


def test_download_of_a_repository_brings_its_configuration(maezoo, machine):
    machine.hub.add("org/other", "model.safetensors", b"x" * 1000)
    machine.hub.add("org/other", "config.json", b'{"architecture": "mae_vit_tiny"}')
    path = json.loads(maezoo("download", "hf-hub:org/other", "--json").stdout)[0]["path"]
    assert {file.name for file in machine.cache.glob("models--org--other/snapshots/*/*")} == {
        "model.safetensors",
        "config.json",
    }
    assert COMMIT in path


def test_the_licence_is_shown_by_the_command(maezoo, machine):
    machine.publish(license="cc-by-nc-4.0", noncommercial=True)
    assert "cc-by-nc-4.0" in maezoo("download", NAME).stderr
    refused = maezoo("download", NAME, MAEZOO_ALLOW_NONCOMMERCIAL="0")
    assert refused.returncode == 1
    assert "MAEZOO_ALLOW_NONCOMMERCIAL" in refused.stderr


def test_pin_fills_nulls_and_reports_contradictions(maezoo, machine):
    data = machine.hub.files[REPO, "model.safetensors"]
    sha256 = machine.publish(data, sha256=None, size=None, revision="refs/pr/1")
    machine.manifest.write_text("\ufeff" + machine.manifest.read_text(), encoding="utf-8")  # as some editors write
    result = maezoo("manifest", "pin", machine.manifest, "--json")
    assert result.returncode == 0
    filled = {"sha256": sha256, "size": len(data), "revision": COMMIT}
    assert json.loads(result.stdout) == [{"name": NAME, "filled": filled, "conflicts": {}}]
    entry = json.loads(machine.manifest.read_text())["weights"][NAME]
    assert {field: entry[field] for field in filled} == filled
    assert "nothing to fill in" in maezoo("manifest", "pin").stdout
    machine.publish(data, sha256="0" * 64)
    result = maezoo("manifest", "pin")
    assert result.returncode == 1
    assert sha256 in result.stderr
    assert json.loads(machine.manifest.read_text())["weights"][NAME]["sha256"] == "0" * 64
    machine.hub.close()
    assert "needs the hub" in maezoo("manifest", "pin").stderr


def test_a_program_that_pins_without_a_hub_gets_an_error_of_the_tree(machine):
    machine.publish(machine.hub.files[REPO, "model.safetensors"], sha256=None)
    machine.hub.close()
    program = f"""
from maezoo.errors import OfflineError
from maezoo.hub.pin import pin_manifest
try:
    pin_manifest({str(machine.manifest)!r})
except OfflineError as error:
    print(error.path, "needs the hub" in str(error), error.reason is not None)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], env=machine.environment, capture_output=True, text=True, check=False
    )
    assert done.stdout.strip() == f"{machine.manifest} True True", done.stderr


def test_convert_says_what_it_did_and_what_it_needs(maezoo, machine):
    done = maezoo("convert", TINY, "tiny.safetensors", "--to", "timm", "--encoder-only")
    assert "maezoo -> timm" in done.stdout
    assert "left out: the decoder (44 tensors)" in done.stdout
    needs = maezoo("convert", "tiny.safetensors", "out.safetensors")
    assert needs.returncode == 1
    assert "--target" in needs.stderr
    preprocess = json.dumps({"size": [96, 96], "resize": "squash"})
    flags = ("--target", "pixel", "--preprocess", preprocess, "--license", "mit", "--json")
    done = json.loads(maezoo("convert", "tiny.safetensors", "out.safetensors", *flags).stdout)
    assert done["metadata"]["preprocess"]["resize"] == "squash"
    assert "--preprocess" in maezoo("convert", "tiny.safetensors", "x.safetensors", "--preprocess", "{").stderr
