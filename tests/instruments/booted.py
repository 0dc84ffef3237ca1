"""A Debian of its own, with the real systemd as its first process and the gateway installed as ``docs/install.md`` says.

Theory. systemd needs a process number 1, a control group tree and a file system that it may change, not a machine: namespaces give it
these. Its root is an overlay of ours in memory, so whatever it or the gateway writes is gone at the end; it shares our network, so
that simulated devices and brokers are where they always are. Of this Debian only what a service needs is started.
Sources: systemd.unit(5), bootup(7), the container interface of systemd (``container=``), namespaces(7), overlayfs.
"""

from __future__ import annotations

import functools
import os
import shutil
import signal
import subprocess
import sys
import sysconfig
import tempfile
import time
from pathlib import Path
from typing import Self

from gateway.sim.leash import leashed

ROOT = Path(__file__).parents[2]
_SYSTEMD = Path("/lib/systemd/systemd")
_PYTHON = Path("/usr/bin/python3")
"""Debian's own, which a gateway is installed with; one in somebody's home is out of sight behind ``ProtectHome=``."""
_TARGET = "loudong-stage.target"
_MASKED = (
    "systemd-sysctl.service", "systemd-modules-load.service", "systemd-binfmt.service", "systemd-udevd.service",
    "systemd-udev-trigger.service", "systemd-machine-id-commit.service", "systemd-remount-fs.service", "proc-sys-fs-binfmt_misc.automount",
    "sys-kernel-debug.mount", "sys-kernel-tracing.mount", "systemd-timesyncd.service", "timers.target", "systemd-random-seed.service",
)  # fmt: skip
"""They would touch the kernel that we share."""
_NODES = {"null": (1, 3), "zero": (1, 5), "full": (1, 7), "random": (1, 8), "urandom": (1, 9), "tty": (5, 0)}
_BOOT_S = 60.0

_AROUND = r"""
set -e
mount --make-rprivate /
mount -t tmpfs -o mode=755 stage "$1"
mkdir "$1/groups" "$1/upper" "$1/work" "$1/root"
mount -t cgroup2 groups "$1/groups"
group="$1/groups/loudong-$$"
mkdir "$group"
(
    echo $BASHPID > "$group/cgroup.procs"
    exec unshare --kill-child --fork --pid --mount --uts --ipc --cgroup bash -c "$2" inside "$1"
) &
trap "kill -KILL $!" TERM
wait $! || true
find "$group" -depth -type d -exec rmdir {} +
"""
"""The tree of control groups is the whole machine's: a boot gets a branch of its own, or it would live by what another left there."""
_STAGE = r"""
set -e
mount -t overlay -o "lowerdir=/,upperdir=$1/upper,workdir=$1/work" stage "$1/root"
cd "$1/root"
mount -t proc proc proc
mount -t sysfs -o ro sys sys
mount -t cgroup2 cgroup sys/fs/cgroup
for folder in run dev; do mount -t tmpfs -o mode=755 "$folder" "$folder"; done
mount -t tmpfs -o mode=1777 tmp tmp
"""


def lacking() -> str:
    """What this machine has not that a boot needs; empty where all is there."""
    if os.geteuid() != 0:
        return "only root can boot a systemd"
    missing = [name for name in ("unshare", "nsenter", "mount", "systemctl", "adduser") if not shutil.which(name)]
    missing += [str(path) for path in (_SYSTEMD, _PYTHON) if not path.exists()]
    return f"not installed: {', '.join(missing)}" if missing else _unfit()


@functools.cache
def _unfit() -> str:
    asked = "import sys, venv; print(*sys.version_info[:2])"
    said = subprocess.run([_PYTHON, "-c", asked], capture_output=True, text=True, check=False).stdout.split()
    if said != list(map(str, sys.version_info[:2])):
        return "Debian's Python is of another version than that of the tests"
    with tempfile.TemporaryDirectory() as folder:
        tried = subprocess.run(_command(folder, _STAGE), capture_output=True, text=True, check=False)
    return tried.stderr.strip()


def _command(folder: str, inside: str) -> list[str]:
    return ["unshare", "--mount", "bash", "-c", _AROUND, "around", folder, inside]


class Booted:
    """The machine, for the length of the block."""

    def __init__(self, folder: Path) -> None:
        """``folder``: where its file system hangs, in its own sight alone."""
        self._folder, self._log = folder / "stage", folder / "boot.log"
        self._folder.mkdir()
        self._process: subprocess.Popen[bytes] | None = None
        self._init = 0

    def __enter__(self) -> Self:
        command = _command(str(self._folder), _STAGE + self._rest())
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(leashed(command), stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            self._wait_for_boot()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process is not None
        if self._init:
            os.kill(self._init, signal.SIGKILL)  # with the first process its whole namespace ends
        else:
            self._process.terminate()
        self._process.wait()

    def _rest(self) -> str:
        """What follows the stage: devices, the program, and systemd in our place."""
        packages = sysconfig.get_paths()["purelib"]
        inside = f"opt/loudong/.venv/lib/python{sys.version_info[0]}.{sys.version_info[1]}/site-packages"
        nodes = "\n".join(f"mknod -m 666 dev/{name} c {major} {minor}" for name, (major, minor) in _NODES.items())
        masks = "\n".join(f"ln -sf /dev/null etc/systemd/system/{name}" for name in _MASKED)
        return f"""
{nodes}
mkdir dev/pts dev/shm
mount -t devpts -o newinstance,ptmxmode=0666,mode=620,gid=5 pts dev/pts
mount -t tmpfs -o mode=1777 shm dev/shm
ln -s pts/ptmx dev/ptmx
ln -s /proc/self/fd dev/fd
{masks}
printf '[Unit]\\nRequires=basic.target systemd-journald.service\\nAfter=basic.target\\nAllowIsolate=yes\\n' \
    > etc/systemd/system/{_TARGET}
mkdir -p opt/loudong
cp -r {ROOT}/gateway {ROOT}/systemd {ROOT}/README.md opt/loudong/
chroot . {_PYTHON} -m venv --without-pip /opt/loudong/.venv
mount --bind {packages} {inside}
cp {sysconfig.get_paths()["scripts"]}/loudong opt/loudong/.venv/bin/loudong
mkdir outside
pivot_root . outside
umount -l /outside
mount --make-rshared /
cd /
exec env -i container=other PATH=/usr/sbin:/usr/bin:/sbin:/bin {_SYSTEMD} --system --unit={_TARGET} --log-target=console
"""

    def _wait_for_boot(self) -> None:
        until = time.monotonic() + _BOOT_S
        while time.monotonic() < until:
            assert self._process is not None
            assert self._process.poll() is None, self._log.read_text(errors="replace")
            self._init = self._init or self._first_process()
            if self._init and self.run("systemctl", "is-active", _TARGET, check=False).stdout == "active\n":
                return
            time.sleep(0.1)
        raise AssertionError(self._log.read_text(errors="replace"))

    def _first_process(self) -> int:
        """Its number out here; 0: it is not there yet."""
        pid = self._process.pid if self._process is not None else 0
        for _ in range(2):
            pid = next(iter(_children(pid)), 0) if pid else 0
        return pid

    # What a person at its terminal does ---------------------------------------------------------------

    def command(self, *words: str) -> list[str]:
        """The command line that runs this in there, as root."""
        clean = ["env", "-i", "--chdir=/", "LC_ALL=C.UTF-8", "PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"]
        return [
            "nsenter",
            "-t",
            str(self._init),
            "--mount",
            "--uts",
            "--ipc",
            "--pid",
            "--cgroup",
            "--root",
            *clean,
            *words,
        ]

    def run(self, *words: str, check: bool = True, said: str = "") -> subprocess.CompletedProcess[str]:
        """Run it; ``said`` is its standard input."""
        done = subprocess.run(
            self.command(*words), input=said, capture_output=True, text=True, timeout=120, check=False
        )
        assert not check or done.returncode == 0, (words, done.returncode, done.stdout, done.stderr, self.journal())
        return done

    def write(self, path: str, text: str) -> None:
        """A file as an editor leaves it."""
        self.run("mkdir", "-p", str(Path(path).parent))
        self.run("tee", path, said=text)

    def mount_disk(self, where: str) -> None:
        """A small ext4 of its own there, which can be frozen (fsfreeze(8)); the kernel lets go of its device with our last mount."""
        image = self._folder.with_name("disk.img")
        with image.open("wb") as file:
            file.truncate(64 << 20)
        subprocess.run(["mkfs.ext4", "-q", image], check=True)
        device = subprocess.run(
            ["losetup", "--find", "--show", image], capture_output=True, text=True, check=True
        ).stdout.strip()
        minor = device.removeprefix("/dev/loop")
        self.run("mknod", device, "b", "7", minor)
        self.run("mount", device, where)
        subprocess.run(["losetup", "--detach", device], check=True)  # lazily: when it is unmounted
        self.run("chown", "loudong:", where)

    def shown(self, unit: str, name: str) -> str:
        """One property of a unit (``systemctl show``)."""
        return self.run("systemctl", "show", "-P", name, unit).stdout.strip()

    def journal(self, unit: str = "loudong-gateway") -> str:
        """What journald has of a unit; of all for an empty one, every field of it."""
        asked = ("-o", "cat", "-u", unit) if unit else ("-o", "export")
        return self.run("journalctl", "--no-pager", *asked, check=False).stdout

    def seen_by(self, unit: str, *words: str) -> subprocess.CompletedProcess[str]:
        """Run it with the file system as the main process of a unit has it."""
        main = self.shown(unit, "MainPID")
        return self.run("nsenter", "-t", main, "--mount", "--root", "env", "--chdir=/", *words, check=False)


def _children(pid: int) -> list[int]:
    """proc(5); newest first."""
    try:
        return sorted(
            map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()), reverse=True
        )
    except OSError:
        return []
