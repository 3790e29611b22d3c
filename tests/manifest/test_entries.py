"""The manifest is well-formed, agrees with the models, and a wrong one is named to the field."""

import json
import math

import pytest
import torch

from maezoo.errors import ManifestError, UnknownModelError
from maezoo.manifest.entries import load_manifest, read_manifest
from maezoo.manifest.licensing import is_noncommercial
from maezoo.model import VARIANTS, build_mae, parameter_count

ENTRIES = load_manifest().entries


@pytest.mark.parametrize("entry", ENTRIES.values(), ids=ENTRIES)
def test_an_entry_agrees_with_its_model(entry):
    variant = VARIANTS[entry.architecture]
    with torch.device("meta"):
        model = build_mae(variant, decoder=entry.has_decoder, init=False)
    assert entry.num_params == parameter_count(model)
    assert entry.preprocess.size == (variant.img_size, variant.img_size)
    if entry.size is not None and entry.repo_id is not None:
        assert math.isclose(entry.size, 4 * entry.num_params, rel_tol=1e-3)


@pytest.mark.parametrize("entry", ENTRIES.values(), ids=ENTRIES)
def test_an_entry_states_its_source_and_licence(entry):
    assert entry.license
    assert entry.noncommercial or not is_noncommercial(entry.license)
    assert entry.repo_id is None or entry.source_url == f"https://huggingface.co/{entry.repo_id}"
    for metric in entry.metrics.values():
        assert "value" not in metric or metric["source"]


def test_defaults_and_tags_are_as_named():
    manifest = load_manifest()
    assert set(manifest.defaults) <= set(VARIANTS)
    for name in ("base", "large", "huge"):
        pixel, normpix = (manifest.find(f"mae_vit_{name}.in1k_{target}") for target in ("pixel", "normpix"))
        assert (pixel.target, pixel.layout, pixel.has_decoder) == ("pixel", "transformers", True)
        assert (normpix.target, normpix.layout, normpix.has_decoder) == ("normpix", "timm", False)
        key = "imagenet_finetune_top1"
        assert pixel.metrics[key]["value"] < normpix.metrics[key]["value"]  # different trainings


def test_the_one_published_hash_is_pinned():
    entry = load_manifest().find("mae_vit_base.in1k_pixel")
    assert entry.sha256 == "479dcef4bd5df06259399027b789f21e9d9a1b79f37155a64176d55bc26fdae8"
    assert (entry.size, entry.revision) == (447_670_680, "25b184bea5538bf5c4c852c79d221195fdd2778d")


def test_to_dict_gives_the_entry_back(tmp_path):
    weights = {name: entry.to_dict() for name, entry in ENTRIES.items()}
    for fields in weights.values():
        del fields["name"]
    path = tmp_path / "manifest.json"
    path.write_text(json.dumps({"schema_version": 1, "defaults": {}, "weights": weights}))
    assert dict(read_manifest(path).entries) == dict(ENTRIES)


def written(tmp_path, change):
    data = {
        "schema_version": 1,
        "defaults": {"mae_vit_tiny": "mine"},
        "weights": {
            "mae_vit_tiny.mine": {
                "architecture": "mae_vit_tiny",
                "repo_id": "me/mine",
                "revision": "main",
                "filename": "model.safetensors",
                "layout": "maezoo",
                "parts": ["encoder"],
                "target": "pixel",
                "preprocess": {"size": [96, 96]},
                "license": "mit",
                "num_params": 1,
            }
        },
    }
    change(data, data["weights"]["mae_vit_tiny.mine"])
    path = tmp_path / "manifest.json"
    path.write_text(json.dumps(data))
    return path


@pytest.mark.parametrize(
    ("change", "field"),
    [
        (lambda d, e: e.pop("license"), "license"),
        (lambda d, e: e.update(layout="jax"), "layout"),
        (lambda d, e: e.update(target="dvae"), "target"),
        (lambda d, e: e.update(parts=["decoder"]), "parts"),
        (lambda d, e: e.update(sha256="ABC"), "sha256"),
        (lambda d, e: e.update(size=-1), "size"),
        (lambda d, e: e.update(size=True), "size"),
        (lambda d, e: e.update(num_params="many"), "num_params"),
        (lambda d, e: e.pop("revision"), "revision"),
        (lambda d, e: e.update(repo_id=7), "repo_id"),
        (lambda d, e: e.update(package_file="x.safetensors"), "package_file"),
        (lambda d, e: e.update(preprocess={"size": [96]}), "preprocess"),
        (lambda d, e: e.update(preprocess={"size": [96, 96], "resize": "stretch"}), "preprocess"),
        (lambda d, e: e.update(architecture="mae_vit_base"), "architecture"),
        (lambda d, e: e.update(noncommercial="no"), "noncommercial"),
        (lambda d, e: e.update(licence="mit"), "licence"),
        (lambda d, e: d.update(defaults={"mae_vit_tiny": "other"}), "defaults"),
        (lambda d, e: d.update(schema_version=2), "schema_version"),
        (lambda d, e: d.update(weights=[]), "weights"),
        (lambda d, e: d["weights"].update({"mae_vit_tiny.mine": 3}), "mae_vit_tiny.mine"),
    ],
)
def test_a_wrong_manifest_names_entry_and_field(tmp_path, change, field):
    with pytest.raises(ManifestError) as caught:
        read_manifest(written(tmp_path, change))
    assert field in str(caught.value)


def test_the_environment_replaces_the_manifest(tmp_path, monkeypatch):
    monkeypatch.setenv("MAEZOO_MANIFEST", str(written(tmp_path, lambda d, e: None)))
    assert load_manifest().find("mae_vit_tiny").name == "mae_vit_tiny.mine"
    with pytest.raises(UnknownModelError):
        load_manifest().find("mae_vit_base.in1k_pixel")
    written(tmp_path, lambda d, e: e.update(license="apache-2.0"))
    assert load_manifest().find("mae_vit_tiny").license in ("mit", "apache-2.0")
    monkeypatch.setenv("MAEZOO_MANIFEST", str(tmp_path / "nowhere.json"))
    with pytest.raises(ManifestError, match="MAEZOO_MANIFEST"):
        load_manifest()


def test_no_json_is_no_manifest(tmp_path):
    (tmp_path / "bad.json").write_text("{")
    with pytest.raises(ManifestError, match="cannot read"):
        read_manifest(tmp_path / "bad.json")


def test_an_architecture_without_weights_says_so():
    with pytest.raises(
        UnknownModelError, match="mae_vit_small has no pretrained weights here; these have: mae_vit_tiny"
    ):
        load_manifest().find("mae_vit_small")
