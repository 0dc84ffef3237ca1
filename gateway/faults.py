"""Errors, by who must act. Anything not listed here is a bug and rises."""

from __future__ import annotations


class LoudongError(Exception):
    """Base of every error the gateway raises on purpose."""


class SiteError(LoudongError):
    """The site file has faults; the installer must mend them."""


class DeviceFault(LoudongError):
    """A device, bus or radio did not do as asked; the world must be retried, and it shows in health."""

    def __init__(self, reason: str, detail: str = "") -> None:
        """``reason`` is a word-catalogue key such as ``timeout``, ``bad_crc``, ``exception``, ``port_gone``."""
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason, self.detail = reason, detail


class UplinkFault(LoudongError):
    """The upstream cannot be reached or refuses; wait and try again."""


class StoreFault(LoudongError):
    """The disk refuses; go on in memory, loudly."""
