"""timm's own `create_model` over files that we fetched and verified, whatever their layout."""

import json

from maezoo.checkpoints.convert import convert

from .conftest import REPO, TINY
from .server import COMMIT


def test_timm_loads_either_layout_and_adapts_it(machine):
    for layout in ("timm", "transformers"):
        convert(TINY, machine.folder / layout, to=layout, encoder_only=layout == "timm")
        data = (machine.folder / layout / "model.safetensors").read_bytes()
        machine.hub.add(f"zoo/{layout}", "model.safetensors", data)
    machine.publish()
    manifest = json.loads(machine.manifest.read_text())
    entry = next(iter(manifest["weights"].values())) | {"sha256": None, "size": None}
    manifest["defaults"] = {"mae_vit_tiny": "in1k_pixel"}
    manifest["weights"] = {
        "mae_vit_tiny.in1k_normpix": entry
        | {"repo_id": "zoo/timm", "layout": "timm", "parts": ["encoder"], "target": "normpix"},
        "mae_vit_tiny.in1k_pixel": entry | {"repo_id": "zoo/transformers", "layout": "transformers"},
    }
    machine.manifest.write_text(json.dumps(manifest))
    code = f"""
        import torch, timm, maezoo
        reference = maezoo.create("mae_vit_tiny", checkpoint={str(TINY)!r}, device="cpu")
        images = torch.randn(2, 3, 96, 96)
        tokens = reference.encode(images)
        for tag in ("in1k_normpix", "in1k_pixel"):
            name = f"mae_vit_tiny.{{tag}}"
            def make(**options):
                return timm.create_model(name, pretrained=True, **options).eval().requires_grad_(False)
            plain = make()
            assert plain.pretrained_cfg["tag"] == tag
            assert torch.allclose(plain.forward_features(images), tokens, atol=1e-6)
            classes = make(num_classes=10, drop_path_rate=0.1)
            assert classes(images).shape == (2, 10)
            assert torch.allclose(classes.forward_features(images), tokens, atol=1e-6)
            pooled = make(global_pool="avg", num_classes=10)
            assert torch.equal(pooled.norm.weight, reference.encoder.norm.weight)
            assert torch.allclose(pooled.forward_head(pooled.forward_features(images), pre_logits=True),
                                  tokens[:, 1:].mean(1), atol=1e-5)
            grey = make(in_chans=1)
            assert torch.allclose(grey.patch_embed.proj.weight,
                                  reference.encoder.patch_embed.proj.weight.sum(1, keepdim=True), atol=1e-6)
            wide = make(img_size=(64, 128))
            other = maezoo.create(name, pretrained=True, device="cpu", img_size=(64, 128), decoder=False)
            assert torch.allclose(wide.pos_embed, other.pos_embed, atol=1e-6)
            maps = timm.create_model(name, pretrained=True, features_only=True)(images)
            assert [tuple(m.shape) for m in maps] == [(2, 192, 12, 12)] * 3
        print("done")
    """
    result = machine.run(code)
    assert result.stdout == "done", result.stderr
    assert machine.hub.count("GET") == 2
    assert not any(REPO in path or COMMIT not in path for _, path, _ in machine.hub.requests)
