from .facts import Facts as Facts
from .report import Comparison as Comparison
from .report import ExportReport as ExportReport
from .run import export as export
from .runtimes import ExportedModel as ExportedModel
from .runtimes import open_exported as open_exported
