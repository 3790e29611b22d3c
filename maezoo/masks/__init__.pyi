from .draw import block_mask as block_mask
from .draw import draw_mask as draw_mask
from .draw import grid_mask as grid_mask
from .draw import mask_from_noise as mask_from_noise
from .draw import random_mask as random_mask
from .pixels import mask_from_pixels as mask_from_pixels
from .visible import check_mask as check_mask
from .visible import visible_indices as visible_indices
