from .entries import Manifest as Manifest
from .entries import WeightsEntry as WeightsEntry
from .entries import load_manifest as load_manifest
from .entries import read_manifest as read_manifest
