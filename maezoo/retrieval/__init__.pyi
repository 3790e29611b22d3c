from .dedup import dedup as dedup
from .duplicates import Duplicates as Duplicates
from .duplicates import Group as Group
from .duplicates import Member as Member
from .search import Match as Match
from .search import search as search
