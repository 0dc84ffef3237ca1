"""A gate at which the disk's thread waits: a sync, or whatever a test puts behind it, that takes as long as the test wants."""

from __future__ import annotations

import threading

import pytest

from gateway.store import store as store_module
from gateway.store import worker as worker_module


class Gate(threading.Event):
    """Open until ``shut``; from then on the store waits for it no longer than a moment."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        super().__init__()
        self._monkeypatch = monkeypatch
        self.set()

    def shut(self) -> None:
        self.clear()
        self._monkeypatch.setattr(store_module, "STALL_S", 0.15)
        self._monkeypatch.setattr(worker_module, "STALL_S", 0.15)

    def open(self) -> None:
        self._monkeypatch.setattr(store_module, "STALL_S", 60)
        self._monkeypatch.setattr(worker_module, "STALL_S", 60)
        self.set()
