from .result import ExtractResult as ExtractResult
from .result import Progress as Progress
from .run import extract as extract
