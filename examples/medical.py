"""A synthetic slice of a chest in Hounsfield units: written as DICOM, and reconstructed through three windows.

python examples/medical.py -o medical.png
"""

import argparse
from pathlib import Path

import numpy as np
import pydicom
from PIL import Image, ImageDraw

import maezoo

WINDOWS = {"lung": (-1350, 150), "soft tissue": (-160, 240), "bone": (-450, 1050)}  # Hounsfield units
BODY = [  # row, column, height and width of an ellipse of a slice of 384 pixels, and its value
    (192, 192, 131, 177, -90), (192, 192, 119, 165, 50), (182, 111, 88, 63, -850),  # fat, muscle, a lung
    (182, 273, 88, 63, -850), (196, 215, 50, 46, 45), (154, 106, 10, 10, 30), (278, 192, 25, 21, 400),  # nodule, spine
    *((192 + 109 * np.sin(a), 192 + 154 * np.cos(a), 7, 12, 700) for a in np.linspace(0, 6.28, 15)),  # ribs
]  # fmt: skip


def make_slice() -> np.ndarray:
    """Draw the slice: (384, 384) in Hounsfield units, with some noise."""
    picture = Image.new("I", (384, 384), -1000)  # air
    for y, x, height, width, value in BODY:
        ImageDraw.Draw(picture).ellipse((x - width, y - height, x + width, y + height), fill=value)
    return np.asarray(picture) + np.random.default_rng(0).normal(0, 15, (384, 384))


def write_dicom(path: Path, values: np.ndarray) -> None:
    """Write a CT slice: 12 bits, stored with an offset of 1024."""
    tags = {"Rows": len(values), "Columns": values.shape[1], "SamplesPerPixel": 1, "PixelRepresentation": 0}
    bits = {"BitsAllocated": 16, "BitsStored": 12, "HighBit": 11, "RescaleSlope": 1, "RescaleIntercept": -1024}
    slice_ = pydicom.Dataset()
    slice_.update({**tags, **bits, "PhotometricInterpretation": "MONOCHROME2"})
    slice_.SOPClassUID, slice_.SOPInstanceUID = pydicom.uid.CTImageStorage, pydicom.uid.generate_uid()
    slice_.PixelData = (values + 1024).clip(0, 4095).astype(np.uint16).tobytes()
    slice_.file_meta = pydicom.dataset.FileMetaDataset()
    slice_.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    slice_.save_as(path, enforce_file_format=True)


def main(output: Path) -> list[float]:
    """Reconstruct the slice through each window, one row for each."""
    write_dicom(output.with_suffix(".dcm"), make_slice())
    sheet, errors = Image.new("RGB", (584, 3 * 196), "white"), []
    for row, (name, window) in enumerate(WINDOWS.items()):
        result = maezoo.create("mae_vit_tiny", True, window=window).reconstruct(output.with_suffix(".dcm"))
        sheet.paste(result.to_pil(scale=2), (0, row * 196))
        errors.append(result.loss.item())
        print(f"{name}, {window}: hidden error {errors[-1]:.3f}")
    sheet.save(output)
    return errors


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-o", "--output", type=Path, default=Path("medical.png"))
    main(parser.parse_args().output)
