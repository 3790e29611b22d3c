"""From the hub to a working model, and from a model to the hub; each in a process of its own, as users have it."""

import json
import subprocess
import sys

from .conftest import NAME, REPO, ROOT, TINY
from .server import COMMIT

PHOTO = ROOT / "tests/data/photos/coffee.jpg"


def test_create_and_timm_load_from_the_hub_once(machine):
    machine.publish()
    code = f"""
        import torch, timm, maezoo
        model = maezoo.create("mae_vit_tiny", pretrained=True, device="cpu")
        assert model.name == {NAME!r} and model.load_report.path == maezoo.fetch("mae_vit_tiny")
        bundled = maezoo.create("mae_vit_tiny.test", checkpoint={str(TINY)!r}, device="cpu")
        images = torch.randn(2, 3, 96, 96)
        assert torch.equal(model.features(images), bundled.features(images))
        encoder = timm.create_model("mae_vit_tiny", pretrained=True).eval()
        assert torch.allclose(encoder.forward_features(images), model.encode(images), atol=1e-6)
        assert maezoo.verify().results[0].status == "verified"
        print("done")
    """
    assert machine.run(code).stdout == "done"
    assert machine.hub.counts() == {"HEAD": 1, "GET": 1}


def test_pushed_models_come_back_to_maezoo_and_timm(machine):
    code = """
        import warnings
        import torch, timm, maezoo
        warnings.simplefilter("default")  # huggingface_hub uploads in a way that its HTTP client deprecates
        images = torch.randn(2, 3, 96, 96)
        model = maezoo.create("mae_vit_tiny", pretrained=True, device="cpu")
        print(model.push_to_hub("me/mine", license="mit"))
        again = maezoo.create("hf-hub:me/mine", device="cpu")
        assert torch.equal(again.features(images), model.features(images))
        assert again.license == "mit" and again.preprocess == model.preprocess
        assert maezoo.create("hf-hub:me/mine@main", device="cpu", offline=True).name == "hf-hub:me/mine@main"
        assert torch.equal(again.reconstruct(images).predicted, model.reconstruct(images).predicted)
        encoder = timm.create_model("hf-hub:me/mine", pretrained=True).eval()
        assert torch.equal(encoder(images), model.encoder(images))
    """
    result = machine.run(code, MAEZOO_MANIFEST="", HF_TOKEN="hf_secret", HF_HUB_DISABLE_PROGRESS_BARS="1")
    assert result.stdout == f"{machine.hub.url}/me/mine/commit/{COMMIT}", result.stderr
    assert result.returncode == 0, result.stderr
    files = {name for repo, name in machine.hub.files if repo == "me/mine"}
    assert files == {"README.md", "config.json", "decoder/model.safetensors", "model.safetensors"}
    assert machine.hub.count("GET", "me/mine/resolve") == 3  # encoder and decoder for all, and timm's own config.json
    code = """if True:
        import sys
        sys.modules["maezoo"] = None
        import timm
        print(timm.create_model("hf-hub:me/mine", pretrained=True).num_features)
    """
    alone = subprocess.run(
        [sys.executable, "-c", code],
        env={**machine.environment, "HF_HOME": str(machine.folder / "elsewhere")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert alone.stdout == "192\n", alone.stderr
    text = machine.hub.files["me/mine", "README.md"].decode()
    assert 'timm.create_model("hf-hub:me/mine", pretrained=True)' in text


def test_a_manifest_names_a_pushed_model_whose_decoder_has_its_own_file(machine):
    import maezoo

    folder = maezoo.create("mae_vit_tiny", pretrained=True, device="cpu").save_pretrained(machine.folder / "saved")
    machine.hub.add(REPO, "decoder/model.safetensors", (folder / "decoder/model.safetensors").read_bytes())
    machine.publish((folder / "model.safetensors").read_bytes())
    code = f"""
        import maezoo
        print(maezoo.create("mae_vit_tiny", pretrained=True, decoder=False).decoder)
        print(maezoo.create("mae_vit_tiny", pretrained=True).reconstruct({str(PHOTO)!r}).loss.shape)
        print(maezoo.fetch("mae_vit_tiny", offline=True).name)
    """
    result = machine.run(code)
    assert result.stdout.splitlines() == ["None", "torch.Size([1])", "model.safetensors"], result.stderr
    assert machine.hub.count("GET") == 2  # the decoder only once it is needed


def test_repositories_are_described_by_their_configs_or_the_manifest(machine):
    from maezoo.checkpoints.convert import convert
    from maezoo.checkpoints.metadata import WeightsMetadata
    from maezoo.checkpoints.transformers_config import transformers_config, transformers_preprocessor
    from maezoo.images.preprocessing import Preprocessing
    from maezoo.model import VARIANTS

    folder = machine.folder / "theirs"
    convert(TINY, folder, to="transformers")
    preprocess = Preprocessing(size=(96, 96), resize="squash", interpolation="bilinear")
    metadata = WeightsMetadata(VARIANTS["mae_vit_tiny"], "normpix", preprocess, ("encoder", "decoder"))
    files = {
        "model.safetensors": (folder / "model.safetensors").read_bytes(),
        "config.json": json.dumps(transformers_config(metadata)).encode(),
        "preprocessor_config.json": json.dumps(transformers_preprocessor(preprocess)).encode(),
    }
    for name, data in files.items():
        machine.hub.add("org/whole", name, data)
        if name != "preprocessor_config.json":
            machine.hub.add("org/lacking", name, data)
    machine.publish(sha256="0" * 64, target="normpix")
    code = f"""
        import maezoo
        from maezoo.errors import MaezooError
        for name, offline in [("org/whole", False), ("org/whole", True), ("org/lacking", False), ({REPO!r}, False),
                              ("{REPO}@main", False), ("nobody/nothing", False)]:
            try:
                model = maezoo.create(f"hf-hub:{{name}}", device="cpu", offline=offline)
                print(model.target, model.preprocess.resize)
            except MaezooError as error:
                print(type(error).__name__)
    """
    assert machine.run(code).stdout.splitlines() == [
        "normpix squash",
        "normpix squash",  # offline
        "WeightsNotFoundError",  # nobody says how its images are prepared
        "IntegrityError",  # the manifest pins another file for this repository
        "pixel crop",  # at another revision the file speaks for itself
        "WeightsNotFoundError",
    ]


def test_what_the_manifest_does_not_state_is_read_from_the_repository(machine):
    code = f"""
        import json, maezoo
        from safetensors.torch import save_file
        model = maezoo.create("mae_vit_tiny", checkpoint={str(TINY)!r}, device="cpu")
        model.save_pretrained("mine")
        save_file(model.encoder.state_dict(), "plain.safetensors")
    """
    assert machine.run(code, MAEZOO_MANIFEST="").stderr == ""
    unstated = {"size": [96, 96], "resize": None, "crop_pct": None, "interpolation": None, "mean": None, "std": None}
    plain = (machine.folder / "plain.safetensors").read_bytes()
    machine.publish(plain, layout="timm", parts=["encoder"], target=None, preprocess=unstated)
    machine.hub.add(REPO, "config.json", (machine.folder / "mine" / "config.json").read_bytes())
    code = f"""
        import maezoo
        model = maezoo.create("mae_vit_tiny", pretrained=True, device="cpu")
        bundled = maezoo.create("mae_vit_tiny", checkpoint={str(TINY)!r}, device="cpu")
        assert model.preprocess == bundled.preprocess
        assert (model.name, model.entry.name, model.decoder) == ({NAME!r}, {NAME!r}, None)
        print("done")
    """
    assert machine.run(code).stdout == "done"
    entry = json.loads(machine.manifest.read_text())["weights"][NAME]
    assert entry["preprocess"] == unstated
