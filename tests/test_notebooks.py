"""A real notebook shows pictures and tables, bars that leave nothing, and short tracebacks."""

import os
import re
import sys

import pytest

import maezoo
from maezoo.notebooks import html_table

nbclient = pytest.importorskip("nbclient", reason="it runs notebooks")
nbformat = pytest.importorskip("nbformat", reason="it reads them")
pytest.importorskip("ipykernel", reason="it is the kernel")

CELLS = {
    "model": """
import maezoo
model = maezoo.create("mae_vit_tiny", pretrained=True, device="cpu")
model
""",
    "strip": "model.reconstruct(maezoo.sample('cat'))",
    "sample": "maezoo.sample('coffee')",
    "pretrained": "maezoo.list_pretrained('*.in1k_*')",
    "models": "maezoo.list_models()",
    "entry": "maezoo.info('mae_vit_tiny')",
    "loaded": "model.load_report",
    "verified": "maezoo.verify('mae_vit_tiny')",
    "bar": "model.features([maezoo.sample('cat')] * 9, batch_size=1, progress=True).shape",
    "optimised": """
fast = model.optimize(engine="eager", batch_sizes=(1,), progress=True)
fast.plan
""",
    "no file": "model.features('nofile.jpg', progress=True)",
    "no name": "maezoo.create('mae_vit_tny')",
    "own generator": """
def photos():
    yield maezoo.sample("cofee")

model.features(photos())
""",
    "all frames": "import os; os.environ['MAEZOO_TRACEBACK'] = '1'; model.features('nofile.jpg')",
}


class Run(nbclient.NotebookClient):
    """Remembers what cells showed while they ran."""

    updates: list[str] = []  # noqa: RUF012 - traitlets makes no instance attributes in a subclass's body

    def process_message(self, msg, cell, cell_index):
        if msg["msg_type"] == "update_display_data":
            self.updates.append(msg["content"]["data"]["text/plain"])
        return super().process_message(msg, cell, cell_index)


@pytest.fixture(scope="module")
def outputs(tmp_path_factory):
    """The outputs of each cell, run in a kernel that has no widgets."""
    home = tmp_path_factory.mktemp("notebook")
    (home / "ipywidgets.py").write_text("raise ImportError('not installed')")
    search = os.pathsep.join(filter(None, [str(home), *sys.path]))
    settings = {"IPYTHONDIR": str(home), "JUPYTER_RUNTIME_DIR": str(home), "PYTHONPATH": search}
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code.strip()) for code in CELLS.values()])
    client = Run(
        notebook, timeout=240, startup_timeout=240, allow_errors=True, resources={"metadata": {"path": str(home)}}
    )
    Run.updates.clear()
    client.execute(env={**os.environ, **settings})
    return {name: cell.outputs for name, cell in zip(CELLS, notebook.cells, strict=True)}


def test_a_model_is_one_line(outputs):
    (shown,) = outputs["model"]  # and nothing warns of widgets that are missing
    assert shown.data == {
        "text/plain": "MAE mae_vit_tiny.photos_pixel: 96x96, patch 8, 12x12 grid, 192 x 6, pixel, float32, cpu"
    }


@pytest.mark.parametrize("name", ["strip", "sample"])
def test_pictures_show_themselves(outputs, name):
    assert "image/png" in outputs[name][0].data


@pytest.mark.parametrize(
    ("name", "cell"),
    [
        ("pretrained", "mae_vit_huge.in1k_normpix"),
        ("models", "mae_vit_huge"),
        ("entry", "pixels"),
        ("loaded", "122 tensors loaded"),
        ("verified", "verified"),
        ("optimised", "eager"),
    ],
)
def test_tables_show_themselves_and_their_text_is_short(outputs, name, cell):
    shown = outputs[name][-1].data
    assert cell in shown["text/html"]
    assert "color" not in shown["text/html"]  # the theme's own, dark or light
    assert len(shown["text/plain"]) < 250


def test_a_bar_moves_and_leaves_nothing(outputs):
    bar, shape = outputs["bar"]
    assert any("9/9" in text and "images" in text for text in Run.updates)
    assert bar.data == {"text/plain": ""}
    assert shape.data["text/plain"] == "torch.Size([9, 192])"


def test_a_step_is_told_and_leaves_nothing(outputs):
    assert any(text.startswith("optimising: ") for text in Run.updates)
    assert outputs["optimised"][0].data == {"text/plain": ""}


@pytest.mark.parametrize(
    ("name", "message"), [("no file", "ImageError: nofile.jpg: there is no such file."), ("no name", "mae_vit_tiny")]
)
def test_an_error_shows_the_users_line_and_the_message(outputs, name, message):
    lines = outputs[name][-1].traceback
    text = "\n".join(lines)
    assert message.split(": ")[-1] in lines[-1]
    assert len(text.splitlines()) < 12
    assert "maezoo/" not in text


def test_lines_of_a_users_own_generator_are_shown(outputs):
    text = re.sub(r"\x1b\[[0-9;]*m", "", "\n".join(outputs["own generator"][-1].traceback))
    assert "in photos()" in text


def test_all_frames_are_shown_on_request(outputs):
    assert "batches.py" in "\n".join(outputs["all frames"][-1].traceback)


def test_a_table_escapes_and_leaves_out_empty_columns():
    table = html_table([("<b>", None)], columns=("name", "problem"), title="a & b")
    assert "&lt;b&gt;" in table
    assert "a &amp; b" in table
    assert "problem" not in table


def test_a_list_of_names_is_a_list():
    assert maezoo.list_models("*tiny") == ["mae_vit_tiny"]
    assert "no weights" in maezoo.list_pretrained("nothing*")._repr_html_()
