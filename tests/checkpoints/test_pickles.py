"""Options that trainers leave next to the weights are read past, and nothing is imported or changed for them."""

import argparse
import collections
import datetime
import os
import sys
import threading
import types
from pathlib import Path

import numpy as np
import pytest
import torch

from maezoo.checkpoints.pickles import load_pickle
from maezoo.errors import IntegrityError


def class_of(module: str, name: str, base: type = object) -> type:
    """Make a class that says it comes from a module that is not installed."""
    return type(name, (base,), {"__module__": module})


@pytest.fixture
def options(monkeypatch):
    """What trainers of several libraries save next to their weights."""
    made = {}
    for module, name, base in (
        ("omegaconf.dictconfig", "DictConfig", object),
        ("lightning.fabric.utilities.data", "AttributeDict", dict),
    ):
        made[name] = class_of(module, name, base)
        parts = module.split(".")
        for at in range(1, len(parts) + 1):
            place = ".".join(parts[:at])
            monkeypatch.setitem(sys.modules, place, types.ModuleType(place))
        setattr(sys.modules[module], name, made[name])
    config = made["DictConfig"]()
    config.content = {"lr": 0.1}
    return {
        "args": argparse.Namespace(output=Path("runs"), when=datetime.date(2026, 1, 1), device=torch.device("cpu")),
        "best": np.float64(0.5),
        "curve": np.ones(3),
        "config": config,
        "hyper_parameters": made["AttributeDict"](lr=0.1),
        "counts": collections.defaultdict(list, a=[1]),
    }


@pytest.mark.parametrize("mapped", [False, True])
@pytest.mark.parametrize("old", [False, True], ids=["zip", "legacy"])
def test_options_are_read_past(tmp_path, options, monkeypatch, mapped, old):
    path = tmp_path / "trained.pth"
    torch.save({"model": {"w": torch.arange(3)}} | options, path, _use_new_zipfile_serialization=not old)
    for module in [name for name in sys.modules if name.startswith(("omegaconf", "lightning"))]:
        monkeypatch.setitem(sys.modules, module, None)  # an import of it fails
    found = load_pickle(path, mapped=mapped)
    assert torch.equal(found["model"]["w"], torch.arange(3))
    assert not isinstance(found["args"], argparse.Namespace)
    assert vars(found["args"]) == {}
    assert found["counts"] == {"a": [1]}


class Calls:
    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize(
    "call", [(os.system, "touch ran"), (eval, "1"), (getattr, "", "join"), (__import__, "antigravity")]
)
def test_anything_else_is_refused_by_its_name(tmp_path, monkeypatch, call):
    monkeypatch.chdir(tmp_path)
    torch.save({"model": Calls(*call)}, "bad.pth")
    with pytest.raises(IntegrityError, match=f"it names .*{call[0].__name__}") as caught:
        load_pickle(Path("bad.pth"))
    assert "weights_only" not in str(caught.value)  # no advice to read it nevertheless
    assert not Path("ran").exists()


def test_torchs_list_of_allowed_names_is_as_it_was_also_with_threads(tmp_path, options):
    torch.save(options, tmp_path / "trained.pth")
    before = set(torch.serialization.get_safe_globals())
    failed = []

    def read():
        try:
            for _ in range(10):
                load_pickle(tmp_path / "trained.pth")
        except IntegrityError as error:
            failed.append(error)

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed
    assert set(torch.serialization.get_safe_globals()) == before


@pytest.mark.parametrize("old", [False, True], ids=["zip", "legacy"])
@pytest.mark.parametrize("protocol", range(6))
def test_another_pickle_protocol_is_named_with_the_cure(tmp_path, protocol, old):
    path = tmp_path / "weights.pth"
    options = {"pickle_protocol": protocol, "_use_new_zipfile_serialization": not old}
    torch.save({"model": {"w": torch.arange(3)}}, path, **options)
    if protocol in (2, 3):
        assert torch.equal(load_pickle(path)["model"]["w"], torch.arange(3))
        return
    with pytest.raises(
        IntegrityError, match=r"protocol is another than 2 and 3.*torch\.save\(state_dict, path\)"
    ) as raised:
        load_pickle(path)
    assert raised.value.command == "torch.save(state_dict, path)"
