"""The boot id: the kernel's, or what the unit hands over."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway import clock

KERNELS = "7e8c2f3a-0b1d-4c5e-8f90-a1b2c3d4e5f6"


def test_the_kernels_own_comes_first(monkeypatch):
    monkeypatch.setenv(clock.BOOT_ID_GIVEN, "0" * 32)
    own = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    assert clock.SystemClock().stamp().boot_id == own


def test_where_it_is_hidden_the_units_is_the_same_word(monkeypatch, tmp_path):
    """systemd's %b has no hyphens; in another form a restart behind new locks would pass for a reboot."""
    monkeypatch.setattr(clock, "_BOOT_ID", tmp_path / "boot_id")
    monkeypatch.setenv(clock.BOOT_ID_GIVEN, KERNELS.replace("-", ""))
    assert clock.SystemClock().stamp().boot_id == KERNELS


@pytest.mark.parametrize("given", ["", "%b", "0123"])
def test_without_any_there_is_no_clock(monkeypatch, tmp_path, given):
    monkeypatch.setattr(clock, "_BOOT_ID", tmp_path / "boot_id")
    monkeypatch.setenv(clock.BOOT_ID_GIVEN, given)
    with pytest.raises(OSError, match="boot_id"):
        clock.SystemClock()
