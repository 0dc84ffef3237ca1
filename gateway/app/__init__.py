"""The rooms joined, for the commands that need them all."""

import os

os.environ.setdefault("PYTHONTZPATH", "/usr/share/zoneinfo:/usr/lib/zoneinfo:/usr/share/lib/zoneinfo:/etc/zoneinfo")
"""Where Python looks for time zones as it comes (zoneinfo.TZPATH), said here: else ``zoneinfo`` asks how Python was built, and that
answer, a thousand variables of a Makefile, stays in memory: 0.3 MiB.
"""
