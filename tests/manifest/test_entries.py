"""The manifest is well-formed, agrees with the models, and a wrong one is named to the field."""

import json
from pathlib import Path

import pytest
import torch

from maezoo.checkpoints.filetype import is_pickle_name
from maezoo.errors import ArgumentError, ManifestError, UnknownModelError
from maezoo.manifest.checks import KNOWN
from maezoo.manifest.entries import load_manifest, read_manifest
from maezoo.manifest.licensing import is_noncommercial
from maezoo.model import VARIANTS, build_mae, parameter_count
from maezoo.model.facts import PAPER
from maezoo.vocabulary import FIELDS

ENTRIES = load_manifest().entries
ENTRIES_OF_THE_PAPER = ("mae_vit_tiny", "mae_vit_small", "mae_vit_base", "mae_vit_large", "mae_vit_huge")
DOCS = Path(__file__).parents[2] / "docs"
PACKAGED = DOCS.parent / "weights_manifest.json"


def counted(width, depth, tokens):
    """Count the parameters of a stack of blocks with a norm after it and positions before it."""
    return depth * (12 * width**2 + 13 * width) + 2 * width + tokens * width


@pytest.mark.parametrize("entry", ENTRIES.values(), ids=ENTRIES)
def test_an_entry_has_the_parameters_of_its_numbers(entry):
    variant, facts = VARIANTS[entry.architecture], entry.facts_of_model
    (height, width), patch = entry.preprocess.size, variant.patch_size
    assert (height % patch, width % patch) == (0, 0)
    tokens = (height // patch) * (width // patch) + facts.class_tokens
    pixels, D = patch**2 * facts.in_chans, variant.embed_dim
    count = counted(D, variant.depth, tokens) + pixels * D + D + facts.class_tokens * D
    if entry.has_decoder:
        d = variant.decoder_dim
        count += counted(d, variant.decoder_depth, tokens) + D * d + d + d + d * pixels + pixels
    assert entry.num_params == count


@pytest.mark.parametrize(
    "entry", [entry for entry in ENTRIES.values() if entry.architecture in ENTRIES_OF_THE_PAPER], ids=lambda e: e.name
)
def test_the_numbers_are_those_of_the_model(entry):
    variant = VARIANTS[entry.architecture]
    if entry.facts_of_model != PAPER or entry.preprocess.size != (variant.img_size, variant.img_size):
        return
    with torch.device("meta"):
        model = build_mae(variant, decoder=entry.has_decoder, init=False)
    assert entry.num_params == parameter_count(model)


@pytest.mark.parametrize("entry", [e for e in ENTRIES.values() if e.size and e.repo_id], ids=lambda e: e.name)
def test_a_files_size_fits_its_parameters(entry):
    times = entry.size / (4 * entry.num_params)  # a training checkpoint has two more numbers for each that is trained
    assert 0.99 < times < 1.01 or (is_pickle_name(entry.filename) and entry.layout == "fair" and 2.9 < times < 4)


@pytest.mark.parametrize("name", ENTRIES)
def test_an_entry_says_of_every_field_what_is_known_or_null(name):
    written = json.loads(load_manifest().path.read_text(encoding="utf-8"))["weights"][name]
    assert set(written) == KNOWN
    assert set(written["facts"]) == set(PAPER.to_dict())
    assert {"size", "resize", "crop_pct", "interpolation", "mean", "std"} <= set(written["preprocess"])
    assert (DOCS / "models" / f"{written['page']}.md").is_file()
    if written["repo_id"]:
        assert "license" in written["sources"]


def test_bands_are_named_where_channels_are_no_colours():
    for entry in ENTRIES.values():
        channels = entry.facts_of_model.in_chans
        assert (entry.preprocess.bands is None) == (channels in (1, 3))
        assert len(entry.preprocess.mean) in (channels, 3)
    bands = ENTRIES["mae_vit_base.ssl4eo_s2"].preprocess.bands
    assert [bands.index(name) for name in ("B04", "B03", "B02")] == [3, 2, 1]
    prithvi = ENTRIES["mae_vit_large.prithvi_v2"].preprocess
    assert [round(value * 10_000) for value in prithvi.mean] == [1087, 1342, 1433, 2734, 1958, 1363]
    assert [round(value * 10_000) for value in prithvi.std] == [2248, 2179, 2178, 1850, 1242, 1049]
    first = ENTRIES["mae_vit_base.prithvi_v1"].preprocess
    assert [round(value * 10_000) for value in first.mean] == [775, 1081, 1229, 2497, 2204, 1611]
    assert [round(value * 10_000) for value in first.std] == [1282, 1270, 1399, 1368, 1292, 1155]


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


# name, sha256, bytes, commit: as the hub's pages print them
PUBLISHED = """
mae_vit_base.in1k_pixel 479dcef4bd5df06259399027b789f21e9d9a1b79f37155a64176d55bc26fdae8 447670680 25b184bea5538bf5c4c852c79d221195fdd2778d
mae_vit_large.in1k_normpix d58a1a547a07c3c41917c23069dcaadab6f469a8cf793a3cba5fe404c344ab68 - c6421a822d7e8973bab74ed0d00695a506410faf
mae_vit_huge.in1k_normpix 4c1c77c532753bf1d5dc5ec1dd7052d819986a6532df5e1c81b821611948be98 - 007fb32550ad33651c5dd46afd86251f452b0334
mae_vit_base.ssl4eo_s2 49be5af0cd97e50166712e7210d3e0f0b270c290b66c4a72349f823acbd5a9b0 1367671062 c97e084589af5659353af0d344936c23f755bb78
mae_vit_large.ssl4eo_s2 31c5550dd9b29c478869f61180d2d89f72a28a4165e76c75a3c45c591e56a5bc 3986920278 c97e084589af5659353af0d344936c23f755bb78
mae_vit_huge.ssl4eo_s2 c813380fbec9ce1c09b3b89a49029f60c80f99b34a0cf83db5fb67ed0e08a190 7914831621 c97e084589af5659353af0d344936c23f755bb78
mae_vit_base.ssl4eo_s1 400fc36b545123420964607a428fc6283cffc4e02d82675fdd649a1452e629c9 1337256607 c97e084589af5659353af0d344936c23f755bb78
mae_vit_huge.ssl4eo_s1 122a0978352c430ed03d24b7ff067019b1579df6f4ccdf8a7f29aaf527519a66 7877622559 c97e084589af5659353af0d344936c23f755bb78
mae_vit_base.prithvi_v1 69f8ac286f649d1bbed520f5c8560a60eba91d688f74e1a0f9aa8203b6fd62ab 453672901 6fb79c5a7e54e475643a4d04c236e1dc59d0db5a
mae_vit_large.prithvi_v2_tl 3629cedfbb350faafcb0dac902ae0d3c927e25ce8d9e0024aa1276ec66956ddb 1326660716 921b18dc28956fe3d21b6e5c4891577c0c82d3a8
mae_vit_huge.prithvi_v2_tl 7b92c53b0204a76bb775bd8930f045e05776251caa8c83f7367ed0b75b594702 - main
"""  # noqa: E501


def test_the_published_hashes_are_pinned_and_no_other_is():
    published = {name: facts for name, *facts in map(str.split, PUBLISHED.strip().splitlines())}
    for name, (sha256, size, revision) in published.items():
        entry = ENTRIES[name]
        assert (entry.sha256, str(entry.size or "-"), entry.revision) == (sha256, size, revision), name
    assert {entry.name for entry in ENTRIES.values() if entry.sha256 and entry.repo_id} == set(published)


def test_weights_are_found_by_field_and_by_licence():
    manifest = load_manifest()
    assert {entry.field for entry in ENTRIES.values()} == set(FIELDS)
    for field in FIELDS:
        assert {entry.field for entry in manifest.select(field=field)} == {field}
    free = manifest.select(commercial=True)
    assert {entry.license for entry in free} == {"apache-2.0", "cc-by-4.0"}
    assert not any(entry.gated for entry in free)
    assert len(free) + len(manifest.select(commercial=False)) == len(ENTRIES)
    assert [entry.name for entry in manifest.select("*.prithvi_v1", "satellite", True)] == ["mae_vit_base.prithvi_v1"]
    with pytest.raises(ArgumentError, match="satellite") as caught:
        manifest.select(field="satelite")
    assert caught.value.suggestions[0] == "satellite"


def test_what_nobody_states_is_told_from_defaults():
    entry = ENTRIES["mae_vit_small.medmae_in1k"]
    assert {"preprocess.mean", "facts.pooling"} <= set(entry.unstated)
    assert (entry.pooling, entry.target, entry.to_dict()["preprocess"]["mean"]) == (None, None, None)
    assert ENTRIES["pixio_vit_base.web2b"].pooling == "cls"


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
        (lambda d, e: e.update(layout="JAX/x"), "layout"),
        (lambda d, e: e.update(layout=["timm"]), "layout"),
        (lambda d, e: e.update(target=None, parts=["encoder", "decoder"]), "target"),
        (lambda d, e: e.update(field="sky"), "field"),
        (lambda d, e: e.update(field=[]), "field"),
        (lambda d, e: e.update(gated="yes"), "gated"),
        (lambda d, e: e.update(page="../x"), "page"),
        (lambda d, e: e.update(facts=[]), "facts"),
        (lambda d, e: e.update(facts={"heads": 3}), "facts.'heads'"),
        (lambda d, e: e.update(facts={"in_chans": 0}), "facts.in_chans"),
        (lambda d, e: e.update(facts={"in_chans": 10**9}), "facts.in_chans"),
        (lambda d, e: e.update(facts={"class_tokens": 1.5}), "facts.class_tokens"),
        (lambda d, e: e.update(facts={"norm_epsilon": 0}), "facts.norm_epsilon"),
        (lambda d, e: e.update(facts={"norm_epsilon": 1}), "facts.norm_epsilon"),
        (lambda d, e: e.update(facts={"mlp_ratio": True}), "facts.mlp_ratio"),
        (lambda d, e: e.update(facts={"positions": "rotary"}), "facts.positions"),
        (lambda d, e: e.update(facts={"resampling": ["bicubic"]}), "facts.resampling"),
        (lambda d, e: e.update(facts={"pooling": "max"}), "facts.pooling"),
        (lambda d, e: e.update(sources={"sha256": "file:///etc"}), "sources"),
        (lambda d, e: e.update(sources={"sha256": None}), "sources"),
        (lambda d, e: e.update(preprocess={"size": [96, 96], "bands": ["a", "b"]}), "preprocess"),
        (lambda d, e: e.update(preprocess={"size": [96, 96], "bands": ["a", "a", "b"]}), "preprocess"),
        (lambda d, e: e.update(preprocess={"size": [96, 96], "bands": "abc"}), "preprocess"),
        (lambda d, e: e.update(preprocess={"size": [96, 96], "bands": [1, 2, 3]}), "preprocess"),
        (
            lambda d, e: e.update(preprocess={"size": [96, 96], "bands": ["a", "b", "c"]}, facts={"in_chans": 4}),
            "preprocess.bands",
        ),
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


def test_an_architecture_without_weights_says_so(tmp_path):
    data = json.loads(PACKAGED.read_text(encoding="utf-8"))
    name = f"mae_vit_tiny.{data['defaults']['mae_vit_tiny']}"
    data |= {"defaults": {"mae_vit_tiny": name.partition(".")[2]}, "weights": {name: data["weights"][name]}}
    (tmp_path / "one.json").write_text(json.dumps(data))
    with pytest.raises(
        UnknownModelError, match="mae_vit_small has no pretrained weights here; these have: mae_vit_tiny"
    ):
        read_manifest(tmp_path / "one.json").find("mae_vit_small")
