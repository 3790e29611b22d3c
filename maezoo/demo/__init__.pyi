from .serve import served as served
from .studio import Request as Request
from .studio import Studio as Studio
from .studio import View as View
