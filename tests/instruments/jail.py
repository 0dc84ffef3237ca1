"""The unit's locks without systemd: what ``systemd/loudong-gateway.service`` does to a process, done to ours, as far as root can.

    python jail.py UNIT STATE PROGRAM …

Read from the unit: system call groups (resolved by ``systemd-analyze syscall-filter``), address families, ``PrivateUsers=``,
``ProcSubset=`` and ``ProtectProc=``, ``ProtectSystem=strict``, the boot id. Always: no capability, no new privilege, no memory
both writable and executable, no namespace; /tmp is read-only, which is more than private. ``MemoryMax=`` becomes a bound of all memory
that is private and writable, used or not (RLIMIT_DATA): more than systemd counts. Whoever wants the limits of tasks and devices makes
groups (``limits.py``). Not done: ``ProtectHome=``, ``OOMScoreAdjust=``, ``IPAddressDeny=``.
Sources: systemd.exec(5), seccomp_rule_add(3), user_namespaces(7), capabilities(7), prctl(2), getrlimit(2).
"""

from __future__ import annotations

import ctypes
import errno
import os
import resource
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

from gateway.clock import BOOT_ID_GIVEN

GROUPS_VARIABLE = "LOUDONG_JAIL_GROUPS"
"""Folders of control groups to join."""
_CLONE_NEWNS, _CLONE_NEWUSER = 0x20000, 0x10000000
_NAMESPACES = (0x80, 0x20000, 0x2000000, 0x4000000, 0x8000000, 0x10000000, 0x20000000, 0x40000000)  # clone(2)
_PR_SET_PDEATHSIG, _PR_CAPBSET_DROP, _PR_SET_NO_NEW_PRIVS = 1, 24, 38
_ALLOW, _ERRNO = 0x7FFF0000, 0x50000  # seccomp.h
_EQ, _MASKED_EQ, _NE = 4, 7, 1
_WRITE_AND_EXEC, _EXEC = 6, 4
_FAMILIES = 48


class _Where(ctypes.Structure):
    """``struct scmp_arg_cmp``."""

    _fields_ = (("arg", ctypes.c_uint), ("op", ctypes.c_int), ("a", ctypes.c_uint64), ("b", ctypes.c_uint64))


def possible() -> bool:
    """Whether this machine has what it takes."""
    if os.geteuid() != 0 or not shutil.which("systemd-analyze") or not shutil.which("unshare"):
        return False
    try:
        ctypes.CDLL("libseccomp.so.2")
    except OSError:
        return False
    tried = "mount -t proc -o subset=pid proc /proc && exec unshare --map-root-user true"
    return subprocess.run(["unshare", "--mount", "sh", "-c", tried], capture_output=True, check=False).returncode == 0


def settings(unit: Path) -> dict[str, list[str]]:
    """Every value of each directive, in their order."""
    found: dict[str, list[str]] = {}
    for line in unit.read_text(encoding="utf-8").splitlines():
        if "=" in line and not line.startswith("#"):
            name, value = line.split("=", 1)
            found.setdefault(name, []).append(value)
    return found


def system_calls(lines: list[str]) -> set[str]:
    """What ``SystemCallFilter=`` lines leave: the first is a list of what is allowed, those with ``~`` take away."""
    said = subprocess.run(["systemd-analyze", "syscall-filter"], capture_output=True, text=True, check=True).stdout
    groups: dict[str, list[str]] = {}
    inside: list[str] = []
    for line in said.splitlines():
        if line.startswith("@"):
            inside = groups.setdefault(line.strip(), [])
        elif line.startswith(" ") and not line.strip().startswith("#"):
            inside.append(line.strip())

    def whole(name: str) -> set[str]:
        return set().union(*map(whole, groups[name])) if name.startswith("@") else {name}

    allowed = whole("@default")
    for line in lines:
        names = set().union(*map(whole, line.removeprefix("~").split()))
        allowed = allowed - names if line.startswith("~") else allowed | names
    return allowed


class _Filter:
    """One seccomp filter."""

    def __init__(self, otherwise: int) -> None:
        self._library = ctypes.CDLL("libseccomp.so.2")
        self._library.seccomp_init.restype = ctypes.c_void_p
        self._filter = ctypes.c_void_p(self._library.seccomp_init(otherwise))

    def add(self, action: int, call: str, *where: tuple[int, int, int, int]) -> None:
        """``where``: argument, comparison, and its two numbers. A call this machine does not know is passed over."""
        number = self._library.seccomp_syscall_resolve_name(call.encode())
        conditions = (_Where * len(where))(*(_Where(*one) for one in where))
        self._library.seccomp_rule_add_array(self._filter, action, number, len(where), conditions)

    def load(self) -> None:
        failed = self._library.seccomp_load(self._filter)
        if failed:
            raise OSError(-failed, os.strerror(-failed))


def lock(unit: dict[str, list[str]]) -> None:
    """Load the filters; what is forbidden fails from here on, in us and whatever we become."""
    denied = _ERRNO | errno.EPERM
    narrow = _Filter(_ALLOW)
    families = {getattr(socket, name) for name in unit["RestrictAddressFamilies"][0].split()}
    for family in set(range(_FAMILIES)) - families:
        narrow.add(_ERRNO | errno.EAFNOSUPPORT, "socket", (0, _EQ, family, 0))
    narrow.add(denied, "mmap", (2, _MASKED_EQ, _WRITE_AND_EXEC, _WRITE_AND_EXEC))
    narrow.add(denied, "mprotect", (2, _MASKED_EQ, _EXEC, _EXEC))
    narrow.add(denied, "pkey_mprotect", (2, _MASKED_EQ, _EXEC, _EXEC))
    for flag in _NAMESPACES:
        for call in ("clone", "unshare"):
            narrow.add(denied, call, (0, _MASKED_EQ, flag, flag))
    narrow.add(_ERRNO | errno.ENOSYS, "clone3")
    narrow.add(denied, "setns")
    narrow.add(denied, "personality", (0, _NE, 0, 0))
    wide = _Filter(denied)
    for call in system_calls(unit["SystemCallFilter"]):
        wide.add(_ALLOW, call)
    narrow.load()
    wide.load()


def main() -> None:
    """Entry point: becomes the program."""
    unit, state, command = settings(Path(sys.argv[1])), Path(sys.argv[2]), sys.argv[3:]
    for group in os.environ.pop(GROUPS_VARIABLE, "").split():
        (Path(group) / "cgroup.procs").write_text(str(os.getpid()), encoding="ascii")
    most = int(unit["MemoryMax"][0].removesuffix("M")) << 20
    resource.setrlimit(resource.RLIMIT_DATA, (most, most))
    library, parent = ctypes.CDLL(None, use_errno=True), os.getppid()
    boot_id = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip().replace("-", "")
    for line in unit.get("Environment", ()):
        name, _, value = line.partition("=")
        os.environ[name] = value.replace("%b", boot_id)
    assert BOOT_ID_GIVEN in os.environ
    assert library.unshare(_CLONE_NEWNS) == 0
    state.mkdir(mode=0o750, parents=True, exist_ok=True)
    proc = f"subset={unit['ProcSubset'][0]},hidepid={unit['ProtectProc'][0]}"
    assert unit["ProtectSystem"] == ["strict"]
    for words in (
        ("--make-rprivate", "/"), ("--bind", state, state), ("-t", "proc", "-o", proc, "proc", "/proc"), ("-o", "remount,bind,ro", "/"),
    ):  # fmt: skip
        subprocess.run(["mount", *words], check=True)
    os.chdir("/")
    if unit["PrivateUsers"] == ["yes"]:
        assert library.unshare(_CLONE_NEWUSER) == 0
        Path("/proc/self/setgroups").write_text("deny", encoding="ascii")
        for kind in ("uid", "gid"):
            Path(f"/proc/self/{kind}_map").write_text("0 0 1", encoding="ascii")
    for capability in range(64):
        library.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0)
    assert library.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
    library.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)  # a namespace of its own took it from us
    if os.getppid() != parent:
        sys.exit(1)
    lock(unit)
    os.execvp(command[0], command)  # noqa: S606 - no shell, our own caller's program


if __name__ == "__main__":
    main()
