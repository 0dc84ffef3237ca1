"""Who is who at the daemon's door, whoever runs these tests: told by numbers; and what the kernel guarantees about them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.control.folder import SOCKET_NAME, porters_folder
from gateway.control.protocol import Caller, PeerCredentials, Refusal, Request
from gateway.control.server import spoken_for

OWN, GROUP, NOGROUP, LI = 990, 991, 65534, 1000
AS_LI = Request("ack", {}, Caller(7, LI, LI))
as_root = pytest.mark.skipif(os.getuid() != 0, reason="only root can mount, and be somebody else")


def peer(uid: int, gid: int) -> PeerCredentials:
    return PeerCredentials(1, uid, gid, f"u{uid}")


def settled(request: Request, seen: PeerCredentials, own: int = OWN) -> PeerCredentials:
    return spoken_for(request, seen, own, GROUP, lambda uid: f"u{uid}")


@pytest.mark.parametrize(("uid", "gid"), [(0, 0), (0, 5), (OWN, GROUP), (LI, LI), (NOGROUP, NOGROUP)])
def test_who_comes_himself_is_who_the_kernel_says(uid, gid):
    assert settled(Request("ack"), peer(uid, gid)) == peer(uid, gid)


@pytest.mark.parametrize(("uid", "gid"), [(0, 0), (OWN, GROUP), (OWN, NOGROUP)])
@pytest.mark.parametrize("claimed", [0, OWN, LI])
def test_root_and_our_own_user_may_pass_somebody_on_who_is_vouched_for_then(uid, gid, claimed):
    request = Request("ack", {}, Caller(7, claimed, claimed))
    assert settled(request, peer(uid, gid)) == PeerCredentials(7, claimed, claimed, f"u{claimed}", is_vouched_for=True)


@pytest.mark.parametrize("uid", [LI, NOGROUP, 1])
def test_nobody_else_may(uid):
    with pytest.raises(Refusal) as refusal:
        settled(AS_LI, peer(uid, GROUP))
    assert refusal.value.reason == "not_allowed"


def test_the_porters_own_word_is_not_the_daemons():
    """Overcome, he would just leave out for whom he asks: he is our own user, but not in our group."""
    assert settled(Request("reload"), peer(OWN, NOGROUP)).is_vouched_for
    assert not settled(Request("reload"), peer(OWN, GROUP)).is_vouched_for
    assert not settled(Request("reload"), peer(0, NOGROUP), own=0).is_vouched_for  # root needs no such trick


def test_where_the_porters_socket_is_looked_for():
    assert porters_folder(Path("/var/lib/loudong"), {}) == Path("/run/loudong-porter")
    assert porters_folder(Path("/tmp/demo/state"), {}) == Path("/tmp/demo/state")  # noqa: S108 (a name, not a file)
    assert porters_folder(Path("/var/lib/loudong"), {"RUNTIME_DIRECTORY": "/run/x:/run/y"}) == Path("/run/x")


@as_root
def test_who_is_in_another_group_cannot_make_ours_his_own():
    """setgid(2): not even where ours is among his supplementary ones, as the porter's unit has it."""
    tried = (
        "import os, sys; os.setgroups([991]); os.setgid(65534); os.setuid(990)\n"
        "for change in (lambda: os.setgid(991), lambda: os.setegid(991), lambda: os.setresgid(991, 991, 991)):\n"
        "    try: change()\n"
        "    except PermissionError: continue\n"
        "    sys.exit('changed')\n"
    )
    assert subprocess.run([sys.executable, "-c", tried], timeout=120, check=False).returncode == 0


@as_root
def test_a_socket_in_a_folder_that_is_mounted_read_only_can_be_knocked_at(daemon):
    """What ProtectSystem=strict makes of the state folder for the porter."""
    script = (
        "import sys; from pathlib import Path; from gateway.control.client import ControlClient\n"
        "folder = Path(sys.argv[1])\n"
        "try: (folder / 'x').touch()\n"
        "except OSError as error: print(error.errno)\n"
        f"print(len(list(ControlClient(folder, door='{SOCKET_NAME}').ask('many', count=3))))\n"
    )
    mounted = 'mount --bind "$1" "$1" && mount -o remount,bind,ro "$1" && exec "$2" -c "$3" "$1"'
    command = ["unshare", "--mount", "sh", "-c", mounted, "sh", str(daemon.folder), sys.executable, script]
    said = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    if "unshare failed" in said.stderr or "permission denied" in said.stderr:
        pytest.skip("no mounts here")
    assert said.stdout == "30\n3\n", said.stderr  # EROFS
