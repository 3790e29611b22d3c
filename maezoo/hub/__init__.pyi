from .cache import HubCache as HubCache
from .fetching import fetch as fetch
from .push import push_folder as push_folder
from .report import VerifyReport as VerifyReport
from .report import VerifyResult as VerifyResult
from .report import verify_entries as verify_entries
from .repository import Repository as Repository
