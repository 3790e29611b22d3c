"""What a manifest, a repository's name or a hub says is bounded before it becomes a path, an address or a size."""

import json
import os

import pytest

from maezoo.errors import ManifestError, UnknownModelError
from maezoo.hub.cache import HubCache
from maezoo.hub.client import HubFile
from maezoo.hub.repository import Repository
from maezoo.manifest.entries import load_manifest, read_manifest

NAME = "mae_vit_tiny.mine"
ENTRY = {
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
LEADING_OUT = [
    "..",
    "../../outside.safetensors",
    "a/../../../outside",
    "/etc/passwd",
    "//host/share/x",
    "C:/x.safetensors",
    "C:x",
    "..\\..\\x",
    "a\\b",
    "a\0b",
    "a\nb",
    "",
    ".",
    "a//b",
    "a/",
    "a/./b",
    "nul",
    "a/CON.safetensors",
    "com1.bin",
    "LPT9",
    "dot./x",
    "blank ",
    "~/x",
    "x" * 300,
    "a/" * 120 + "a",
    "\uff0e\uff0e/x",  # folds to ..
    "a\uff0fb",
    "a\u202egpj.exe",
    "\u2024\u2024/x",
    "a:stream",
    "a?b",
    "a%2e%2e",
]


def written(tmp_path, **fields):
    path = tmp_path / "manifest.json"
    entry = {**ENTRY, **fields}
    path.write_text(json.dumps({"schema_version": 1, "defaults": {}, "weights": {NAME: entry}}))
    return path


@pytest.mark.parametrize("field", ["filename", "revision", "package_file"])
@pytest.mark.parametrize("text", LEADING_OUT)
def test_a_path_of_a_manifest_that_leads_out_of_its_folder_is_refused_by_name(tmp_path, field, text):
    changes = {"repo_id": None, "filename": None, "revision": None} if field == "package_file" else {}
    with pytest.raises(ManifestError) as caught:
        read_manifest(written(tmp_path, **{**changes, field: text}))
    assert NAME in str(caught.value)
    assert field in str(caught.value)
    assert len(str(caught.value)) < 1000


@pytest.mark.parametrize(
    "text", ["../x", "a/b/c", "/a", "a\\b", "con/../x", "a--b/c", "a/b\n", "\uff41/b", "-a/b", "a/b.git", ""]
)
def test_a_repository_of_a_manifest_is_one_of_the_hub(tmp_path, text):
    with pytest.raises(ManifestError, match="repo_id"):
        read_manifest(written(tmp_path, repo_id=text))


@pytest.mark.parametrize(
    "text", ["model.safetensors", "a/b-1/c_2.bin", "v1.0+cu", "refs/pr/1", "f" * 40, "_x", "a=b@c"]
)
def test_usual_paths_are_taken(tmp_path, text):
    entry = read_manifest(written(tmp_path, filename=text, revision=text)).entries[NAME]
    cache = HubCache.at(tmp_path / "cache")
    place = cache.expected_path(HubFile(entry.repo_id, entry.revision, entry.filename))
    assert place.resolve().is_relative_to(cache.root)


@pytest.mark.parametrize("text", LEADING_OUT)
def test_a_file_of_the_hub_never_has_a_name_that_leads_out_of_the_cache(text):
    with pytest.raises(UnknownModelError):
        HubFile("zoo/tiny", text, "model.safetensors")
    with pytest.raises(UnknownModelError):
        HubFile("zoo/tiny", "main", text)
    with pytest.raises(UnknownModelError, match="hf-hub:"):
        Repository.parse(f"zoo/tiny@{text}")


@pytest.mark.parametrize(
    "text", ["", "a", "a/b/c", "../b", "a/..", "a\\b/c", "a/b\0", "\u0430/b", "/a/b", "a/b@", "a/b@../c"]
)
def test_a_name_of_a_repository_is_read_strictly(text):
    with pytest.raises(UnknownModelError, match="hf-hub:"):
        Repository.parse(text)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("size", -1),
        ("size", 0),
        ("size", True),
        ("size", 1.5),
        ("size", 1e9),
        ("size", 10**18),
        ("size", 10**400),
        ("size", float("nan")),
        ("size", "10"),
        ("num_params", 10**30),
        ("num_params", float("inf")),
        ("sha256", "g" * 64),
        ("sha256", "A" * 64),
        ("sha256", "0" * 63),
        ("sha256", "0" * 64 + "\n"),
        ("sha256", ["0"] * 64),
        ("sha256", "\u0660" * 64),
        ("parts", [{}]),
        ("parts", [["encoder"]]),
        ("parts", ["encoder", "encoder"]),
        ("parts", "encoder"),
        ("layout", {}),
        ("target", []),
        ("license", None),
        ("license", "mit\x1b[2J"),
        ("license", "\ud800"),
        ("notes", "x" * 10**6),
        ("architecture", None),
        ("metrics", {"top1": {"value": 1}}),
        ("metrics", {"top1": float("nan")}),
        ("metrics", []),
        ("training", {"a": {"b": [float("-inf")]}}),
        ("training", json.loads("[" * 40 + "]" * 40)),
        ("preprocess", []),
        ("preprocess", {"size": [True, True]}),
        ("preprocess", {"size": [10**9, 10**9]}),
        ("preprocess", {"size": [96.0, 96.0]}),
        ("preprocess", {"size": 96}),
        ("preprocess", {"size": "ab"}),
        ("preprocess", {"size": [96, 96], "crop_pct": float("nan")}),
        ("preprocess", {"size": [96, 96], "crop_pct": "1"}),
        ("preprocess", {"size": [96, 96], "mean": [0.5, 0.5]}),
        ("preprocess", {"size": [96, 96], "mean": [0.5, 0.5, float("nan")]}),
        ("preprocess", {"size": [96, 96], "mean": [0.5, 0.5, 1e300]}),
        ("preprocess", {"size": [96, 96], "mean": "abc"}),
        ("preprocess", {"size": [96, 96], "mean": [None, 1, 1]}),
        ("preprocess", {"size": [96, 96], "std": [1, 1, float("inf")]}),
        ("preprocess", {"size": [96, 96], "std": [1, 1, 1e-300]}),
        ("preprocess", {"size": [96, 96], "std": [1, True, 1]}),
        ("preprocess", {"size": [96, 96], "std": []}),
        ("preprocess", {"size": [96, 96], "resize": []}),
        ("preprocess", {"size": [96, 96], "interpolation": {}}),
    ],
)
def test_a_value_that_cannot_be_is_refused_by_entry_and_field(tmp_path, field, value):
    with pytest.raises(ManifestError) as caught:
        read_manifest(written(tmp_path, **{field: value}))
    assert f"weights['{NAME}'].{field}" in str(caught.value)
    assert len(str(caught.value)) < 1000


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ('{"schema_version": 1, "weights": {"a.b": {}, "a.b": {}}}', "a.b"),
        ('{"schema_version": 1, "weights": {"a.b": {"size": 1, "size": 2}}}', "'a.b'].'size'"),
        ('{"schema_version": 1, "schema_version": 1, "weights": {}}', "schema_version"),
        ('{"schema_version": 1, "weights": {"../../x.y": {}}}', "../../x.y"),
        ('{"schema_version": 1, "weights": {"": {}}}', "weights"),
        ('{"schema_version": 1, "weights": {"a.b": null}}', "a.b"),
        ('{"schema_version": 1, "weights": {}, "defaults": {"a": ["b"]}}', "defaults"),
        ('{"schema_version": 1, "weights": {}, "defaults": {"a": "b", "a": "c"}}', "defaults"),
        ('{"schema_version": 1' + "0" * 9999 + "}", "schema_version"),
        ("[" * 100_000, "nested"),
        ('{"a":' * 100_000, "nested"),
        ("", "cannot read"),
        ("[]", "schema_version"),
    ],
)
def test_a_manifest_of_another_shape_says_where(tmp_path, text, named):
    path = tmp_path / "manifest.json"
    path.write_text(text)
    with pytest.raises(ManifestError) as caught:
        read_manifest(path)
    assert named in str(caught.value)
    assert len(str(caught.value)) < 1000


def test_a_manifest_of_a_gigabyte_is_not_read(tmp_path):
    path = tmp_path / "manifest.json"
    with path.open("wb") as file:
        file.truncate(2**30)
    with pytest.raises(ManifestError, match="more than 16"):
        read_manifest(path)


@pytest.mark.parametrize("kind", ["folder", "endless", "pipe"])
def test_a_manifest_is_a_regular_file(tmp_path, monkeypatch, kind):
    places = {"folder": tmp_path, "endless": "/dev/zero", "pipe": tmp_path / "pipe"}
    if kind == "pipe" and hasattr(os, "mkfifo"):
        os.mkfifo(places[kind])
    monkeypatch.setenv("MAEZOO_MANIFEST", str(places[kind]))
    with pytest.raises(ManifestError, match="cannot read the manifest"):
        load_manifest()
