from .load import LoadReport as LoadReport
from .load import load_file_into as load_file_into
from .metadata import WeightsMetadata as WeightsMetadata
from .save import save_model as save_model
from .sharing import save_timm_model as save_timm_model
