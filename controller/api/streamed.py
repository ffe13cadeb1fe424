"""StreamedRows: an answer that is sent while its rows are made."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable, Iterator, Mapping

import anyio
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from controller.api.hangup import Hangup

log = logging.getLogger(__name__)


class StreamedRows(StreamingResponse):
    """The texts of `pieces`, each made on a thread. `close` is called in the end, whatever happens; `hangup` is told
    when the client goes away.

    What fails once rows are on their way cuts the answer short, as in Druid: the connection is closed, JSON lacks its
    end, lines and csv lack the empty line that ends them.
    """

    def __init__(
        self, pieces: Iterator[str], headers: Mapping[str, str], media_type: str, close: Callable[[], None],
        hangup: Hangup,
    ) -> None:  # fmt: skip
        self.threads: anyio.CapacityLimiter | None = None
        """On which pieces are made; None: those that everybody shares."""
        self._pieces = pieces
        self._close = close
        self._hangup = hangup
        super().__init__(self._texts(), 200, dict(headers), media_type)

    async def _texts(self) -> AsyncIterator[str]:
        while True:
            piece = await anyio.to_thread.run_sync(next, self._pieces, None, limiter=self.threads)
            if piece is None:
                return
            yield piece

    async def stream_response(self, send: Send) -> None:
        try:
            await super().stream_response(send)
        except Exception as error:
            # it cannot be told any more: the listener closes an answer that has no end
            log.info("An answer was cut short: %s", error)

    async def listen_for_disconnect(self, receive: Receive) -> None:
        await super().listen_for_disconnect(receive)
        await anyio.to_thread.run_sync(self._hangup.happened)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            with anyio.CancelScope(shield=True):
                await anyio.to_thread.run_sync(self._close, limiter=self.threads)
