"""Blobs of Azure storage: `azureStorage://account/container/path`, and the older `azure://container/path`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from msq.faults import invalid_input
from msq.sources.base import SourceAccess
from msq.sources.http import check_uri, password_of
from msq.sources.objects import ObjectInputSource, made
from msq.storage.stores import azure_filesystem, endpoint_uri


def _filesystem(account: str, given: dict[str, Any], access: SourceAccess) -> Any:
    settings = {**(access.stores.get("azure") or {}), "account": account, **given}
    check_uri(endpoint_uri(settings, f"https://{account}.blob.core.windows.net"), access)
    return made(azure_filesystem, settings)


@dataclass(frozen=True)
class AzureStorageInputSource(ObjectInputSource, tag="azureStorage"):
    """A bucket is an account, a key begins with the container. `properties`: `key`, `sharedAccessStorageToken`, or
    `appRegistrationClientId`, `appRegistrationClientSecret` and `tenantId`; without, the environment's credentials."""

    properties: dict[str, Any] | None = None

    SCHEME: ClassVar[str] = "azureStorage"

    def filesystem(self, bucket: str, access: SourceAccess) -> Any:
        given = self.properties or {}
        secrets = {
            "key": password_of(given.get("key"), access), "clientId": given.get("appRegistrationClientId"),
            "token": password_of(given.get("sharedAccessStorageToken"), access),
            "clientSecret": password_of(given.get("appRegistrationClientSecret"), access),
            "tenantId": given.get("tenantId"),
        }  # fmt: skip
        return _filesystem(bucket, {k: v for k, v in secrets.items() if v}, access)

    def place(self, bucket: str, key: str) -> str:
        return key


@dataclass(frozen=True)
class AzureInputSource(ObjectInputSource, tag="azure"):
    """A bucket is a container of the account that the process's own settings name."""

    SCHEME: ClassVar[str] = "azure"

    def filesystem(self, bucket: str, access: SourceAccess) -> Any:
        account = (access.stores.get("azure") or {}).get("account")
        if not account:
            raise invalid_input("This server has no Azure account: use type [azureStorage], which names one")
        return _filesystem(str(account), {}, access)
