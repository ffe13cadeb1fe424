"""Object stores through `pyarrow.fs`: the one place that connects to them.

How a store is reached comes from a statement's own input source, or from the settings of the process by the store's
kind: `{"s3": {"endpointUrl", "region", "accessKey", "secretKey", ..}, "google": {"endpointUrl", ..}}`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlsplit

Stores = Mapping[str, Mapping[str, Any]]

SCHEMES = {"s3": "s3", "google": "gs"}
"""The scheme of URIs of each kind of store that can be written to."""

_TRACES = {
    "s3": (
        (
            "AWS_ACCESS_KEY_ID", "AWS_PROFILE", "AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE", "AWS_ENDPOINT_URL",
            "AWS_ENDPOINT_URL_S3", "AWS_REGION", "AWS_DEFAULT_REGION", "AWS_ROLE_ARN", "AWS_WEB_IDENTITY_TOKEN_FILE",
            "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_CONTAINER_CREDENTIALS_FULL_URI",
        ),
        ".aws",
    ),
    "google": (("GOOGLE_APPLICATION_CREDENTIALS", "CLOUDSDK_CONFIG", "GOOGLE_CLOUD_PROJECT"), ".config/gcloud"),
}  # fmt: skip
"""Variables, and a folder in the user's home, that tell of a store."""

_LEVELS = 8
"""Folders in each other that `delete_tree` removes, at most."""

_S3_OPTIONS = {
    "accessKey": "access_key", "secretKey": "secret_key", "sessionToken": "session_token", "roleArn": "role_arn",
    "externalId": "external_id", "region": "region", "connectTimeout": "connect_timeout",
    "readTimeout": "request_timeout", "proxy": "proxy_options", "anonymous": "anonymous",
}  # fmt: skip
_AZURE_OPTIONS = {
    "account": "account_name", "key": "account_key", "token": "sas_token", "tenantId": "tenant_id",
    "clientId": "client_id", "clientSecret": "client_secret",
}  # fmt: skip
_GOOGLE_OPTIONS = {"anonymous": "anonymous", "accessToken": "access_token", "project": "project_id"}


def s3_filesystem(settings: Mapping[str, Any]) -> Any:
    """A `pyarrow.fs.S3FileSystem`. `endpointUrl` may lack its scheme (https then). Without keys and `anonymous` the
    usual places of the environment are asked for credentials. Raises ValueError for what makes no sense together."""
    from pyarrow.fs import S3FileSystem

    options = _options(settings, _S3_OPTIONS)
    options |= _endpoint(settings)
    return S3FileSystem(**options)


def google_filesystem(settings: Mapping[str, Any]) -> Any:
    """A `pyarrow.fs.GcsFileSystem`; without `accessToken` and `anonymous` the environment's credentials are used."""
    from pyarrow.fs import GcsFileSystem

    options = _options(settings, _GOOGLE_OPTIONS) | _endpoint(settings)
    if "access_token" in options:
        # the library wants to know when to stop; who gave the token knows, and we do not
        options["credential_token_expiration"] = datetime.now() + timedelta(days=1)
    return GcsFileSystem(**options, retry_time_limit=timedelta(seconds=float(settings.get("retryTime", 30))))


def azure_filesystem(settings: Mapping[str, Any]) -> Any:
    """A `pyarrow.fs.AzureFileSystem` of `account`, with `key`, `token` or an application's id and secret."""
    from pyarrow.fs import AzureFileSystem

    options = _options(settings, _AZURE_OPTIONS)
    if settings.get("endpointUrl"):
        parts = urlsplit(endpoint_uri(settings, ""))
        for service in ("blob", "dfs"):
            options |= {f"{service}_storage_authority": parts.netloc, f"{service}_storage_scheme": parts.scheme}
    return AzureFileSystem(**options)


def is_configured(kind: str, stores: Stores) -> bool:
    """Whether the process was told of a kind of store: by its settings, or by its environment as the makers' own tools
    read it."""
    names, folder = _TRACES[kind]
    return bool(stores.get(kind)) or any(os.environ.get(n) for n in names) or (Path.home() / folder).is_dir()


def store_filesystem(kind: str, stores: Stores) -> Any:
    """The file system of a kind of store (a key of SCHEMES), reached as the process is told to."""
    made = {"s3": s3_filesystem, "google": google_filesystem}[kind]
    return made(stores.get(kind) or {})


def object_uri(scheme: str, bucket: str, key: str) -> str:
    """The URI of an object as Druid prints it: everything is escaped but letters, digits, `*-._` and slashes."""
    return f"{scheme}://{bucket}/{quote(key, safe='/*').replace('~', '%7E')}"


def object_of(uri: str) -> tuple[str, str]:
    """Bucket and key that a URI names."""
    bucket, _, key = uri.partition("://")[2].partition("/")
    return bucket, unquote(key)


def make_parent(filesystem: Any, place: str) -> None:
    """Makes the folder of a file to be written, where the file system has folders. Object stores have none: a key
    needs nothing above it."""
    if filesystem.type_name not in ("s3", "gcs", "abfs"):
        filesystem.create_dir(place.rpartition("/")[0], recursive=True)


def delete_tree(filesystem: Any, place: str) -> None:
    """Removes a file, or all that lies below a folder, if there is anything."""
    from pyarrow.fs import FileSelector, FileType

    if filesystem.type_name == "gcs":
        # it knows no folders but those that were made
        for info in filesystem.get_file_info(FileSelector(place, allow_not_found=True, recursive=True)):
            filesystem.delete_file(info.path)
    kind = filesystem.get_file_info(place).type
    if kind == FileType.File:
        filesystem.delete_file(place)
    levels = _LEVELS
    while kind == FileType.Directory:
        try:
            filesystem.delete_dir(place)
            return
        except OSError:
            # stores with real folders refuse one that is emptied by the same request: each round removes a level
            levels -= 1
            if not levels:
                raise
            kind = filesystem.get_file_info(place).type


def endpoint_uri(settings: Mapping[str, Any], default: str) -> str:
    """The URI that `endpointUrl` means, or `default`."""
    url = str(settings.get("endpointUrl") or "")
    return default if not url else url if "://" in url else f"https://{url}"


def _endpoint(settings: Mapping[str, Any]) -> dict[str, Any]:
    if not settings.get("endpointUrl"):
        return {}
    parts = urlsplit(endpoint_uri(settings, ""))
    return {"endpoint_override": parts.netloc, "scheme": parts.scheme}


def _options(settings: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    return {name: settings[key] for key, name in names.items() if settings.get(key) is not None}
