"""Reading features: Parquet folders and files, .npz, and what is wrong with others."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from maezoo.cli import app
from maezoo.errors import DataError
from maezoo.evaluation import read_features


def _parquet(path, ids, labels=None, width=4):
    path.parent.mkdir(parents=True, exist_ok=True)
    values = np.arange(len(ids) * width, dtype=np.float16)
    columns = {"id": ids, "embedding": pa.FixedSizeListArray.from_arrays(pa.array(values), width)}
    pq.write_table(pa.table(columns | ({} if labels is None else {"label": labels})), path)


def test_a_folder_of_shards_is_read_in_order(tmp_path):
    _parquet(tmp_path / "part-00001.parquet", ["c/3.jpg"], ["c"])
    _parquet(tmp_path / "part-00000.parquet", ["a/1.jpg", "b/2.jpg"], ["a", "b"])
    _parquet(tmp_path / "errors.parquet", ["d/4.jpg"], ["d"])
    (tmp_path / "part-00002.parquet").mkdir()
    features = read_features(tmp_path)
    assert features.labels.tolist() == ["a", "b", "c"]
    assert features.vectors.dtype == np.float32
    assert features.vectors[1].tolist() == [4, 5, 6, 7]


def test_folder_names_can_be_the_labels(tmp_path):
    _parquet(tmp_path / "one.parquet", ["x/cats/1.jpg", "x\\dogs\\2.jpg"])
    assert read_features(tmp_path / "one.parquet", labels="folder").labels.tolist() == ["cats", "dogs"]
    with pytest.raises(DataError, match="no labels"):
        read_features(tmp_path / "one.parquet")


def test_npz_with_either_spelling(tmp_path):
    np.savez(tmp_path / "a.npz", features=np.ones((2, 3)), labels=[1, 2])
    np.savez(tmp_path / "b.npz", embedding=np.ones((2, 3)), label=[1, 2])
    assert read_features(tmp_path / "a.npz").labels.tolist() == read_features(tmp_path / "b.npz").labels.tolist()


@pytest.mark.parametrize("keep", [0, 40, 300, -30])
def test_a_damaged_npz_is_named(tmp_path, keep):
    np.savez_compressed(tmp_path / "a.npz", features=np.random.default_rng(0).random((20, 3)), labels=np.arange(20))
    data = (tmp_path / "a.npz").read_bytes()
    (tmp_path / "a.npz").write_bytes(data[:keep])
    with pytest.raises(DataError, match=r"a\.npz"):
        read_features(tmp_path / "a.npz")
    (tmp_path / "a.npz").write_bytes(data[:100] + bytes(60) + data[160:])
    with pytest.raises(DataError, match=r"a\.npz"):
        read_features(tmp_path / "a.npz")


def test_a_column_of_plain_lists_is_read_if_they_have_one_length(tmp_path):
    pq.write_table(pa.table({"embedding": [[1.0, 2.0], [3.0, 4.0]], "label": ["a", "b"]}), tmp_path / "a.parquet")
    assert read_features(tmp_path / "a.parquet").vectors.tolist() == [[1, 2], [3, 4]]
    wrong = {"lists of 1 to 3 numbers": [[1.0], [2.0, 3.0, 4.0]], "holds double": [1.0, 2.0]}
    for says, values in wrong.items():
        pq.write_table(pa.table({"embedding": values, "label": ["a", "b"]}), tmp_path / "a.parquet")
        with pytest.raises(DataError, match=says):
            read_features(tmp_path / "a.parquet")


@pytest.mark.parametrize("name", ["missing", "empty", "text.npz", "TEXT.NPZ", "text.parquet"])
def test_what_cannot_be_read_is_named(tmp_path, name):
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.npz").write_text("no")
    (tmp_path / "TEXT.NPZ").write_text("no")
    (tmp_path / "text.parquet").write_text("no")
    with pytest.raises(DataError, match=name.replace(".", r"\.")):
        read_features(tmp_path / name)


def test_a_half_finished_extraction_is_refused(tmp_path, photos):
    import maezoo

    class StopError(Exception):
        pass

    def stop(progress):
        if progress.done:
            raise StopError

    settings = {"workers": 0, "batch_size": 1, "shard_size": 1, "limit": 2, "device": "cpu"}
    with pytest.raises(StopError):
        maezoo.extract(photos[0].parent, tmp_path / "out", report=stop, **settings)
    with pytest.raises(DataError, match=r"half-finished extraction: 1 rows of 2 images"):
        read_features(tmp_path / "out", labels="folder")
    maezoo.extract(photos[0].parent, tmp_path / "out", **settings)
    assert len(read_features(tmp_path / "out", labels="folder")) == 2
    (tmp_path / "out" / "part-000001.parquet").unlink()
    with pytest.raises(DataError, match="1 of the 2 rows"):
        read_features(tmp_path / "out", labels="folder")


def test_the_command_line_gives_json_and_text(tmp_path):
    vectors = np.eye(4, dtype=np.float32).repeat(5, axis=0) + 0.01
    np.savez(tmp_path / "train.npz", features=vectors, label=np.repeat(list("abcd"), 5))
    np.savez(tmp_path / "test.npz", features=vectors + 0.01, label=np.repeat(list("abcd"), 5))
    arguments = [str(tmp_path / "train.npz"), str(tmp_path / "test.npz")]
    answer = CliRunner().invoke(app, ["eval", "knn", *arguments, "--json", "-k", "3"])
    assert answer.exit_code == 0, answer.output
    assert json.loads(answer.stdout)["accuracy"] == 1.0
    answer = CliRunner().invoke(app, ["eval", "linear", *arguments])
    assert answer.exit_code == 0, answer.output
    assert "100.0%" in answer.stdout
