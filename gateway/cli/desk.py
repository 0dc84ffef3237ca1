"""The duty desk: how the gateway stands, which alerts are open, and what a person does about one."""

from __future__ import annotations

import argparse
import hashlib
from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path

from gateway.alerts import FLOOD, Priority, Rung, building_of
from gateway.cli.asking import ask, show_done
from gateway.cli.options import Command, count_of, signed, state_option
from gateway.cli.options import length as length_option
from gateway.cli.printing import Item, language, length, listed, moment
from gateway.words import CATALOGUE, say, wide

DAY_S = 86_400


def add(command: Command) -> None:
    """``status``, ``alerts``, ``history``, ``away``, and all that is done to one alert."""
    status = command("status", _status)
    status.add_argument("--all", action="store_true", dest="whole", help=say("cli.status.all", language()))
    state_option(status)
    alerts = command("alerts", _alerts)
    alerts.add_argument("--closed", nargs="?", type=count_of, const=20, metavar="N", help=say("cli.closed", language()))
    state_option(alerts)
    history = command("history", _history)
    history.add_argument("alert", help=say("cli.alert_id", language()))
    state_option(history)
    _away_options(command("away", _away))
    _test_options(command("test", _test))
    duty = command("duty-check", _duty_check)
    signed(duty, reasoned=False)
    for verb in ("ack", "close", "reset", "silence", "shelve", "unshelve"):
        _alert_verb(command(verb, _change), verb)


def _away_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("resident", help=say("cli.resident", language()))
    how = parser.add_mutually_exclusive_group(required=True)
    how.add_argument("--for", dest="length", type=length_option, metavar="3d", help=say("cli.away_for", language()))
    how.add_argument("--until", metavar="2026-12-05", help=say("cli.away_until", language()))
    how.add_argument("--back", action="store_true", help=say("cli.away_back", language()))
    signed(parser, reasoned=False)


def _test_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("target", nargs="?", default="", help=say("cli.test.target", language()))
    parser.add_argument(
        "--priority", choices=[one.value for one in Priority], default="", help=say("cli.test.priority", language())
    )
    parser.add_argument(
        "--up-to", choices=[one.value for one in Rung], default="", help=say("cli.test.up_to", language())
    )
    parser.add_argument(
        "--for", dest="length", type=length_option, metavar="10min", help=say("cli.test.for", language())
    )
    signed(parser, reasoned=False)


def _alert_verb(parser: argparse.ArgumentParser, verb: str) -> None:
    parser.add_argument("alerts", nargs="+", metavar="alert", help=say("cli.alert_id", language()))
    signed(parser, reasoned=False)
    if verb == "ack":
        parser.add_argument("--on-site", action="store_true", help=say("cli.on_site", language()))
    if verb == "close":
        parser.add_argument("--mistaken", action="store_true", help=say("cli.mistaken", language()))
    if verb == "shelve":
        parser.add_argument(
            "--for", dest="length", type=length_option, required=True, metavar="20min", help=say("cli.for", language())
        )


def _status(asked: argparse.Namespace) -> int:
    return ask(asked, "status", {}, partial(_show_status, whole=asked.whole))


def _alerts(asked: argparse.Namespace) -> int:
    if asked.closed is not None:
        return ask(asked, "closed", {"n": asked.closed}, _show_closed)
    return ask(asked, "alerts", {}, _show_alerts)


def _history(asked: argparse.Namespace) -> int:
    return ask(asked, "history", {"alert": asked.alert}, _show_history)


def _away(asked: argparse.Namespace) -> int:
    arguments: Item = {"resident": asked.resident, "who": asked.who, "reason": asked.reason, "back": asked.back}
    arguments |= {key: value for key, value in (("for", asked.length), ("until", asked.until)) if value is not None}
    return ask(asked, "away", arguments, partial(show_done, verb="back" if asked.back else ""))


def _test(asked: argparse.Namespace) -> int:
    arguments: Item = {"target": asked.target, "priority": asked.priority, "up_to": asked.up_to}
    arguments |= {"for": asked.length} if asked.length is not None else {}
    return ask(asked, "test", arguments | {"who": asked.who, "reason": asked.reason}, show_done)


def _duty_check(asked: argparse.Namespace) -> int:
    return ask(asked, "duty-check", {"who": asked.who, "reason": asked.reason}, show_done)


def _change(asked: argparse.Namespace) -> int:
    """Each is tried, whatever became of the one before; the exit code is the worst."""
    arguments: Item = {"who": asked.who, "reason": asked.reason}
    arguments["on_site"] = getattr(asked, "on_site", False)
    arguments["mistaken"] = getattr(asked, "mistaken", False)
    arguments["for"] = getattr(asked, "length", None)
    return max(ask(asked, asked.verb, arguments | {"alert": alert}, show_done) for alert in asked.alerts)


def _show_status(items: list[Item], *, whole: bool = False) -> Iterable[str]:
    """What somebody must know, the worst first, on one screen; ``whole``: and every device and counter."""
    status = items[0]
    yield say("status.state", language(), state=say(f"status.{status['state']}", language()))
    yield from (say("status.alerts", language(), **told) for told in (status.get("alerts"),) if told)
    for device, reason in status["deaf"].items():
        yield say("status.deaf", language(), device=device, reason=say(f"reason.{reason}", language()))
    for device, reason in status.get("out_of_service", {}).items():
        yield say("status.out_of_service", language(), device=device, reason=say(f"reason.{reason}", language()))
    for device, reason in status.get("ailing", {}).items():
        yield say("status.ailing", language(), device=device, reason=say(f"reason.{reason}", language()))
    for part, reason in status.get("failing", {}).items():
        yield say("status.failing", language(), part=part, reason=say(f"reason.{reason}", language()))
    yield from _show_tolerated(status.get("tolerated", []))
    for off in status.get("switched_off", []):
        yield say("status.switched_off", language(), **off)
    for file in _edited(status.get("sources", {})):
        yield say("status.edited", language(), file=file)
    yield from _show_buttons(status.get("buttons", []), whole=whole)
    yield say("status.clock", language(), clock=say(f"clock.{status['clock']}", language()))
    yield say("status.store", language(), mode=say("store.disk" if status["durable"] else "store.memory", language()))
    yield from _show_uplinks(status.get("uplinks", []))
    yield from _show_outputs(status.get("outputs", []))
    for bus in status.get("buses", []):
        told = {name: "–" if value is None else str(value) for name, value in bus.items()}
        told["classes"] = _classes(bus["skipped_pct_of"])
        yield say("status.bus_overloaded" if bus["overloaded"] else "status.bus", language(), **told)
    units, counts = status.get("units", []), status["counts"]
    shown = units if whole else [unit for unit in units if unit["standing"] != "ok"]
    yield from _show_units(shown)
    if whole:
        yield from (_counted(name, count) for name, count in sorted(counts.items()))
    else:
        left_out = len(units) - len(shown)
        yield say("status.more" if left_out else "status.counts", language(), units=left_out, counts=len(counts))


def _edited(sources: Mapping[str, str]) -> Iterable[str]:
    """Files of the site that are others now than those the gateway lives by. Looked at here and not there, for a disk may hang; what
    the asker may not read is passed over.
    """
    for file, digest in sources.items():
        try:
            now = hashlib.sha256(Path(file).read_bytes()).hexdigest()
        except FileNotFoundError:
            now = ""
        except OSError:
            continue
        if now != digest:
            yield file


def _counted(name: str, count: int) -> str:
    """A counter by the name it has everywhere, and in words where we have some."""
    part, _, what = name.partition(".")
    key = f"count.{part.partition('-')[0]}.{what}"  # of bus-line-s1 what any bus counts
    return f"  {name:<40} {count:<9} {say(key, language()) if key in CATALOGUE else ''}".rstrip()


def _show_tolerated(faults: list[Item]) -> Iterable[str]:
    """One line a fault of the site file on which the gateway runs all the same."""
    from gateway.nodes import Fault, Mark
    from gateway.site.report import sentence

    for fault in faults:
        file, line = fault["file"], fault["line"]
        told = Fault(Mark(file, line), fault["key"], tuple(fault["fields"].items()))
        yield say("status.tolerated", language(), file=file, line=line, fault=sentence(told, language()))


def _show_uplinks(uplinks: list[Item]) -> Iterable[str]:
    """One line an uplink: connected or not, why not, and since when."""
    for uplink in uplinks:
        told = uplink | {"since": _since(uplink), "reason": say(f"reason.{uplink['reason']}", language())}
        yield say(f"status.uplink.{uplink['state']}", language(), **told)
        if uplink.get("unheard"):
            yield say("status.uplink.unheard", language(), uplink=uplink["uplink"])


def _show_buttons(buttons: list[Item], *, whole: bool) -> Iterable[str]:
    """One line a button that is missing, and one for all that were never heard; ``whole``: one for each."""
    for button in buttons:
        if whole or button["missing"]:
            yield _button(button)
    never = [one["button"] for one in buttons if one["heard_s"] is None and not one["missing"]]
    if never and not whole:
        yield say("status.buttons_never", language(), buttons=listed(never, language()))


def _button(button: Item) -> str:
    missing = "_missing" if button["missing"] else ""
    if button["heard_s"] is None:
        return say(f"status.button_never{missing}", language(), button=button["button"])
    ago = say("status.ago", language(), length=length(button["heard_s"]))
    told = {name: "–" if value is None else value for name, value in button.items()}
    battery = "" if button["battery_pct"] is None else say("status.button_battery", language(), **told)
    return say(f"status.button{missing}", language(), **told | {"ago": ago, "battery": battery})


def _since(standing: Item) -> str:
    """By the site's clock, with the day where it is not within one; how long ago, where nobody knows the time."""
    if standing["since_s"] is None:
        return "–"
    if standing["since_local"] is None:
        return say("status.ago", language(), length=length(standing["since_s"]))
    return _on_the_wall(standing["since_local"], standing["since_s"])


def _show_outputs(outputs: list[Item]) -> Iterable[str]:
    """One line an output: what it is, what is asked of it, and whether that is proven."""
    for output in outputs:
        proof = {True: "confirmed", False: "unconfirmed", None: "pending"}[output["confirmed"]]
        reason = say("status.because", language(), reason=say(f"reason.{output['reason']}", language()))
        yield say(
            "status.output", language(), output=output["output"], proof=say(f"proof.{proof}", language()),
            actual=say(f"output.{output['actual'] or 'unknown'}", language()),
            wanted=_wanted(output), reason=reason if output["reason"] else "",
        )  # fmt: skip


def _wanted(output: Item) -> str:
    """And which alerts ask for it: whoever finds a valve shut looks no further."""
    wanted = say(f"output.{output['wanted']}", language())
    alerts = listed((one[:8] for one in output.get("causes", ())), language())
    return say("status.wanted_by", language(), wanted=wanted, alerts=alerts) if alerts else wanted


def _on_the_wall(local: str, away_s: float) -> str:
    """``14:20`` of ``2026-12-05T14:20``; where that is a day away or more, ``12-05 14:20``."""
    day, _, time = local.partition("T")
    return time if away_s < DAY_S else f"{day[5:]} {time}"


def _classes(parts: Mapping[str, float]) -> str:
    """How much of each class was left out; nothing where there were no turns."""
    told = (
        say("status.class", language(), name=say(f"class.{name}", language()), pct=pct) for name, pct in parts.items()
    )
    return say("status.classes", language(), classes=listed(told, language())) if parts else ""


def _show_units(units: list[Item]) -> Iterable[str]:
    """One line a device of a bus: which one is slow, and which cable is bad."""
    if units:
        yield say("units.head", language())
    for unit in units:
        told = {name: "–" if value is None else value for name, value in unit.items()}
        told["standing"] = wide(say(f"standing.{unit['standing']}", language()), 11)
        told["noise"] = unit["noise_bytes"] + unit["foreign_frames"]
        yield say("units.line", language(), **{name: str(value) for name, value in told.items()})


def _show_alerts(items: list[Item]) -> Iterable[str]:
    if not items:
        yield say("alerts.none", language())
    for crowd in _crowds(items):
        if len(crowd) > FLOOD:
            building = crowd[0]["building_name"]
            key = "alerts.flood" if building else "alerts.flood_nowhere"
            yield say(key, language(), count=len(crowd), name=_name(crowd[0]), building=building)
        for alert in crowd:
            yield from _show_alert(alert)


def _crowds(items: list[Item]) -> Iterable[list[Item]]:
    """Alerts of one name in one building together where they are a flood, where its first one stands; none is left out.

    What is shelved makes a crowd of its own, for it stands behind the rest.
    """
    crowds: dict[tuple[str, str, bool], list[Item]] = {}
    for alert in items:
        crowds.setdefault(_crowd(alert), []).append(alert)
    for alert in items:
        crowd = crowds[_crowd(alert)]
        if len(crowd) <= FLOOD:
            yield [alert]
        elif alert is crowd[0]:
            yield crowd


def _crowd(alert: Item) -> tuple[str, str, bool]:
    return _name(alert), building_of(alert["place"]), _is_shelved(alert)


def _is_shelved(alert: Item) -> bool:
    """And the daemon says for how long yet: one of an older version, until it is started anew, does not."""
    return alert.get("suppression") == "shelved" and alert.get("shelved_left_s") is not None


def _place(alert: Item) -> str:
    """As people find it, and the path of the site file."""
    path, name = alert["place"] or "-", alert.get("place_name") or ""
    return path if name in {"", path} else say("alerts.place", language(), name=name, path=path)


def _name(alert: Item) -> str:
    return str(alert["name_zh"] if language() == "zh-CN" else alert["name_en"])


def _show_alert(alert: Item) -> Iterable[str]:
    yield say(
        "alerts.line", language(), id=alert["id"][:8], name=_marked(alert), subject=alert["subject"], place=_place(alert),
        priority=say(f"priority.{alert['priority']}", language()), grade=say(f"grade.{alert['grade']}", language()),
        condition=say(f"condition.{alert['condition']}", language()),
        response=say(f"response.{alert['response']}", language()), age=length(alert["age_s"]),
    )  # fmt: skip
    reasons = _reasons(alert)
    if reasons and alert.get("health_reason"):
        reasons = say("step.why", language(), reason=reasons, why=say(f"reason.{alert['health_reason']}", language()))
    if reasons:
        yield "          " + reasons
    if _is_shelved(alert):
        yield "          " + _until(alert, "alerts.shelved", "alerts.shelved_for")
    elif alert.get("drill") and alert.get("shelved_left_s") is not None:
        yield "          " + _until(alert, "alerts.drill_until", "alerts.drill_for")
    if alert.get("silenced") and alert["response"] == "unanswered":
        yield "          " + say("alerts.silenced", language(), id=alert["id"][:8])
    if alert.get("gone"):
        yield "          " + say("alerts.gone", language())
    told = dict.fromkeys(_told(step) for step in alert["told"])  # a rung told again is named once
    yield "          " + say(
        "alerts.told", language(), told=listed(told, language()) or "—", who=alert["answered_by"] or "—"
    )


def _reasons(item: Item) -> str:
    """What was seen, and its limit: ``combustible gas 26 %LEL (limit 20)``."""
    import msgspec

    from gateway.alerts import Why
    from gateway.app.telling import reason_told

    seen = msgspec.convert(item.get("why", []), list[Why])
    return listed(dict.fromkeys(reason_told(one, language()) for one in seen), language())


def _marked(alert: Item) -> str:
    """Its name, and that it is none that anybody need fear, where it is a drill."""
    return say("alerts.drill", language(), name=_name(alert)) if alert.get("drill") else _name(alert)


def _until(alert: Item, dated: str, undated: str) -> str:
    """Until when, by the site's clock, with the day where it is not within one; how long yet, where nobody knows the time."""
    left_s, until, who = alert["shelved_left_s"], alert["shelved_until_local"], alert["shelved_by"] or "—"
    if until is None:
        return say(undated, language(), left=length(left_s), who=who)
    return say(dated, language(), until=_on_the_wall(until, left_s), who=who)


def _show_closed(items: list[Item]) -> Iterable[str]:
    """With full ids, for `loudong history`."""
    if not items:
        yield say("alerts.none_closed", language())
    for alert in items:
        closed = alert["closed_as"]
        yield say(
            "alerts.closed_line", language(), id=alert["id"], name=_marked(alert), subject=alert["subject"],
            place=_place(alert), closed=say(f"closed.{closed}", language()) if closed else "-",
            who=alert["closed_by"] or "—", when=_raised(alert),
        )  # fmt: skip


def _raised(alert: Item) -> str:
    """By the site's clock, as people speak of it, where one can be trusted; how long ago in any case."""
    ago = say("status.ago", language(), length=length(alert["age_s"]))
    if not (local := alert.get("occurred_local")):
        return ago
    return say("alerts.raised_at", language(), at=_on_the_wall(local, alert["age_s"]), ago=ago)


def _told(step: Item) -> str:
    people = "+".join(step["people"]) or "—"
    return say("rung." + step["rung"], language()) + " " + people


def _show_history(items: list[Item]) -> Iterable[str]:
    """A column of dates; where no clock could be trusted, of seconds since the gateway's first start."""
    width = 17 if any(step.get("at_local") for step in items) else 12
    first = False  # whether the next who are told are told that it was raised
    for step in items:
        kind = wide(say(f"step.{step['kind']}", language()), 13)
        who = f"{step['who'] or '—':<12}"
        yield f"{moment(step, width)}  /{step['revision']:<3} {kind} {who} {_why(step, again=not first)}".rstrip()
        first = step["kind"] == "raised" or (first and step["kind"] != "told")


def _why(step: Item, *, again: bool = False) -> str:
    """The reason of a step in words; who was told, where that is the step. ``again``: not for the first time."""
    if step["kind"] in {"thinned", "left-out"}:
        return say(f"step.{step['kind']}_of", language(), count=step["reason"])
    called = step["told"][0] if step.get("told") else {}  # the first who was
    said = called.get("because", step["reason"])
    because = "because.raised_again" if again and called and said == "raised" else f"because.{said}"
    is_ours = because in CATALOGUE and (step["kind"] == "told" or step["who"] is None)
    reason = say(because, language()) if is_ours else str(said)
    if step["kind"] == "refused":  # "verb: verdict (principal)"
        verb, _, verdict = reason.partition(": ")
        word, _, given = verdict.partition(" ")
        if f"answer.{word}" in CATALOGUE:
            fields = {
                "verb": say(f"verb.{verb}", language()),
                "answer": say(f"answer.{word}", language()).rstrip("。."),
            }
            reason = say("step.refused_of", language(), **fields, given=given.strip("()"))
    if "place_before" in step:
        reason = say("step.went", language(), reason=reason, before=step["place_before"], place=step["place"])
    if seen := _reasons(step):
        reason = say("step.why", language(), reason=reason, why=seen) if reason else seen
    if "for_s" in step:
        reason = say("step.shelved_for", language(), length=length(step["for_s"]), reason=reason)
    told = listed((_told(one) for one in step.get("told", ())), language())
    return say("step.because", language(), told=told, reason=reason) if told else reason.rstrip()
