"""Lookups: the tables behind LOOKUP and the schema `lookup`. One store an engine; see store.py."""

from controller.lookups.file import read_lookups
from controller.lookups.spec import LookupSpecError
from controller.lookups.store import Lookup, LookupStore

__all__ = ["Lookup", "LookupSpecError", "LookupStore", "read_lookups"]
