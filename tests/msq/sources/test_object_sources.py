"""Sources of objects in Google's and Azure's stores: what they refuse, and whom they may ask."""

from __future__ import annotations

from typing import Any

import pytest

from msq.codec import encode
from msq.faults import DruidException
from msq.sources import SourceAccess, parse_input_source


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ({"type": "google", "uris": ["s3://b/k"]}, "Invalid URI scheme [s3://b/k] must be [gs]"),
        ({"type": "google"}, "Exactly one of uris, prefixes or objects"),
        ({"type": "google", "uris": ["gs://b/a/../k"]}, "is no bucket with a key"),
        ({"type": "google", "uris": ["gs://b/%2e%2e/k"]}, "is no bucket with a key"),
        ({"type": "azureStorage", "uris": ["azure://b/k"]}, "must be [azureStorage]"),
        ({"type": "azure", "objects": [{"bucket": "b"}]}, "An object needs a bucket and a path"),
        ({"type": "azure", "objects": [{"bucket": "b/c", "path": "k"}]}, "is no bucket with a key"),
        ({"type": "hdfs", "paths": "/a"}, "Input source type [hdfs] is not supported"),
    ],
)
def test_refused_with_a_reason(source: dict[str, Any], reason: str) -> None:
    with pytest.raises(DruidException) as caught:
        parse_input_source(source)
    assert reason in caught.value.message


@pytest.mark.parametrize(
    ("source", "host"),
    [
        ({"type": "google", "uris": ["gs://b/k"]}, "storage.googleapis.com"),
        ({"type": "azureStorage", "uris": ["azureStorage://acc/box/k"]}, "acc.blob.core.windows.net"),
        ({"type": "s3", "uris": ["s3://b/k"]}, "s3.us-east-1.amazonaws.com"),
        ({"type": "s3", "uris": ["s3://b/k"], "endpointConfig": {"signingRegion": "eu-west-1"}},
         "s3.eu-west-1.amazonaws.com"),
    ],
)  # fmt: skip
def test_hosts_must_be_allowed(source: dict[str, Any], host: str) -> None:
    parsed = parse_input_source(source)
    with pytest.raises(DruidException, match=rf"Host \[{host}\] is not one this server may read from"):
        parsed.list(SourceAccess(hosts=("example.org",)))
    assert encode(parsed) == source


def test_an_azure_container_needs_an_account() -> None:
    with pytest.raises(DruidException, match=r"use type \[azureStorage\]"):
        parse_input_source({"type": "azure", "uris": ["azure://box/k"]}).list(SourceAccess())
