"""Objects of S3 and of stores that speak its protocol."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from msq.sources.base import SourceAccess
from msq.sources.http import check_uri, password_of
from msq.sources.objects import ObjectInputSource, made
from msq.storage.stores import endpoint_uri, s3_filesystem


@dataclass(frozen=True)
class S3InputSource(ObjectInputSource, tag="s3"):
    """Where neither `properties` nor `endpointConfig` say how the store is reached, the process's own settings do.

    An endpoint that the statement names, without credentials, is asked without any where the process listens beyond
    this machine: its own credentials are not for strangers.
    """

    properties: dict[str, Any] | None = None
    endpoint_config: dict[str, Any] | None = None
    client_config: dict[str, Any] | None = None
    proxy_config: dict[str, Any] | None = None

    SCHEME: ClassVar[str] = "s3"

    def filesystem(self, bucket: str, access: SourceAccess) -> Any:
        given, endpoint, client = self.properties or {}, self.endpoint_config or {}, self.client_config or {}
        own = access.stores.get("s3") or {}
        settings: dict[str, Any] = {**own} if not endpoint else {}
        if given:
            settings |= {
                "accessKey": password_of(given.get("accessKeyId"), access) or None,
                "secretKey": password_of(given.get("secretAccessKey"), access) or None,
                "sessionToken": password_of(given.get("sessionToken"), access) or None,
                "roleArn": given.get("assumeRoleArn"), "externalId": given.get("assumeRoleExternalId"),
            }  # fmt: skip
        elif endpoint and not access.environment:
            settings["anonymous"] = True
        if endpoint.get("url"):
            url = str(endpoint["url"])
            settings["endpointUrl"] = url if "://" in url else f"{client.get('protocol') or 'https'}://{url}"
        settings["region"] = endpoint.get("signingRegion") or settings.get("region")
        check_uri(endpoint_uri(settings, f"https://s3.{settings['region'] or 'us-east-1'}.amazonaws.com"), access)
        if self.proxy_config is not None:
            settings["proxy"] = self._proxy(self.proxy_config, access)
        settings |= {"connectTimeout": access.connect_timeout, "readTimeout": access.read_timeout}
        return made(s3_filesystem, settings)

    def _proxy(self, proxy: dict[str, Any], access: SourceAccess) -> dict[str, Any]:
        port = int(proxy.get("port") or 80)
        check_uri(f"http://{proxy.get('host')}:{port}", access)
        password = password_of(proxy.get("password"), access) or None
        options = {"username": proxy.get("username"), "password": password}
        return {"scheme": "http", "host": proxy.get("host"), "port": port} | {
            k: v for k, v in options.items() if v is not None
        }
