"""Tells what goes on in a simulated compound, line by line.

What the world does is marked ``>``, what the duty office hears over MQTT ``<``, what a relay really did ``*``.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

from gateway.words import CATALOGUE, say, wide

_IN_WORDS = {"means": "heard_by", "radio": "heard_by", "daemon": "ended", "reason": "refusal"}
"""Fields whose values are keys, and the family of words they belong to."""

_LEFT = "left with "


class Teller:
    """Prints what happens, or in JSON mode only what the receiver got.

    ``topic`` is the family of sentences it speaks with: ``demo`` or ``simulate``.
    """

    def __init__(self, topic: str, *, as_json: bool, language: str) -> None:
        self._topic, self._as_json, self._language = topic, as_json, language
        self._start = time.monotonic()

    def world(self, key: str, **fields: object) -> None:
        """Something happens."""
        self._line(">", self._say(key, fields))

    def deed(self, key: str, **fields: object) -> None:
        """A relay moved."""
        self._line("*", self._say(key, fields))

    def happens(self, deed: str) -> None:
        """Something happens, in the words of a timetable."""
        self._line(">", deed)

    def message(self, raw: bytes) -> None:
        """The duty office got a message."""
        if self._as_json:
            print(raw.decode(), flush=True)
            return
        body = json.loads(raw)
        data = body["data"]
        change = say(f"step.{data['change']}", self._language)
        head = data["texts"]["zh-CN" if self._language == "zh-CN" else "en"]
        self._line("<", f"{wide(change, 13)} {head['title']}  {self._details(data)}")

    def summary(self, counts: dict[str, Any]) -> None:
        """The last line."""
        if self._as_json:
            print(json.dumps({"summary": counts}, ensure_ascii=False), flush=True)
            return
        key = "good" if not counts["lost"] and not counts["doubled"] and counts["daemon"] == "well" else "bad"
        self._line("=", self._say(key, counts))

    def end(self, counts: dict[str, Any]) -> None:
        """The last line, where nothing was to be scored."""
        if self._as_json:
            print(json.dumps({"summary": counts}, ensure_ascii=False), flush=True)
        else:
            shown = {"happened": 0, "raised": 0, "messages": 0, **counts}
            self._line("=", self._say("ended", shown))

    def complain(self, key: str, **fields: object) -> None:
        """Why it cannot be."""
        print(self._say(key, fields), file=sys.stderr)

    def _say(self, key: str, fields: dict[str, Any]) -> str:
        worded = {name: self._worded(name, fields) for name in fields}
        return say(f"{self._topic}.{key}", self._language, **worded)

    def _worded(self, name: str, fields: dict[str, Any]) -> object:
        value = fields[name]
        family = _IN_WORDS.get(name)
        if family == "ended" and str(value).startswith(_LEFT):
            return say("ended.left", self._language, code=str(value).removeprefix(_LEFT))
        word = f"{family}.{value}"
        return say(word, self._language, **fields) if word in CATALOGUE else value

    def _details(self, data: dict[str, Any]) -> str:
        if data["change"] == "told":
            last = data["told"][-1]["at"], data["told"][-1]["age_s"]
            fresh = [t for t in data["told"] if (t["at"], t["age_s"]) == last]
            rungs = [(say(f"rung.{t['rung']}", self._language), "+".join(t["people"]) or "-") for t in fresh]
            return "-> " + say("alert.comma", self._language).join(" ".join(rung) for rung in rungs)
        return " ".join(part for part in (data["subject"], data.get("who") or "", data.get("reason") or "") if part)

    def _line(self, mark: str, text: str) -> None:
        if not self._as_json:
            print(f"{time.monotonic() - self._start:6.1f}  {mark} {text}", flush=True)
