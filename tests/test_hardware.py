"""What "auto" stands for, on machines that are not this one too."""

import pytest
import torch

from maezoo.hardware import choose_device, choose_dtype, parse_dtype

CPU, CUDA = torch.device("cpu"), torch.device("cuda")


def cpu_with(monkeypatch: pytest.MonkeyPatch, *, amx: bool, avx512_bf16: bool) -> None:
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx, raising=False)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: avx512_bf16, raising=False)


@pytest.mark.parametrize(
    ("amx", "avx512_bf16", "dtype", "reason"),
    [
        (True, True, torch.bfloat16, "AMX"),
        (False, True, torch.bfloat16, "AVX512-BF16"),
        (False, False, torch.float32, "no bfloat16 multiply"),
    ],
)
def test_cpus(monkeypatch: pytest.MonkeyPatch, amx: bool, avx512_bf16: bool, dtype: torch.dtype, reason: str) -> None:
    cpu_with(monkeypatch, amx=amx, avx512_bf16=avx512_bf16)
    choice = choose_dtype(CPU)
    assert choice.dtype == dtype
    assert reason in choice.reason
    assert parse_dtype("auto", CPU) == choice


def test_a_pytorch_that_cannot_be_asked_means_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("_is_amx_tile_supported", "_is_avx512_bf16_supported"):
        monkeypatch.delattr(torch.cpu, name, raising=False)
    assert choose_dtype(CPU).dtype == torch.float32


@pytest.mark.parametrize(
    ("capability", "dtype"), [((7, 5), torch.float32), ((8, 0), torch.bfloat16), ((9, 0), torch.bfloat16)]
)
def test_cuda(monkeypatch: pytest.MonkeyPatch, capability: tuple[int, int], dtype: torch.dtype) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    choice = choose_dtype(CUDA)
    assert choice.dtype == dtype
    assert f"{capability[0]}.{capability[1]}" in choice.reason


def test_float32_unless_asked() -> None:
    assert parse_dtype(None, CPU).dtype == torch.float32
    assert parse_dtype("bf16", CPU).dtype == torch.bfloat16
    assert parse_dtype(torch.float16, CPU).dtype == torch.float16
    for wrong in ("int8", torch.int8, "half-ish"):
        with pytest.raises(ValueError, match="'auto', 'float32'"):
            parse_dtype(wrong, CPU)


def test_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    assert choose_device("cpu") == CPU
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert choose_device() == CPU
    with pytest.raises(ValueError, match="no cuda device here"):
        choose_device("cuda")
    with pytest.raises(ValueError, match="got 'gpu'"):
        choose_device("gpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert choose_device() == CUDA
