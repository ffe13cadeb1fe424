"""`/druid/indexer/v1/sampler`: the first rows of a source for the console's data loader. N-10."""

from __future__ import annotations

from controller.api.routing import Call, post
from controller.api.users import Role, tables_of_sources
from controller.sampler.sample import SampleSpec, sample


@post("/druid/indexer/v1/sampler", needs=(Role.READ, Role.EXTERNAL))
def sampler(call: Call) -> object:
    spec = SampleSpec.of(call.json_object())
    for table in tables_of_sources(spec.source):
        call.require_table(Role.READ, table)
    return sample(spec, call.server.engine.settings.access)
