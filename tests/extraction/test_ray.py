"""The Ray engine on a local Ray: the same rows, a killed worker survived, and the same way of going on."""

import logging
import os
import signal
import subprocess
import sys

import pytest

import maezoo
from maezoo.errors import MissingExtraError

SETTINGS = {"batch_size": 4, "shard_size": 20, "labels": True}


@pytest.mark.parametrize("missing", [["ray"], ["ray", "pyarrow"]])
def test_ray_is_named_when_it_is_missing_before_anything_is_written(folder, tmp_path, small, monkeypatch, missing):
    for name in missing:
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(MissingExtraError, match=r"pip install 'maezoo\[ray\]'"):
        maezoo.extract(folder, tmp_path / "out", model=small, engine="ray")
    assert not (tmp_path / "out").exists()


@pytest.fixture(scope="module")
def cluster():
    ray = pytest.importorskip("ray")
    pytest.importorskip("ray.data")
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    yield ray
    ray.shutdown()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # Ray leaves sockets and files to the collector
def test_ray_gives_the_rows_of_the_local_engine(cluster, damaged, tmp_path, small, rows, failures):
    (damaged / "class9").mkdir()
    for number in range(8):  # whole chunks of nothing that can be read
        (damaged / "class9" / f"{number}.jpg").write_bytes(b"no")
    maezoo.extract(damaged, tmp_path / "local", model=small, workers=0, **SETTINGS)
    context = cluster.data.DataContext.get_current()
    before = logging.getLogger("ray.data").level, context.enable_progress_bars
    result = maezoo.extract(damaged, tmp_path / "ray", model=small, engine="ray", workers=2, **SETTINGS)
    assert (result.rows, result.errors) == (120, 13)
    assert before == (logging.getLogger("ray.data").level, context.enable_progress_bars)
    assert rows(tmp_path / "ray").equals(rows(tmp_path / "local"))
    assert failures(tmp_path / "ray") == failures(tmp_path / "local")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_either_engine_goes_on_where_the_other_stopped(cluster, damaged, tmp_path, small, rows):
    class StopError(Exception):
        pass

    def stop(progress):
        if progress.done >= 50:
            raise StopError

    maezoo.extract(damaged, tmp_path / "whole", model=small, workers=0, **SETTINGS)
    for first, second in (("ray", "local"), ("local", "ray")):
        output = tmp_path / first
        with pytest.raises(StopError):
            maezoo.extract(damaged, output, model=small, engine=first, workers=1, report=stop, **SETTINGS)
        result = maezoo.extract(damaged, output, model=small, engine=second, workers=1, **SETTINGS)
        assert result.rows == 120
        assert rows(output).equals(rows(tmp_path / "whole"))


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="kill -9")
@pytest.mark.filterwarnings("ignore")
def test_a_killed_worker_costs_nothing(cluster, damaged, tmp_path, small, rows):
    killed = []

    def kill(progress):
        if progress.done >= 8 and not killed:
            listing = subprocess.run(
                ["ps", "-A", "-o", "pid=,args="], capture_output=True, text=True, check=True
            ).stdout
            ours = [line.split()[0] for line in listing.splitlines() if "ray::" in line and "_Embed" in line]
            killed.extend(ours[:1])
            for pid in killed:
                os.kill(int(pid), signal.SIGKILL)

    maezoo.extract(damaged, tmp_path / "whole", model=small, workers=0, **SETTINGS)
    maezoo.extract(damaged, tmp_path / "out", model=small, engine="ray", workers=2, report=kill, **SETTINGS)
    assert killed
    assert rows(tmp_path / "out").equals(rows(tmp_path / "whole"))
