"""Sound: the energies that AudioMAE was trained on, from files and samples; and what is no sound."""

import io
import logging
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from maezoo import Scene, Sound, Text
from maezoo.errors import ArgumentError, ImageError, MissingExtraError
from maezoo.images.batches import batches
from maezoo.images.fbank import log_mel
from maezoo.images.preprocessing import Preprocessing

AUDIO = Preprocessing((1024, 128), mean=(-4.2677393,), std=(9.1379948,), kind="sound")
TONE = (0.3 * np.sin(2 * np.pi * 440 * np.arange(32_000) / 16_000)).astype(np.float32)


def prepared(*given: Any) -> torch.Tensor:
    return torch.cat(list(batches(list(given), AUDIO, 1, 8)))


def write(path: Path, samples: np.ndarray[Any, Any], rate: int = 16_000, **options: Any) -> Path:
    pytest.importorskip("soundfile").write(path, samples, rate, **options)
    return path


@pytest.mark.parametrize("name", ["chirp", "noise", "offset"])
def test_energies_are_those_of_the_library_that_training_called(name: str) -> None:
    """`log_mel.npz` holds what torchaudio 2.11's compliance/kaldi.py makes of these samples in double precision."""
    with np.load(Path(__file__).parents[1] / "data" / "sound" / "log_mel.npz") as golden:
        found, expected = log_mel(golden[name], 128), golden[f"{name}_log_mel"]
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() < 1e-3  # at its floor its logarithm of a small sum is rounded otherwise


def test_a_short_sound_is_filled_with_zeros_before_it_is_normalised() -> None:
    found = prepared(Sound(TONE, 16_000))
    energies = log_mel(TONE, 128)
    assert found.shape == (1, 1, 1024, 128)
    assert torch.allclose(found[0, 0, : len(energies)] * 9.1379948 - 4.2677393, torch.tensor(energies), atol=1e-4)
    assert torch.allclose(found[0, 0, len(energies) :], torch.tensor(4.2677393 / 9.1379948))
    assert torch.equal(prepared(energies), found)


def test_files_and_samples_of_each_format_give_the_same(tmp_path: Path) -> None:
    expected = prepared(Sound(TONE, 16_000))
    wav = write(tmp_path / "a.wav", TONE, subtype="FLOAT")
    np.save(tmp_path / "energies.npy", log_mel(TONE, 128))
    given = [wav, str(wav), wav.read_bytes(), io.BytesIO(wav.read_bytes()), Sound(wav), tmp_path / "energies.npy"]
    tensors = [Sound(torch.tensor(TONE), 16_000), Sound(TONE[None], 16_000), Sound(TONE[:, None], 16_000)]
    assert torch.equal(prepared(*given, *tensors), expected.repeat(9, 1, 1, 1))
    whole = (TONE * 32_768).round().astype(np.int16)
    flac = write(tmp_path / "a.flac", whole)
    assert torch.allclose(prepared(flac), prepared(Sound(whole, 16_000)), atol=1e-5)
    unsigned = ((TONE + 1) * 128).round().clip(0, 255).astype(np.uint8)
    assert (prepared(Sound(unsigned, 16_000)) - expected)[0, 0, :198, 14:17].abs().max() < 0.2
    assert torch.isfinite(prepared(write(tmp_path / "a.ogg", TONE))).all()


def test_two_channels_become_their_mean_and_other_rates_16_khz(caplog: pytest.LogCaptureFixture) -> None:
    pytest.importorskip("scipy")
    with caplog.at_level(logging.WARNING):
        both = prepared(Sound(np.stack([TONE, -TONE / 2], axis=1), 16_000))
    assert "image 0 has 2 channels; their mean is used" in caplog.text
    assert torch.allclose(both, prepared(Sound(TONE / 4, 16_000)), atol=1e-4)
    fine = 0.3 * np.sin(2 * np.pi * 440 * np.arange(88_200) / 44_100)
    difference = (prepared(Sound(fine, 44_100)) - prepared(Sound(TONE, 16_000)))[0, 0, 5:190]
    assert difference[:, 14:17].abs().max() < 0.02  # where the tone is


def test_a_long_sound_is_used_in_part_and_that_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    long = np.random.default_rng(0).normal(0, 0.1, 16_000 * 25)
    path = write(tmp_path / "long.wav", long, subtype="DOUBLE")
    with caplog.at_level(logging.WARNING):
        first = prepared(path)
    assert "long.wav is 25 s long, of which the first 10.24 s are used" in caplog.text
    caplog.clear()
    parts = Sound(path).windows()
    assert [part.start for part in parts] == [0, 10.24, 20.48]
    with caplog.at_level(logging.WARNING):
        found = prepared(*parts)
    assert not caplog.text
    assert torch.allclose(found[0, 0, :1022], first[0, 0, :1022], atol=1e-3)
    samples = prepared(*Sound(long, 16_000).windows())
    assert torch.allclose(found, samples, atol=1e-3)
    assert len(Sound(path).windows(hop=5)) == 5
    part = Sound(path, start=2, seconds=15)
    assert [(each.start, each.seconds) for each in part.windows(10)] == [(2, 10), (12, 5)]
    assert [each.start for each in Sound(path, start=5, seconds=100).windows(10)] == [5, 15]  # there are 25 s
    for wrong in ({"seconds": 0}, {"hop": -1}, {"hop": 1e-9}):
        with pytest.raises(ArgumentError):
            Sound(path).windows(**wrong)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (Sound(np.zeros(0), 16_000), "not empty"),
        (Sound(np.zeros(100), 16_000), "6.25 ms long; at least 25 ms"),
        (Sound(np.full(16_000, np.nan), 16_000), "NaN or infinity"),
        (Sound(TONE * 32_768, 16_000), "values up to .*from -1 to 1"),
        (Sound(np.zeros((16_000, 7)), 16_000), "has 7 channels"),
        (Sound(TONE), "need their rate"),
        (Sound(TONE, 16_000.5), "need their rate"),
        (Sound(TONE, 16_000, start=5), "not empty|long"),
        (TONE, r"maezoo.Sound\(samples, rate\)"),
        (np.zeros((1024, 64), np.float32), r"\(frames, 128\); got float32 \(1024, 64\)"),
        (np.zeros((1024, 128), np.uint8), "energies in floats"),
        (np.full((9, 128), np.nan, np.float32), "NaN"),
        (3, "image 1 is an int; a sound is a file"),
        (Sound([0.1] * 9_000, 16_000), "image 1 is a list; a sound is a file"),  # type: ignore[arg-type]
        (Sound(np.zeros(0), 8_000), "not empty"),
        (Sound(np.zeros(100), 8_000, start=5), "0 ms long"),
        (Sound(TONE.astype(complex), 16_000), "numbers, and not empty; got complex"),
        (Sound(TONE, 0), "need their rate"),
        (Scene(np.zeros((9, 9, 2))), "is a Scene, and this model takes sounds"),
        (Text("a bird"), "is a Text, and this model takes sounds"),
        (b"", "cannot be read as sound"),
        (b"RIFF\x24\0\0\0WAVEfmt ", "cannot be read as sound"),
        (b"\0\0\0\x20ftypisom" + bytes(400), "cannot be read as sound.*ffmpeg"),  # as a video begins
    ],
)
def test_what_is_no_sound_is_told_with_the_cure(given: Any, message: str) -> None:
    pytest.importorskip("soundfile")
    with pytest.raises(ImageError, match=message) as raised:
        prepared(Sound(TONE, 16_000), given)
    assert raised.value.index == 1


@pytest.mark.parametrize("rate", [16_000, 8_000])
def test_a_file_without_a_sample_is_too_short(tmp_path: Path, rate: int) -> None:
    with pytest.raises(ImageError, match=r"empty\.wav is 0 ms long"):
        prepared(write(tmp_path / "empty.wav", np.zeros(0), rate))


def test_a_files_own_rate_counts_and_has_bounds(tmp_path: Path) -> None:
    path = write(tmp_path / "a.wav", TONE, 8_000)
    assert torch.equal(prepared(Sound(path, 8_000)), prepared(path))
    with pytest.raises(ImageError, match=r"a\.wav has 8,000 samples a second, and rate=16000 is given"):
        prepared(Sound(path, 16_000))
    for rate in (500, 2_000_000_011):  # the second would take gigabytes to resample
        with pytest.raises(ImageError, match=r"samples a second; from 1,000 to 768,000 are read"):
            prepared(write(tmp_path / "odd.wav", TONE, rate))


def test_energies_of_more_frames_are_used_in_part_and_that_is_told(caplog: pytest.LogCaptureFixture) -> None:
    energies = np.random.default_rng(0).normal(size=(1_100, 128)).astype(np.float32)
    with caplog.at_level(logging.WARNING):
        found = prepared(energies)
    assert "image 0 has 1100 frames, of which the first 1024 are used" in caplog.text
    assert torch.equal(found, prepared(energies[:1024]))


def test_files_of_too_many_channels_or_cut_short(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"seven\.wav has 7 channels"):
        prepared(write(tmp_path / "seven.wav", np.zeros((16_000, 7))))
    flac = write(tmp_path / "a.flac", TONE).read_bytes()
    (tmp_path / "cut.flac").write_bytes(flac[:60])
    with pytest.raises(ImageError, match=r"cut\.flac"):
        prepared(tmp_path / "cut.flac")
    with pytest.raises(ImageError, match="no such file"):
        prepared(tmp_path / "none.wav")
    with pytest.raises(ImageError, match=r"none\.wav: there is no such file"):
        Sound(tmp_path / "none.wav").windows()


def test_without_the_extra_its_command_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = write(tmp_path / "a.wav", TONE)
    monkeypatch.setitem(sys.modules, "soundfile", None)
    monkeypatch.setitem(sys.modules, "scipy.signal", None)
    for sound in (path, Sound(TONE, 22_050)):
        with pytest.raises(MissingExtraError, match=r"pip install 'maezoo\[audio\]'"):
            prepared(sound)
    assert prepared(Sound(TONE, 16_000)).shape == (1, 1, 1024, 128)  # which needs nothing


def test_pictures_models_say_what_a_sound_is_to_them() -> None:
    with pytest.raises(ImageError, match="is a Sound, and this model takes pictures"):
        list(batches(Sound(TONE, 16_000), Preprocessing((32, 32)), 3, 1))
