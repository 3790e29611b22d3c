"""search(): the picture itself comes first, whatever the output was made with."""

import json

import numpy as np
import pyarrow.dataset as ds
import pytest
from PIL import Image
from typer.testing import CliRunner

import maezoo
from maezoo.cli import app
from maezoo.errors import ArgumentError, DataError, ImageError, SourceMissingError
from maezoo.retrieval import search


def test_copies_come_first_and_cosines_are_those_of_centred_embeddings(output, pictures):
    found = search(output, pictures / "photo0.png", k=100, device="cpu")
    table = ds.dataset(output).to_table()
    assert len(found) == len(table)
    assert {each.id for each in found[:2]} == {"copy.png", "photo0.png"}
    assert {each.id for each in found[2:4]} == {"again.jpg", "half.png"}
    assert found[0].similarity == pytest.approx(1, abs=1e-4)
    vectors = np.array(table["embedding"].to_pylist(), np.float64)
    vectors -= vectors.mean(axis=0)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    ids = table["id"].to_pylist()
    expected = dict(zip(ids, vectors @ vectors[ids.index("photo0.png")], strict=True))
    assert all(each.similarity == pytest.approx(expected[each.id], abs=2e-3) for each in found)
    assert [each.similarity for each in found] == sorted((each.similarity for each in found), reverse=True)


@pytest.mark.parametrize(
    "options", [{"normalize": True}, {"pool": "cls+mean", "dtype": "float32"}, {"exact": True}, {"pool": "mean"}]
)
def test_the_query_is_embedded_as_the_output_was(pictures, tmp_path, options):
    maezoo.extract(pictures, tmp_path / "out", device="cpu", workers=0, **options)
    with Image.open(pictures / "photo1.png") as image:
        (match,) = search(tmp_path / "out", image, k=1, device="cpu")
    assert match.id == "photo1.png"
    assert match.similarity == pytest.approx(1, abs=1e-3)
    if options.get("normalize"):
        vectors = np.array(ds.dataset(tmp_path / "out").to_table()["embedding"].to_pylist())
        assert np.linalg.norm(vectors, axis=1) == pytest.approx(1, abs=1e-3)


def test_a_model_that_was_given_is_given_again(pictures, tmp_path):
    model = maezoo.create("mae_vit_tiny", pretrained=True, device="cpu")
    model.encoder.norm.bias.data += 0.5
    model.name = "mine"
    maezoo.extract(pictures, tmp_path / "out", model=model, workers=0)
    assert search(tmp_path / "out", pictures / "photo1.png", k=1, model=model)[0].id == "photo1.png"
    with pytest.raises(DataError, match="'mine', which cannot be created"):
        search(tmp_path / "out", pictures / "photo1.png")
    with pytest.raises(DataError, match="other weights than those of mae_vit_tiny"):
        search(tmp_path / "out", pictures / "photo1.png", model="mae_vit_tiny", device="cpu")


def test_what_cannot_be_searched_is_said(output, pictures, tmp_path):
    with pytest.raises(SourceMissingError, match="no output of `maezoo extract`"):
        search(tmp_path, pictures / "photo0.png")
    with pytest.raises(ImageError, match="no such file"):
        search(output, pictures / "nothing.png")
    with pytest.raises(ImageError, match="one picture; got 2"):
        search(output, [pictures / "photo0.png"] * 2)
    with pytest.raises(ArgumentError, match="at least 1; got 0"):
        search(output, pictures / "photo0.png", k=0)


def test_on_the_command_line(output, pictures, tmp_path):
    arguments = ["search", str(output), str(pictures / "photo0.png"), "-k", "2", "--device", "cpu"]
    lines = CliRunner().invoke(app, arguments).stdout.splitlines()
    assert {line.split("\t")[1] for line in lines} == {"copy.png", "photo0.png"}
    found = json.loads(CliRunner().invoke(app, [*arguments, "--json"]).stdout)
    assert set(found[0]) == {"id", "similarity"}
