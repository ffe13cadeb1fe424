"""What every worker needs, imported once before workers are forked: they start in milliseconds, and all of them run the
code that was there when their server started.
"""

from __future__ import annotations

import importlib
import pkgutil
from contextlib import suppress

import duckdb  # noqa: F401
import numpy.ma  # noqa: F401 - which pyarrow loads when it needs it
import pyarrow.compute  # noqa: F401

import msq.aggregate
import msq.expr.functions
import msq.formats
import msq.processors
import msq.segment
import msq.sources
import worker.remote.process  # noqa: F401
from msq.expr.prepare import kernels
from msq.faults import DruidException

for _package in (msq.aggregate, msq.expr.functions, msq.formats, msq.processors, msq.segment, msq.sources):
    for _module in pkgutil.walk_packages(_package.__path__, _package.__name__ + "."):
        importlib.import_module(_module.name)
with suppress(DruidException):  # a broken extension, which every statement names
    kernels()
