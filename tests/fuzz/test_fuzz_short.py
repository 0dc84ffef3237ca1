"""The short form: the whole corpus, and some strangers made of it, for every target. What was ever found is in the corpus."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path
from random import Random
from types import FrameType

import pytest

from fuzz.mutation import CORPUS, mutated, seeds
from fuzz.targets import TARGETS

STRANGERS = 150
GATEWAY = Path(__file__).parents[2] / "gateway"
BYTES = {"bytes", "bytearray", "memoryview"}
OURS = {
    "what we say ourselves, on its way out": (
        "app/chronicle.py offer_telemetry", "drivers/modbus/dial_in.py send",
        "drivers/modbus/serial_wire.py send", "drivers/modbus/tcp_wire.py send", "drivers/modbus/wire.py send", "uplink/departures.py offer",
        "uplink/mqtt.py offer_telemetry", "uplink/reports.py offer",
    ),
    "what we say ourselves, on its way to the disk": (
        "store/commit_log.py _lay", "store/files.py write_all", "store/holding.py _add_rest", "store/holding.py _weigh",
        "store/sealed.py put_meta", "store/tables.py folded", "store/tidying.py begin", "store/tidying.py note_time",
        "store/unfolded.py add", "store/unkept.py _write",
    ),
    "a key of the site's": ("drivers/face/persons.py pseudonym",),
    "looks at nothing of it": (
        "drivers/ble/fobs.py _press", "drivers/face/bodies.py decompress",
        "drivers/modbus/tcp_wire.py heard", "store/strays.py _is_nobodys", "app/moving.py _is_open",
    ),
    "hands it to a decoder of events as _event does": ("app/steward.py _passage",),
    "compares two frames that were taken for answers": ("drivers/modbus/doubles.py said_since",),
}  # fmt: skip
"""Functions that get bytes and that no target reaches, by the reason why none has to."""


def test_every_target_has_an_invariant_and_seeds_of_its_own():
    assert {path.name for path in CORPUS.iterdir()} == set(TARGETS)
    assert all(target.__doc__ for target in TARGETS.values())
    assert all(seeds(name) for name in TARGETS)
    assert sum(path.stat().st_size for path in CORPUS.rglob("*") if path.is_file()) < 300_000


def test_no_function_that_gets_bytes_is_out_of_reach_of_every_target():
    """Read from the code, so that nobody forgets a decoder or a door; each is reached by the corpus itself, not by luck."""
    wanted = {
        f"{path.relative_to(GATEWAY)} {name}"
        for path in GATEWAY.rglob("*.py")
        if "sim" not in path.parts
        for name in takers(path)
    }
    reached = set[str]()

    def note(frame: FrameType, event: str, _: object) -> None:
        file, name = frame.f_code.co_filename, frame.f_code.co_name
        if event == "call" and file.startswith(str(GATEWAY)):
            reached.add(f"{file.removeprefix(f'{GATEWAY}/')} {name}")

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        for target, function in TARGETS.items():
            for data in (b"", *seeds(target)):
                function(data)
    finally:
        sys.setprofile(before)
    excused = {name for names in OURS.values() for name in names}
    assert wanted - reached == excused


def takers(path: Path) -> Iterator[str]:
    """The functions of a file with an argument that may be bytes."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            hints = [
                one.annotation
                for one in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)
                if one.annotation
            ]
            if any(isinstance(part, ast.Name) and part.id in BYTES for hint in hints for part in ast.walk(hint)):
                yield node.name


@pytest.mark.parametrize("target", sorted(TARGETS))
def test_the_corpus_and_strangers_of_it(target):
    known, random = seeds(target), Random(target)
    for data in (b"", *known):
        TARGETS[target](data)
    for _ in range(STRANGERS):
        data = mutated(known, random)
        try:
            TARGETS[target](data)
        except Exception as fault:
            fault.add_note(f"input: {data[:2000]!r}")
            raise
