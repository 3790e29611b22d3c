"""An entry that cannot be loaded says why, and what helps, before anything is fetched."""

import json

import pytest
import timm

import maezoo
from maezoo.errors import UnsupportedWeightsError
from maezoo.manifest.entries import load_manifest
from maezoo.manifest.support import obstacles, require_loadable

ENTRY = {
    "architecture": "mae_vit_tiny",
    "repo_id": "me/mine",
    "revision": "main",
    "filename": "model.safetensors",
    "layout": "timm",
    "parts": ["encoder"],
    "target": None,
    "preprocess": {"size": [96, 96]},
    "license": "mit",
    "num_params": 1,
}


def entry(tmp_path, monkeypatch, architecture="mae_vit_tiny", **fields):
    weights = {f"{architecture}.mine": {**ENTRY, "architecture": architecture, **fields}}
    path = tmp_path / "manifest.json"
    path.write_text(json.dumps({"schema_version": 1, "weights": weights}))
    monkeypatch.setenv("MAEZOO_MANIFEST", str(path))
    return load_manifest().find(f"{architecture}.mine")


def test_what_is_as_in_the_paper_loads(tmp_path, monkeypatch):
    assert obstacles(entry(tmp_path, monkeypatch)) == []
    assert (
        obstacles(entry(tmp_path, monkeypatch, facts={"in_chans": 13, "positions": "learned", "pooling": None})) == []
    )
    assert not any(obstacles(each) for each in load_manifest().select("mae_vit_*.in1k_*"))


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"layout": "jax"}, "jax"),
        ({"architecture": "mae_vit_giant"}, "mae_vit_giant"),
        ({"layout": "jax", "filename": "weights.pth"}, "jax"),
    ],
)
def test_an_obstacle_is_named_before_a_request(tmp_path, monkeypatch, fields, named):
    found = entry(tmp_path, monkeypatch, **fields)
    with pytest.raises(UnsupportedWeightsError, match=named) as caught:
        maezoo.create(found.name, pretrained=True, offline=True)
    assert caught.value.reason == "; ".join(obstacles(found))
    assert caught.value.found == found.name
    with pytest.raises(UnsupportedWeightsError):
        require_loadable(found)


def test_timm_lists_what_loads():
    listed = {
        name for name in timm.list_pretrained(exclude_filters="*_pyramid.*") if name.startswith(("mae_", "pixio_"))
    }
    assert listed == {each.name for each in load_manifest().entries.values() if not obstacles(each)}
