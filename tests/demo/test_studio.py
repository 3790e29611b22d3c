import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
import torch
from PIL import Image

from maezoo import create, info
from maezoo.demo.colours import colour_map
from maezoo.demo.studio import Request, Studio, model_choices, read_photo, sample_photos
from maezoo.errors import ImageError, MaskError, UnknownModelError, WeightsNotFoundError
from maezoo.figures import class_attention, patch_similarity
from maezoo.hub.cache import HubCache
from maezoo.hub.fetching import hub_file

pytest.importorskip("matplotlib")


@pytest.fixture(scope="module")
def studio() -> Studio:
    return Studio("cpu")


@pytest.fixture
def request_(photos) -> Request:
    return Request(photo=read_photo(photos[0]))


def test_a_view_is_what_the_api_gives(studio, request_):
    view = studio.look(replace(request_, ratio=0.5, strategy="block", seed=3, patch=(2, 9)))
    model = create("mae_vit_tiny", pretrained=True, device="cpu")
    expected = model.reconstruct(request_.photo, mask_ratio=0.5, strategy="block", seed=3)
    assert torch.equal(view.reconstruction.mask, expected.mask)
    assert torch.equal(view.reconstruction.pixels, expected.pixels)
    assert view.hidden == set(expected.mask[0].nonzero().flatten().tolist())
    attention = class_attention(model, request_.photo)[0][0]
    assert view.attention.tobytes() == colour_map(attention.mean(dim=0), "viridis").tobytes()
    assert len(view.heads) == 3
    similarity = patch_similarity(model, request_.photo, (2, 9))[0]
    assert view.similarity.tobytes() == colour_map(similarity, "viridis", limits=(-1, 1)).tobytes()


def test_painted_patches_replace_the_draw(studio, request_):
    view = studio.look(replace(request_, painted=frozenset({0, 5, 143, 4000})))
    assert view.hidden == {0, 5, 143}
    assert studio.look(replace(request_, painted=frozenset())).hidden == frozenset()


def test_a_patch_of_a_larger_grid_is_brought_inside(studio, request_):
    assert studio.look(replace(request_, patch=(30, 2))).patch == (11, 2)


def test_a_change_takes_less_than_a_second(studio, request_):
    studio.look(request_)
    started = time.perf_counter()
    studio.look(replace(request_, seed=1))
    assert time.perf_counter() - started < 1


def test_models_are_kept(studio):
    assert studio.model("mae_vit_tiny") is studio.model("mae_vit_tiny")


def test_only_a_few_models_are_kept(monkeypatch):
    studio = Studio("cpu")
    made = []
    monkeypatch.setattr("maezoo.demo.studio.require_here", lambda name: None)
    monkeypatch.setattr("maezoo.demo.studio.create", lambda name, **_: made.append(name) or name)
    for name in ("a", "b", "a", "c", "a", "b"):
        studio.model(name)
    assert made == ["a", "b", "c", "b"]


def test_what_is_wrong_is_said(studio, request_):
    with pytest.raises(UnknownModelError):
        studio.look(replace(request_, model="mae_vit_giant"))
    with pytest.raises(MaskError):
        studio.look(replace(request_, ratio=1.5))


@pytest.fixture
def base_is_here(tmp_path, monkeypatch):
    """A cache that has a file for one of the larger weights."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    place = HubCache.at().expected_path(hub_file(info("mae_vit_base.in1k_pixel")))
    place.parent.mkdir(parents=True)
    place.write_bytes(b"")


def test_choices_can_all_reconstruct_and_are_here_and_the_bundled_one_is_first(base_is_here):
    assert model_choices() == ["mae_vit_tiny.photos_pixel", "mae_vit_base.in1k_pixel"]


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("mae_vit_large.in1k_pixel", WeightsNotFoundError),
        ("mae_vit_base", WeightsNotFoundError),
        ("hf-hub:zoo/tiny", UnknownModelError),
        ("local-dir:/etc", UnknownModelError),
        ("../../etc", UnknownModelError),
    ],
)
def test_a_visitor_starts_no_download_and_opens_no_folder(studio, request_, tmp_path, monkeypatch, name, error):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("maezoo.hub.files.ask", lambda *_, **__: pytest.fail("the hub was asked"))
    with pytest.raises(error):
        studio.look(replace(request_, model=name))


def test_a_model_that_is_ready_waits_for_none_that_loads_and_another_not_for_ever(monkeypatch, base_is_here):
    studio = Studio("cpu")
    ready = studio.model("mae_vit_tiny")
    loading, go_on = threading.Event(), threading.Event()

    def slow(name, **_):
        loading.set()
        assert go_on.wait(20)
        return name

    monkeypatch.setattr("maezoo.demo.studio.create", slow)
    monkeypatch.setattr("maezoo.demo.studio._LONGEST_WAIT", 0.05)
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(studio.model, "mae_vit_base")
        assert loading.wait(20)
        assert studio.model("mae_vit_tiny") is ready
        with pytest.raises(TimeoutError, match="again in a minute"):
            studio.model("mae_vit_base.in1k_pixel")
        go_on.set()
        assert first.result() == "mae_vit_base"


def test_samples_are_small_photos_with_a_licence():
    paths = sample_photos().values()
    assert len(paths) == 5
    assert sum(path.stat().st_size for path in paths) < 300_000
    note = (next(iter(paths)).parent / "README.md").read_text(encoding="utf-8")
    assert all(f"`{path.name}`" in note for path in paths)


def test_large_photos_are_made_smaller_and_upright(tmp_path):
    photo = Image.new("RGB", (2000, 1000))
    exif = photo.getexif()
    exif[274] = 6  # turned by a quarter
    photo.save(tmp_path / "large.jpg", exif=exif)
    assert read_photo(tmp_path / "large.jpg").size == (512, 1024)


def test_a_broken_photo_is_called_by_the_name_it_was_sent_with(tmp_path):
    path = tmp_path / "kept-somewhere.jpg"
    path.write_bytes(b"\xff\xd8\xff\xe0 no photo")
    with pytest.raises(ImageError, match=r"mine\.jpg") as caught:
        read_photo(path, "mine.jpg")
    assert str(tmp_path) not in str(caught.value)


def test_colours_stay_inside_their_limits():
    picture = colour_map(torch.tensor([[-5.0, 0.0, 5.0]]), "magma", limits=(-1, 1))
    assert picture.getpixel((0, 0)) == (0, 0, 3)
    assert picture.getpixel((2, 0)) == (251, 252, 191)
    gone = colour_map(torch.zeros(1, 2), "magma", absent=torch.tensor([[True, True]]))
    assert gone.getpixel((0, 0)) == (217, 217, 217)
