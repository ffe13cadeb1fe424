"""What is refused with a fault while planning. Source: reference msq-engine 10 and 3.2."""

from __future__ import annotations

from collections.abc import Iterator

from msq.faults import ColumnNameRestrictedFault, MSQError, TooManyClusteredByColumnsFault, TooManyColumnsFault
from msq.native.datasource import DataSource, QueryDataSource
from msq.native.query import GroupByQuery, NativeQuery, ScanQuery, WindowOperatorQuery
from msq.plan.clustering import RESERVED
from msq.stage.query import StageDefinition

MAX_COLUMNS = 2000


def check_names(query: NativeQuery) -> None:
    """Raises MSQError(ColumnNameRestricted) when a query column has the name of a special column."""
    for name in query_columns(query):
        if name in RESERVED:
            raise MSQError(ColumnNameRestrictedFault(name))


def query_columns(query: NativeQuery) -> Iterator[str]:
    """Names of all columns that `query` and its subqueries produce."""
    if isinstance(query, ScanQuery):
        yield from query.columns
    elif isinstance(query, GroupByQuery):
        yield from (d.output_name for d in query.dimensions)
        yield from (a.name for a in query.aggregations or ())
        yield from (p.name for p in query.post_aggregations or () if p.name is not None)
    elif isinstance(query, WindowOperatorQuery):
        yield from query.output_signature.names
    for source in subqueries(query.data_source):
        yield from query_columns(source.query)


def subqueries(source: DataSource) -> Iterator[QueryDataSource]:
    """The outermost subqueries inside a source."""
    return (s for s in source.walk() if isinstance(s, QueryDataSource))


def check_stage(stage: StageDefinition, max_key_columns: int) -> None:
    """Raises MSQError(TooManyColumns) or MSQError(TooManyClusteredByColumns)."""
    if len(stage.signature) > MAX_COLUMNS:
        raise MSQError(TooManyColumnsFault(len(stage.signature), MAX_COLUMNS))
    if stage.shuffle_spec is not None:
        columns = len(stage.shuffle_spec.cluster_by.columns)
        if columns > max_key_columns:
            raise MSQError(TooManyClusteredByColumnsFault(columns, max_key_columns, stage.number))
