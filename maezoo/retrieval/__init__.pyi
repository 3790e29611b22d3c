from .duplicates import Duplicates as Duplicates
from .duplicates import Group as Group
from .duplicates import Member as Member
from .grouping import dedup as dedup
from .nearest import Match as Match
from .nearest import search as search
