"""Objects of Google Cloud Storage."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from msq.sources.base import SourceAccess
from msq.sources.http import check_uri
from msq.sources.objects import ObjectInputSource, made
from msq.storage.stores import endpoint_uri, google_filesystem


@dataclass(frozen=True)
class GoogleInputSource(ObjectInputSource, tag="google"):
    """The process's own settings and environment say how the store is reached, as in Druid."""

    SCHEME: ClassVar[str] = "gs"

    def filesystem(self, bucket: str, access: SourceAccess) -> Any:
        settings = access.stores.get("google") or {}
        check_uri(endpoint_uri(settings, "https://storage.googleapis.com"), access)
        return made(google_filesystem, settings)
