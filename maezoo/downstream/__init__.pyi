from .estimator import MAEFeatures as MAEFeatures
from .pyramid import FeaturePyramid as FeaturePyramid
