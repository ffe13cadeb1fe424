"""Several pieces read and computed at once, on threads, with a bounded number of batches waiting."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

T = TypeVar("T")
_POLL_SECONDS = 0.2


def interleave(
    sources: Sequence[Callable[[], Iterator[T]]], threads: int, check: Callable[[], None], waiting: int = 4
) -> Iterator[T]:
    """What all `sources` yield, in order of arrival; items of one source keep their order.

    At most `threads` sources are open at once. An exception of one ends all. Closing the iterator early stops them.
    `check` is called while waiting and may raise.
    """
    if threads <= 1 or len(sources) <= 1:
        for source in sources:
            yield from source()
        return
    ready: queue.Queue[Any] = queue.Queue(waiting)
    stop = threading.Event()
    todo = iter(sources)
    lock = threading.Lock()

    def put(item: Any) -> bool:
        while not stop.is_set():
            try:
                ready.put(item, timeout=_POLL_SECONDS)
                return True
            except queue.Full:
                continue
        return False

    def work() -> None:
        failure = None
        try:
            while not stop.is_set():
                with lock:
                    source = next(todo, None)
                if source is None:
                    break
                items = source()
                try:
                    for item in items:
                        if not put((item, None)):
                            break
                finally:
                    close = getattr(items, "close", None)
                    if close is not None:
                        close()
        except BaseException as error:
            failure = error
        put((None, failure or _DONE))

    running = min(threads, len(sources))
    workers = [threading.Thread(target=work, name=f"piece-{n}", daemon=True) for n in range(running)]
    for worker in workers:
        worker.start()
    try:
        while running:
            try:
                item, end = ready.get(timeout=_POLL_SECONDS)
            except queue.Empty:
                check()
                continue
            if end is None:
                yield item
            elif end is _DONE:
                running -= 1
            else:
                raise end
    finally:
        stop.set()
        for worker in workers:
            worker.join()


_DONE = object()
