"""A traced task written as files of a format, with the facts in them."""

import json
import zipfile
from collections.abc import Callable, Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

import torch
from torch.export import ExportedProgram

from maezoo.engines.graph import onnx_program
from maezoo.engines.quantise import quantise
from maezoo.engines.quiet import import_openvino
from maezoo.exporting.facts import Facts

__all__ = ["TORCH_CHECK", "TORCH_FACTS", "WRITERS", "add_facts"]

TORCH_FACTS = "facts.json"  # the name of the facts in a .pt2 file
TORCH_CHECK = "check.json"  # of the check of a compiled one: its facts are written before it, and stay
_LARGEST = 1_900_000_000  # bytes of weights that fit one ONNX file: protobuf ends at 2 GB


def write_onnx_file(program: ExportedProgram, path: Path, facts: Facts) -> None:
    """Write an ONNX file; weights that do not fit go into a file next to it."""
    external = _bytes_of(program) > _LARGEST
    made = onnx_program(program, inputs=facts.inputs, outputs=facts.outputs)
    before = {key: value for key, value in facts.to_strings().items() if key != "check"}
    if facts.precision != "int8":
        made.save(path, external_data=external)
        _append(path, before)
        return
    exact = path.with_name(f"exact-{path.name}")
    made.save(exact, external_data=True)
    try:
        quantise(exact, path, external=_bytes_of(program) > 3 * _LARGEST)
    finally:
        for left in (exact, exact.with_name(f"{exact.name}.data")):
            left.unlink(missing_ok=True)
    _append(path, before)


def write_torch_file(program: ExportedProgram, path: Path, facts: Facts) -> None:
    """Write a .pt2 file."""
    buffer = BytesIO()  # to a file on a full disk PyTorch's writer does not fail but ends the process
    torch.export.save(program, buffer, extra_files={TORCH_FACTS: json.dumps(facts.to_strings())})
    with path.open("wb") as file:
        file.write(buffer.getbuffer())


def write_aotinductor_file(program: ExportedProgram, path: Path, facts: Facts) -> None:
    """Compile to machine code for this kind of CPU, in a .pt2 package."""
    from torch._inductor import aoti_compile_and_package

    buffer = BytesIO()  # a full disk is then met by Python's own writing
    aoti_compile_and_package(program, package_path=buffer)
    with path.open("wb") as file:
        file.write(buffer.getbuffer())
    _add_member(path, TORCH_FACTS, facts.to_strings())


def write_openvino_file(program: ExportedProgram, path: Path, facts: Facts) -> None:
    """Write OpenVINO's .xml and .bin."""
    openvino = import_openvino()
    graph = openvino.convert_model(program)
    for ports, names in ((graph.inputs, facts.inputs), (graph.outputs, facts.outputs)):
        for port, name in zip(ports, names, strict=True):
            port.get_tensor().set_names({name})
    for key, value in facts.to_strings().items():
        graph.set_rt_info(value, ["maezoo", key])
    openvino.save_model(graph, path, compress_to_fp16=False)


WRITERS: Mapping[str, Callable[[ExportedProgram, Path, Facts], None]] = {
    "onnx": write_onnx_file,
    "torch": write_torch_file,
    "aotinductor": write_aotinductor_file,
    "openvino": write_openvino_file,
}


def add_facts(program: ExportedProgram, path: Path, facts: Facts) -> None:
    """Put the facts, now with the check, into files that are written."""
    if facts.format == "onnx":
        _append(path, {"check": facts.to_strings()["check"]})
    elif facts.format == "torch":
        write_torch_file(program, path, facts)
    elif facts.format == "aotinductor":
        _add_member(path, TORCH_CHECK, {"check": facts.to_strings()["check"]})
    else:
        text = path.read_text(encoding="utf-8")
        before, after = (_xml_fact(each) for each in ("[]", facts.to_strings()["check"]))
        if before not in text:
            raise ValueError("OpenVINO wrote the facts in another way")
        path.write_text(text.replace(before, after, 1), encoding="utf-8")


def _add_member(path: Path, name: str, strings: Mapping[str, str]) -> None:
    """Add a file of JSON to a .pt2 package, which is a zip archive with one folder."""
    with zipfile.ZipFile(path, "a") as package:
        folder = package.namelist()[0].partition("/")[0]
        package.writestr(f"{folder}/extra/{name}", json.dumps(strings))


def _append(path: Path, strings: Mapping[str, str]) -> None:
    """Add to the metadata of an ONNX file: messages of protobuf that follow each other are one."""
    import onnx

    more: Any = onnx.ModelProto()
    for key, value in strings.items():
        more.metadata_props.add(key=key, value=value)
    with path.open("ab") as file:
        file.write(more.SerializeToString())


def _xml_fact(check: str) -> str:
    from xml.sax.saxutils import quoteattr

    quoted = quoteattr(check, {'"': "&quot;"})
    return f"<check value={quoted} />"


def _bytes_of(program: ExportedProgram) -> int:
    """Return the size of a program's weights."""
    tensors = {**program.state_dict, **program.constants}.values()
    return sum(each.numel() * each.element_size() for each in tensors if isinstance(each, torch.Tensor))
