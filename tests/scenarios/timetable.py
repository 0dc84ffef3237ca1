"""Timetables: what happens when, and what must come out by when, in lines that a non-programmer reads.

A timetable is a text file. Lines that begin with a time are what happens; lines that begin with ``=>`` are what the core said,
and are written by this program. To see all of them played, or to accept what they say now:

    python tests/scenarios/timetable.py [--accept] [NAME …]

What may happen (times count from the start: ``0``, ``5s``, ``3min``, ``4h``):
    5s    gas-301.gas = 26 [warm_up]        a reading, with its quality if it is not good
    5s    lost gas-301 timeout              also: faulty, ok
    5s    press sos-301 single              also: late, suspect, key c7
    5s    entry gate-1 access.denied stranger key 17      also: old (a replay), seq 7, unproven
    5s    output valve-301 confirmed        also: failed, held
    5s    head acks gas-high                also: acks … on site, silences, resets, closes, closes … mistaken: REASON,
                                            shelves … 20min: REASON, unshelves
    5s    restart after 20s                 also: restart, nobody knows how long (nor what time it is)
    5s    clock right at 2026-11-22T20:00
    5s    nothing                           only time passes
"""

from __future__ import annotations

import datetime as dt
import re
import sys
from pathlib import Path

import msgspec

from gateway.actions import Note, Publish, Reply, Reread, Want
from gateway.alerts import Why
from gateway.app.compound import compound_of
from gateway.events import (
    Actuated,
    Boot,
    ClockSynced,
    Command,
    DeviceHealth,
    Entry,
    Health,
    Press,
    PressKind,
    Quality,
    Reading,
    SiteLoaded,
    Stamped,
    Verb,
)
from gateway.instant import ClockQuality, Instant
from gateway.nodes import Faults, duration_ms
from gateway.rules.compound import Compound
from gateway.rules.engine import Engine, Outcome
from gateway.site.reading import load_site

HERE = Path(__file__).parent
BUILTIN = HERE.parents[1] / "gateway" / "rules" / "builtin.yaml"


def _wall_ms(local: str) -> int:
    return int(dt.datetime.fromisoformat(f"{local}+08:00").timestamp() * 1000)


START = _wall_ms("2026-11-22T20:00")
"""When every timetable begins, by a clock that is right."""
_VERBS = {"acks": Verb.ACK, "silences": Verb.SILENCE, "resets": Verb.RESET, "closes": Verb.CLOSE, "shelves": Verb.SHELVE,
          "unshelves": Verb.UNSHELVE}  # fmt: skip


def compound(path: Path = HERE / "site.yaml") -> Compound:
    """The compound of a site file, which must have no faults."""
    faults = Faults()
    site = load_site(path, faults, BUILTIN)
    assert site is not None, faults.errors
    made = compound_of(site, faults)
    assert not faults.errors, faults.errors
    return made


class Player:
    """Plays one timetable on a core of its own and writes down what it says."""

    def __init__(self, world: Compound) -> None:
        self.world, self.engine = world, Engine(world)
        self.lines: list[str] = []
        self.at, self.count, self.run = Instant(0), 0, 1
        self._start(None, START)
        for point in ("gas-301.gas_high_alarm", "gas-301.gas_low_alarm", "smoke-301.smoke"):
            self._give(Reading(*point.split("."), value=False))
        self.lines.clear()  # a quiet evening is where every timetable begins

    def play(self, text: str) -> str:
        """The timetable with its answers written anew."""
        for line in text.splitlines():
            if line.startswith("=>"):
                continue
            self.lines.append(line.rstrip())
            if line.strip() and not line.startswith("#"):
                self._happen(*line.split(None, 1))
        return "\n".join(self.lines).strip() + "\n"

    def _happen(self, time: str, what: str) -> None:
        due = Instant(0 if time == "0" else duration_ms(time) or _fail(time))
        assert due >= self.at, f"times must not run back: {time}"
        while (soonest := self.engine.next_due()) is not None and soonest < due:
            self.at = soonest
            self._say(self.engine.wake(soonest))
        self.at = due
        words = what.split()
        if what.startswith("restart"):
            self._restart(what)
        elif what != "nothing":
            self._give(self._event(words, what))
        else:
            self._say(self.engine.wake(due))

    def _event(self, words: list[str], what: str) -> object:
        head = words[0]
        if "=" in words:
            device, point = head.split(".")
            quality = Quality(words[3].strip("[]")) if len(words) > 3 else Quality.GOOD
            value = (
                None if words[2] == "none" else msgspec.convert(msgspec.json.decode(words[2]), bool | int | float | str)
            )
            return Reading(device, point, value, quality)
        if head in {"lost", "faulty", "ok"}:
            return DeviceHealth(words[1], Health(head), words[2] if len(words) > 2 else "")
        if head == "press":
            key = words[words.index("key") + 1] if "key" in words else ""
            suspect = "old_counter" if "suspect" in words else None
            return Press(words[1], PressKind(words[2]), key, late="late" in words, suspect=suspect)
        if head == "entry":
            return self._entry(words)
        if head == "output":
            failed, held = "failed" in words, "held" in words
            reason = "held_without_cause" if held else "not_confirmed" if failed else ""
            return Actuated(words[1], "?", None, confirmed=not failed, reason=reason)
        if head == "clock":
            return ClockSynced(_wall_ms(words[3]) - self.at)
        return self._command(words, what)

    def _entry(self, words: list[str]) -> Entry:
        key = words[words.index("key") + 1] if "key" in words else str(self.count)
        subject = next((w for w in words if w in {"known", "stranger", "blocklisted"}), "unknown")
        seq = int(words[words.index("seq") + 1]) if "seq" in words else None
        anomalies = ("freshness_unproven",) if "unproven" in words else ()
        return Entry(
            words[1], words[2], key, "5/76", subject=subject, seq=seq, live="old" not in words, anomalies=anomalies
        )

    def _command(self, words: list[str], what: str) -> Command:
        who, verb, rule = words[0], _VERBS[words[1]], words[2].rstrip(":,")
        alert = next((a.id for a in self.engine.alerts() if a.rule == rule), rule)
        reason = what.split(": ", 1)[1] if ": " in what else ""
        length = next((duration_ms(w.rstrip(":")) for w in words[3:] if duration_ms(w.rstrip(":"))), None)
        return Command(
            f"c{self.count}", "local", who, verb, alert, reason, length, "on site" in what, "mistaken" in what
        )

    def _give(self, event: object) -> None:
        self.count += 1
        self._say(self.engine.handle(Stamped(self.at, f"r{self.run}.{self.count}", event)))

    def _start(self, downtime: int | None, wall_ms: int | None) -> None:
        quality = ClockQuality.UNSYNCED if wall_ms is None else ClockQuality.SYNCED
        offset = None if wall_ms is None else wall_ms - self.at
        self._give(Boot(f"r{self.run}", f"boot{self.run}", quality, downtime, offset, "test"))
        self._give(SiteLoaded(self.world.fingerprint))

    def _restart(self, what: str) -> None:
        """The process dies and a new one takes over from the rows that were kept."""
        rows = self.engine.snapshot()
        self.engine = Engine(self.world)
        self.engine.restore(rows)
        self.run += 1
        downtime = None if "nobody" in what else duration_ms(what.rsplit(maxsplit=1)[-1])
        self.at = Instant(self.at + (downtime or 0))
        self._start(downtime, None if downtime is None else START + self.at)

    def _say(self, outcome: Outcome) -> None:
        for action in outcome.actions:
            said = _sentence(action, self.engine)
            if said:
                self.lines.append(f"=> {_clock(self.at):>9}  {said}")


def _sentence(action: object, engine: Engine) -> str:
    if isinstance(action, Want):
        asks = f"for {len(action.causes)} alert(s)" if action.causes else "nothing asks for it"
        return f"{action.output} is to be {action.state.value}, {asks}"
    if isinstance(action, Reread):
        return f"ask {action.device} for {action.point} again"
    if isinstance(action, Reply):
        return "" if action.accepted else f"refused: {action.reason}"
    if isinstance(action, Publish):
        return _change(action)
    assert isinstance(action, Note)
    return f"noted     {action.change.alert.rule} {action.change.alert.subject}: {action.change.kind.value}"


def _change(publish: Publish) -> str:
    change, alert = publish.change, publish.change.alert
    head = f"{change.kind.value:<9} {alert.rule} {alert.subject}"
    if change.kind.value in {"raised", "re-alarmed"}:
        why = ", ".join(_reason(w) for w in alert.why)
        return f"{head} ({alert.priority.value}, {alert.grade.value}): {why}" + (
            f" [{change.reason}]" if change.reason else ""
        )
    if change.kind.value == "told":
        fresh = [t for t in alert.told if t.at == alert.told[-1].at]
        return head + ": " + ", ".join(f"{t.rung.value} {'+'.join(t.people) or 'NOBODY'}" for t in fresh)
    tail = (
        alert.closed_as
        if change.kind.value == "closed"
        else alert.grade.value
        if change.kind.value == "regraded"
        else ""
    )
    return " ".join(part for part in (head, tail, f"by {change.who}" if change.who else "", change.reason) if part)


def _reason(why: Why) -> str:
    value = why.quality.value if why.value is None else f"{why.value} {why.unit}".strip()
    return f"{why.fact} {value}" + (f" (limit {why.limit:g})" if why.limit is not None else "")


def _clock(at: Instant) -> str:
    seconds = at / 1000
    return (
        f"{int(seconds // 3600)}:{int(seconds % 3600 // 60):02}:{seconds % 60:04.1f}"
        if at % 1000
        else str(dt.timedelta(milliseconds=at))
    )


def _fail(time: str) -> int:
    raise ValueError(f"not a time: {time!r}")


def files(names: list[str] | None = None) -> list[Path]:
    """Every timetable, or those named."""
    found = sorted((HERE / "timetables").glob("*.txt"))
    return [f for f in found if not names or any(re.search(n, f.name) for n in names)]


def main(arguments: list[str]) -> int:
    accept, world, changed = "--accept" in arguments, compound(), 0
    for file in files([a for a in arguments if not a.startswith("-")]):
        before = file.read_text()
        after = Player(world).play(before)
        print(f"--- {file.stem}\n{after}")
        changed += before != after
        if accept:
            file.write_text(after)
    print(f"{changed} changed" + (", accepted" if accept else ""))
    return 0 if accept or not changed else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
