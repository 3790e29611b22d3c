"""How commands end: exit codes, signals, and streams that nobody reads."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner

from maezoo.cli import app, main
from maezoo.cli.screen import printable

IGNORING_CTRL_C = ["bash", "-c", "trap '' INT; exec \"$@\"", "bash"]  # as a shell does for its background jobs
posix = pytest.mark.skipif(sys.platform == "win32", reason="signals and streams of POSIX")


def shell(line: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a line of a shell, in which `maezoo` is `python -m maezoo`."""
    script = f'maezoo() {{ "{sys.executable}" -m maezoo "$@"; }}; {line}'
    return subprocess.run(
        ["bash", "-c", script], capture_output=True, text=True, check=False, env={**os.environ, **environment}
    )


@posix
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_reader_that_goes_away_is_no_error(unbuffered: str) -> None:
    done = shell("maezoo list | head -1", PYTHONUNBUFFERED=unbuffered)
    assert done.stdout.startswith("mae_vit_tiny.photos_pixel\t4.2 M\t")
    assert done.stderr == ""
    done = shell("maezoo list --json | true; exit ${PIPESTATUS[0]}", PYTHONUNBUFFERED=unbuffered)
    assert done.returncode in (0, 1)  # it may have written all before
    assert done.stderr == ""


@posix
def test_closed_streams_are_no_error() -> None:
    done = shell("maezoo list >&-; maezoo list >&- 2>&- <&-")
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the device that is always full")
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_output_that_cannot_be_printed_is_one_line(unbuffered: str) -> None:
    done = shell("maezoo list >/dev/full", PYTHONUNBUFFERED=unbuffered)
    assert done.returncode == 1
    assert done.stderr.startswith("maezoo: standard output cannot be written: No space left")
    assert len(done.stderr.splitlines()) == 1


@posix
def test_what_an_encoding_lacks_is_escaped() -> None:
    done = shell("maezoo info mae_vit_ñ; maezoo --help; maezoo list", LC_ALL="C", PYTHONIOENCODING="ascii")
    assert done.returncode == 0
    assert done.stderr.startswith("maezoo: Unknown model 'mae_vit_\\xf1'")


def test_module_and_program_are_one() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error::RuntimeWarning", "-m", "maezoo", "list", "--colour"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.startswith("Usage: maezoo list ")
    assert "No such option: --colour" in done.stderr


def test_help_keeps_what_stands_in_brackets() -> None:
    shown = CliRunner().invoke(app, ["extract", "--help"]).stdout
    assert "[by the device]" in shown


def test_wrong_usage_is_not_torn(tmp_path: Path) -> None:
    long = f"{tmp_path}/{'long ' * 30}.txt"
    done = CliRunner().invoke(app, ["features", "x.jpg", "-o", long])
    assert done.exit_code == 2
    assert long in done.stderr


def test_piped_tables_are_lines_of_cells(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "a long name [bold] of a folder" / ("x" * 100)
    monkeypatch.setenv("HF_HUB_CACHE", str(folder))
    for line in CliRunner().invoke(app, ["cache"]).stdout.splitlines():
        assert len(line.split("\t")) == 4
    facts = dict(
        line.split("\t") for line in CliRunner().invoke(app, ["info", "mae_vit_large.in1k_normpix"]).stdout.splitlines()
    )
    assert facts["parameters"] == "303,301,632"


def test_partial_failures_exit_with_1_and_the_number(tmp_path: Path, photos: list[Path]) -> None:
    arguments = [str(photos[0]), str(tmp_path / "none[/].jpg"), str(tmp_path / "other.jpg"), "-o"]
    for command, output in (("features", "x.npy"), ("reconstruct", "out")):
        done = CliRunner().invoke(app, [command, *arguments, str(tmp_path / output)])
        assert done.exit_code == 1
        assert "none[/].jpg: there is no such file" in done.stderr
        assert "2 of 3 images failed" in done.stderr
        assert (tmp_path / output).exists()


def test_text_from_outside_is_one_printable_line() -> None:
    assert (
        printable("a\x1b[31m\n\t\udcff\u2028[red]:cat: é\u202f") == r"a\x1b[31m\n\t\udcff\u2028[red]:cat: é" + "\u202f"
    )


@posix
@pytest.mark.parametrize(
    ("number", "code", "before"),
    [(signal.SIGINT, 130, []), (signal.SIGTERM, 143, []), (signal.SIGTERM, 143, IGNORING_CTRL_C)],
    ids=["Ctrl-C", "SIGTERM", "SIGTERM where Ctrl-C is ignored"],
)
def test_training_that_is_stopped_keeps_what_is_done(
    number: int, code: int, before: list[str], tmp_path: Path, photos: list[Path]
) -> None:
    command = [*before, sys.executable, "-m", "maezoo", "pretrain", str(photos[0].parent), "-o", str(tmp_path / "run")]
    running = subprocess.Popen(
        [*command, "--batch-size", "2", "--img-size", "32", "--optimizer", "adamw", "--precision", "float32"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert running.stderr is not None
    assert "1,000,000 views" in running.stderr.readline()
    while not (tmp_path / "run" / "log.jsonl").exists() and running.poll() is None:
        time.sleep(0.05)
    running.send_signal(number)
    _, told = running.communicate()
    assert running.returncode == code, told
    why, again = told.splitlines()[-2:]
    assert why == "Stopped. A checkpoint is kept; to continue, run it again:"
    assert again.startswith("maezoo pretrain ")
    assert (tmp_path / "run" / "checkpoint.safetensors").exists()


@posix
def test_ctrl_c_is_one_line_and_leaves_the_output_as_it_was(tmp_path: Path, photos: list[Path]) -> None:
    output = tmp_path / "x.csv"
    output.write_text("good")
    command = [sys.executable, "-m", "maezoo", "features", *[str(photos[0])] * 5000, "-o", str(output)]
    running = subprocess.Popen(
        [*command, "--batch-size", "1"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    while not list(tmp_path.glob(".x-*")) and running.poll() is None:
        time.sleep(0.05)
    running.send_signal(signal.SIGINT)
    out, told = running.communicate()
    assert (running.returncode, out, told) == (130, "", "stopped\n")
    assert output.read_text() == "good"
    assert not list(tmp_path.glob(".x-*"))


@pytest.mark.parametrize(
    "arguments",
    [
        "extract photos out --max-errors many",
        "extract photos out --device gpu",
        "list --license gpl",
        "optimize --precision float8",
        "optimize --task sing",
        "export mae_vit_tiny out.onnx --img-size 100x100",
        "export mae_vit_tiny out.onnx --layer 99 --task feature_maps",
        "sweep x.jpg --strategy none",
        "convert x.pth y.safetensors --preprocess {",
    ],
)
def test_an_option_with_a_value_that_is_not_allowed_is_wrong_usage(
    arguments: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    Image.new("RGB", (96, 96)).save(tmp_path / "photos" / "x.png")
    Image.new("RGB", (96, 96)).save(tmp_path / "x.jpg")
    monkeypatch.setattr(sys, "argv", ["maezoo", *arguments.split()])
    before = signal.getsignal(signal.SIGTERM)
    try:
        with pytest.raises(SystemExit) as left:
            main()
    finally:
        signal.signal(signal.SIGTERM, before)
    assert (left.value.code, capsys.readouterr().out) == (2, "")
