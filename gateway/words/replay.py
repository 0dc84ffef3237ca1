"""Words for rehearsed rules and replayed journals: key -> (zh-CN, en)."""

from __future__ import annotations

SENTENCES: dict[str, tuple[str, str]] = {
    "cli.rules": ("规则的检验", "work on rules"),
    "cli.rules.test": ("演练规则自带的例子", "play the examples that rules carry"),
    "cli.rule_files": (
        "小区文件,或规则文件;规则文件接在前面的小区文件之后,前面没有就放进样板小区",
        "a site file, or a rule file; a rule file joins the site file before it, or the sample compound if there is none",
    ),
    "rules.summary": ("例子:演练 {played} 个,不符 {wrong} 处", "examples: {played} played, {wrong} wrong"),
    "rules.none": ("{file}:没有一条规则带例子", "{file}: no rule carries an example"),
    "fault.example_not_a_time": (
        "规则 {name} 的例子:{given} 不是时间(例如 0、5s、3min)",
        "example of rule {name}: {given} is no time (e.g. 0, 5s, 3min)",
    ),
    "fault.example_not_a_deed": (
        "规则 {name} 的例子:看不懂“{given}”(写法见 docs/rules.md)",
        "example of rule {name}: “{given}” cannot be read (docs/rules.md says what can happen)",
    ),
    "fault.example_runs_back": (
        "规则 {name} 的例子:时间 {given} 比前一行还早",
        "example of rule {name}: time {given} is before that of the line above",
    ),
    "fault.example_no_subject": (
        "规则 {name} 的例子:小区里没有 {given}",
        "example of rule {name}: the compound has no {given}",
    ),
    "fault.example_no_point": (
        "规则 {name} 的例子:{device} 没有测点 {given}",
        "example of rule {name}: {device} has no point {given}",
    ),
    "fault.example_names_nothing": (
        "规则 {name} 的例子:expect 里的“{given}”什么也不指",
        "example of rule {name}: “{given}” in expect names nothing",
    ),
    "fault.example_missing": (
        "规则 {name} 的例子:应有“{expected}”,没有发生",
        "example of rule {name}: expected “{expected}”, and nothing like it came",
    ),
    "fault.example_differs": (
        "规则 {name} 的例子:应有“{expected}”,实际是“{given}”",
        "example of rule {name}: expected “{expected}”, got “{given}”",
    ),
    "fault.example_unexpected": (
        "规则 {name} 的例子:多出“{given}”",
        "example of rule {name}: “{given}” came and was not expected",
    ),
    "fault.example_unplayed": (
        "规则 {name} 在这个小区里没有对象,它的例子没法演练",
        "rule {name} watches nothing in this compound, so its examples cannot be played",
    ),
}
