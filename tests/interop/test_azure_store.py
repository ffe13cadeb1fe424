"""Blobs of Azure storage, of the emulator where there is one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from msq.faults import DruidException
from msq.sources import SourceAccess, parse_input_source
from msq.storage.stores import azure_filesystem
from tests.harness.stores import AZURITE_ACCOUNT, AZURITE_KEY, Unavailable, azure_server

BLOBS = {"in/a.json": b"1", "in/b c.json": b"22", "in/deep/x.json": b"333", "indeed.json": b"4444"}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    try:
        with azure_server(tmp_path_factory.mktemp("azure")) as settings:
            files = azure_filesystem(settings)
            files.create_dir("box")
            for key, body in BLOBS.items():
                with files.open_output_stream(f"box/{key}", compression=None) as sink:
                    sink.write(body)
            yield dict(settings)
    except Unavailable as reason:
        pytest.skip(str(reason))


def bodies(source: dict[str, Any], access: SourceAccess) -> dict[str, bytes]:
    parsed = parse_input_source(source)
    found = {}
    for item in parsed.list(access):
        with parsed.open(item, access) as stream:
            found[parsed.system_value(item, "__file_path") or ""] = stream.read()
    return found


def test_blobs_of_the_account_of_the_process(store: dict[str, Any]) -> None:
    access = SourceAccess(stores={"azure": store})
    assert bodies({"type": "azure", "prefixes": ["azure://box/in"]}, access) == BLOBS
    assert list(bodies({"type": "azure", "prefixes": ["azure://box/in/"]}, access)) == list(BLOBS)[:3]
    assert bodies({"type": "azure", "uris": ["azure://box/in/b%20c.json"]}, access) == {"in/b c.json": b"22"}


def test_blobs_of_an_account_that_the_statement_names(store: dict[str, Any]) -> None:
    access = SourceAccess(stores={"azure": {"endpointUrl": store["endpointUrl"]}})
    given = {"type": "azureStorage", "properties": {"key": {"type": "default", "password": AZURITE_KEY}}}
    objects = [{"bucket": AZURITE_ACCOUNT, "path": "box/in/b c.json"}]
    assert bodies({**given, "objects": objects}, access) == {"box/in/b c.json": b"22"}
    prefix = f"azureStorage://{AZURITE_ACCOUNT}/box/in"
    assert bodies({**given, "prefixes": [prefix], "objectGlob": "**/deep/*"}, access) == {"box/in/deep/x.json": b"333"}
    with pytest.raises(DruidException, match="Host"):
        bodies({**given, "prefixes": [prefix]}, SourceAccess(hosts=("example.org",)))
