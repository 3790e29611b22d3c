"""What timm gets of a file is exactly its encoder, also where timm itself is not strict."""

import pytest
import timm
import torch

import maezoo  # noqa: F401 registers the architectures
from maezoo.errors import LayoutError
from tests.weight_files import in_layout


def create(path, **options):
    overlay = {"file": str(path), **options.pop("overlay", {})}
    return timm.create_model("mae_vit_tiny", pretrained=True, pretrained_cfg_overlay=overlay, **options)


@pytest.mark.parametrize("layout", ["fair", "timm", "transformers", "maezoo"])
def test_every_layout_fills_timms_encoder(tiny_file, tiny_state, layout):
    model = create(tiny_file(layout, decoder=layout != "timm"))
    ours = in_layout(tiny_state, "timm", decoder=False)
    assert all(torch.equal(tensor, ours[key]) for key, tensor in model.state_dict().items())


@pytest.mark.parametrize("layout", ["fair", "transformers"])
@pytest.mark.parametrize("num_classes", [0, 10])
def test_a_missing_or_strange_key_is_never_passed_over(tiny_file, layout, num_classes):
    key = {"fair": "blocks.2.norm1.bias", "transformers": "vit.encoder.layer.2.layernorm_before.bias"}[layout]
    with pytest.raises(LayoutError, match=r"lacks blocks\.2\.norm1\.bias"):
        create(tiny_file(layout, change=lambda tensors: tensors.pop(key)), num_classes=num_classes)
    strange = key.replace("2", "9", 1)
    with pytest.raises(LayoutError, match="no place for"):
        create(
            tiny_file(layout, change=lambda tensors: tensors.update({strange: torch.ones(192)})),
            num_classes=num_classes,
        )


def test_the_trained_norm_stays_with_any_pooling(tiny_file, tiny_state):
    path = tiny_file("timm", decoder=False)
    for pool in ("token", "avg", ""):
        model = create(path, global_pool=pool)
        assert torch.equal(model.norm.weight, tiny_state["encoder.norm.weight"])
