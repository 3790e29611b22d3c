from .data import FolderImages as FolderImages
from .data import ImageSource as ImageSource
from .data import PackedImages as PackedImages
from .data import open_source as open_source
from .data import write_pack as write_pack
from .recipe import Recipe as Recipe
from .run import Progress as Progress
from .trainer import pretrain as pretrain
