"""DICOM: grey values as the file's tags say, or by a window; each kind of file that cannot be shown is refused."""

import io
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.pixels import apply_modality_lut, apply_voi_lut
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian, JPEGLSLossless, RLELossless

import maezoo
from maezoo.errors import ImageError, MissingExtraError
from maezoo.images.batches import open_image
from maezoo.images.window import Scaling

STEPS = np.arange(0, 4096, 16, dtype=np.uint16)[None].repeat(8, 0)
CT = {"RescaleSlope": 1, "RescaleIntercept": -1024, "WindowCenter": 40, "WindowWidth": 400}


def dicom(values: np.ndarray, *, syntax: str = ExplicitVRLittleEndian, preamble: bool = True, **tags: Any) -> bytes:
    """A DICOM file of values (H, W) or (H, W, 3)."""
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.SOPClassUID, dataset.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.2", "1.2.3"
    dataset.Rows, dataset.Columns = values.shape[:2]
    dataset.SamplesPerPixel = 1 if values.ndim == 2 else 3
    dataset.PhotometricInterpretation = "MONOCHROME2" if values.ndim == 2 else "RGB"
    if values.ndim == 3:
        dataset.PlanarConfiguration = 0
    bits = 8 * values.dtype.itemsize
    dataset.BitsAllocated = dataset.BitsStored = bits
    dataset.PixelRepresentation = int(values.dtype.kind == "i")
    dataset.PixelData = values.tobytes()
    for name, value in tags.items():
        setattr(dataset, name, value)
    dataset.HighBit = dataset.BitsStored - 1
    buffer = io.BytesIO()
    dataset.save_as(buffer, enforce_file_format=preamble)
    return buffer.getvalue()


def seen(data: Any, window: Any = "full") -> np.ndarray:
    return np.asarray(open_image(data, scaling=Scaling(window)))[:, :, 0].astype(int)


@pytest.mark.parametrize("function", ["LINEAR", "LINEAR_EXACT", "SIGMOID"])
@pytest.mark.parametrize("values", [STEPS, STEPS.astype(np.int16)])
def test_the_window_in_the_tags_is_used_as_pydicom_uses_it(values: np.ndarray, function: str) -> None:
    data = dicom(values, **CT, VOILUTFunction=function)
    dataset = pydicom.dcmread(io.BytesIO(data))
    measured = apply_modality_lut(dataset.pixel_array, dataset)
    shown = apply_voi_lut(measured, dataset)
    bounds = np.iinfo(values.dtype)
    expected = (shown - (bounds.min - 1024)) / (bounds.max - bounds.min) * 255
    assert np.abs(seen(data) - expected).max() < 1.01  # ours is rounded down


def test_the_first_of_several_windows_is_used() -> None:
    several = {"WindowCenter": [40, 500], "WindowWidth": [400, 2000]}
    assert np.array_equal(seen(dicom(STEPS, **(CT | several))), seen(dicom(STEPS, **CT)))


def test_a_window_given_counts_in_hounsfield_units() -> None:
    data = dicom(STEPS, **CT)
    units = STEPS.astype(int) - 1024
    assert np.array_equal(seen(data, (-160, 240)), np.floor(((units + 160) * 255 / 400).clip(0, 255)))
    assert np.array_equal(seen(data, "auto"), STEPS.astype(int) * 255 // STEPS.max())


def test_without_a_window_the_bits_that_are_stored_count(caplog: pytest.LogCaptureFixture) -> None:
    assert np.array_equal(seen(dicom(STEPS, BitsStored=12)), STEPS.astype(int) * 255 // 4095)
    assert not caplog.records
    assert seen(dicom(STEPS)).max() == 15
    assert "window='percentiles'" in caplog.text


def test_monochrome1_is_inverted() -> None:
    usual = seen(dicom(STEPS, BitsStored=12))
    assert np.array_equal(seen(dicom(STEPS, BitsStored=12, PhotometricInterpretation="MONOCHROME1")), 255 - usual)


def test_colours_come_out_as_they_are() -> None:
    rgb = np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    assert np.array_equal(np.asarray(open_image(dicom(rgb))), rgb)
    red = dicom(np.full((8, 8, 3), (76, 85, 255), np.uint8), PhotometricInterpretation="YBR_FULL")
    assert open_image(red).getpixel((0, 0)) == (254, 0, 0)


def test_tables_of_values_are_used() -> None:
    table = Dataset()
    table.LUTDescriptor, table.LUTData = [4096, 0, 16], np.linspace(65535, 0, 4096).astype(np.uint16).tobytes()
    table["LUTData"].VR = "OW"
    data = dicom(STEPS, BitsStored=12, VOILUTSequence=[table])
    assert (seen(data)[0, 0], seen(data)[0, -1]) == (255, 0)


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
def test_paths_bytes_open_files_and_files_without_a_preamble(syntax: str, tmp_path: Path) -> None:
    data = dicom(STEPS, **CT)
    (tmp_path / "IM0001").write_bytes(data)
    expected = seen(data)
    with (tmp_path / "IM0001").open("rb") as file:
        for image in (tmp_path / "IM0001", file, dicom(STEPS, **CT, syntax=syntax, preamble=False)):
            assert np.array_equal(seen(image), expected)


def test_compressed_pixels_are_read_or_the_plug_in_is_named() -> None:
    dataset = pydicom.dcmread(io.BytesIO(dicom(STEPS, **CT)))
    dataset.compress(RLELossless)
    buffer = io.BytesIO()
    dataset.save_as(buffer)
    assert np.array_equal(seen(buffer), seen(dicom(STEPS, **CT)))
    dataset.file_meta.TransferSyntaxUID = JPEGLSLossless
    buffer = io.BytesIO()
    dataset.save_as(buffer)
    with pytest.raises(ImageError, match=r"image cannot be read as an image: [^\n]+$"):
        open_image(buffer)


def without_pixels() -> bytes:
    dataset = pydicom.dcmread(io.BytesIO(dicom(STEPS)))
    del dataset.PixelData
    buffer = io.BytesIO()
    dataset.save_as(buffer)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (dicom(np.concatenate([STEPS] * 3), Rows=8, NumberOfFrames=3), r"3 frames.*pixel_array\[i\]"),
        (without_pixels(), "DICOM without pixels"),
        (dicom(STEPS, Rows=20_000, Columns=20_000), r"400,000,000 pixels.*MAX_IMAGE_PIXELS"),
        (dicom(STEPS)[:-100], "bytes of pixel data"),
        (dicom(STEPS)[:700], "bytes of pixel data"),
        (dicom(STEPS)[:133], "without pixels"),
        (bytes(128) + b"DICM", "without pixels"),
        (b"\x08\0\x05\0this is no picture", "cannot be read as an image"),
    ],
)
def test_what_holds_no_picture_to_show_is_refused(data: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / "scan.dcm").write_bytes(data)
    with pytest.raises(ImageError, match=message) as raised:
        open_image(data)
    assert raised.value.path is None
    with pytest.raises(ImageError, match=r"scan\.dcm") as raised:
        open_image(tmp_path / "scan.dcm")
    assert raised.value.path == str(tmp_path / "scan.dcm")


def test_a_model_takes_it_like_any_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "scan.dcm").write_bytes(dicom(STEPS, **CT))
    model = maezoo.create("mae_vit_tiny", pretrained=True, device="cpu")
    shown = Image.fromarray(seen(tmp_path / "scan.dcm").astype(np.uint8))
    assert np.array_equal(model.features(tmp_path / "scan.dcm"), model.features(shown))
    monkeypatch.setitem(sys.modules, "pydicom", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'maezoo\[dicom\]'"):
        model.features(tmp_path / "scan.dcm")


def test_an_opened_dataset_is_told_what_to_pass_instead() -> None:
    dataset = pydicom.dcmread(io.BytesIO(dicom(np.zeros((8, 8), np.uint16))))
    with pytest.raises(
        ImageError, match="a FileDataset is no image: pass the path of its file, or its values as an array"
    ):
        maezoo.create("mae_vit_tiny", device="cpu").prepare(dataset)
