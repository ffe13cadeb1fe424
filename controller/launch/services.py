"""What processors may use, as data: the door to worker.remote.process for those who only describe it."""

from worker.remote.process import WorkerServices

__all__ = ["WorkerServices"]
