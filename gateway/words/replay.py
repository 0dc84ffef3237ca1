"""Words for rehearsed rules and replayed journals: key -> (zh-CN, en)."""

from __future__ import annotations

SENTENCES: dict[str, tuple[str, str]] = {
    "cli.rules": ("规则的检验", "work on rules"),
    "cli.rules.test": ("演练规则自带的例子", "play the examples that rules carry"),
    "cli.rule_files": (
        "小区文件，或规则文件；规则文件接在前面的小区文件之后，前面没有就放进样板小区",
        "a site file, or a rule file; a rule file joins the site file before it, or the sample compound if there is none",
    ),
    "rules.summary": ("例子：演练 {played} 个，不符 {wrong} 处", "examples: {played} played, {wrong} wrong"),
    "rules.none": ("{file}：没有一条规则带例子", "{file}: no rule carries an example"),
    "fault.example_not_a_time": (
        "规则 {name} 的例子：{given} 不是时间（例如 0、5s、3min）",
        "example of rule {name}: {given} is no time (e.g. 0, 5s, 3min)",
    ),
    "fault.example_not_a_deed": (
        "规则 {name} 的例子：看不懂“{given}”（写法见 docs/zh/rules.md）",
        "example of rule {name}: “{given}” cannot be read (docs/rules.md says what can happen)",
    ),
    "fault.example_runs_back": (
        "规则 {name} 的例子：时间 {given} 比前一行还早",
        "example of rule {name}: time {given} is before that of the line above",
    ),
    "fault.example_no_subject": (
        "规则 {name} 的例子：小区里没有 {given}",
        "example of rule {name}: the compound has no {given}",
    ),
    "fault.example_no_point": (
        "规则 {name} 的例子：{device} 没有点位 {given}",
        "example of rule {name}: {device} has no point {given}",
    ),
    "fault.example_names_nothing": (
        "规则 {name} 的例子：expect 里的“{given}”什么也不指",
        "example of rule {name}: “{given}” in expect names nothing",
    ),
    "fault.example_missing": (
        "规则 {name} 的例子：应有“{expected}”，没有发生",
        "example of rule {name}: expected “{expected}”, and nothing like it came",
    ),
    "fault.example_differs": (
        "规则 {name} 的例子：应有“{expected}”，实际是“{given}”",
        "example of rule {name}: expected “{expected}”, got “{given}”",
    ),
    "fault.example_unexpected": (
        "规则 {name} 的例子：多出“{given}”",
        "example of rule {name}: “{given}” came and was not expected",
    ),
    "fault.example_unplayed": (
        "规则 {name} 在这个小区里没有对象，它的例子没法演练",
        "rule {name} watches nothing in this compound, so its examples cannot be played",
    ),
    "cli.replay": ("把网关记下的经历重放一遍", "live through a gateway's recorded life once more"),
    "cli.replay.journal": (
        "数据库 loudong.db，或其所在的状态目录；网关正在运行也可以",
        "the database loudong.db, or the state folder that holds it; its gateway may be running",
    ),
    "cli.replay.rules": (
        "换成另一个小区文件或规则文件，只列出不同之处",
        "another site file or a rule file: show what would have been different",
    ),
    "cli.replay.persons": (
        "也打开封存的人员进出（先记下是谁在看；只有网关自己的用户和 root 可以）",
        "open what names a person, too; who asks is written down first (root and the daemon's own user only)",
    ),
    "cli.replay.since": (
        "从这时起打印：本地时间（2026-11-22T20:00），或到结尾还有多久（2h）",
        "print from here: a local time (2026-11-22T20:00), or so long before the end (2h)",
    ),
    "cli.replay.until": ("打印到这时为止，写法同上", "print up to here, written the same way"),
    "cli.journal": (
        "打印网关日志里的每件事，每件一行（人员信息仍然封存）",
        "print what the core was told, a line each; what names a person stays sealed",
    ),
    "cli.journal.kind": ("只看这一种（press、reading……）", "only of this kind (press, reading …)"),
    "cli.journal.last": ("只看最后几条", "only the last ones"),
    "cli.not_a_moment": ("{given} 既不是时刻也不是时长", "{given} is neither a time nor a duration"),
    "cli.no_journal": ("读不了日志：{detail}", "the journal cannot be read: {detail}"),
    "replay.progress": ("已重放 {done} / {all} 个事件", "{done} of {all} events replayed"),
    "replay.agrees": (
        "重放 {events} 个事件；网关自己的记录完全一致：{same} 步，编号和版本都相同",
        "{events} events replayed; the gateway's own histories agree: {same} changes, ids and revisions alike",
    ),
    "replay.disagrees": (
        "重放 {events} 个事件；与网关自己的记录相同 {same} 步，只在记录里 {only_recorded} 步，只在重放里 {only_replayed} 步",
        "{events} events replayed; {same} changes as in the gateway's own histories, {only_recorded} only there, {only_replayed} only here",
    ),
    "replay.raised": (
        "{step} {rule} {subject}（{priority}，{grade}）：{why}",
        "{step} {rule} {subject} ({priority}, {grade}): {why}",
    ),
    "replay.told": ("{step} {rule} {subject}：{told}", "{step} {rule} {subject}: {told}"),
    "replay.nobody": ("无人", "nobody"),
    "replay.by": ("经办人 {who}", "by {who}"),
    "replay.why": ("{fact} {value}{unit}", "{fact} {value}{unit}"),
    "replay.why_limit": ("{fact} {value}{unit}（限值 {limit}）", "{fact} {value}{unit} (limit {limit})"),
    "replay.why_quality": ("{fact} 无读数（{quality}）", "{fact}: no value ({quality})"),
    "replay.compared": (
        "相同 {same} 起，不同 {different} 起（- 不再报，+ 新报，~ 有变化）",
        "{same} alerts the same, {different} different (- no longer raised, + newly raised, ~ changed)",
    ),
    "replay.differs.raised_earlier": ("发生：早 {length}", "raised: {length} earlier"),
    "replay.differs.raised_later": ("发生：晚 {length}", "raised: {length} later"),
    "replay.differs.priority": ("紧急程度：原 {was}，现 {would}", "priority: {was}, would be {would}"),
    "replay.differs.grade": ("事项级别：原 {was}，现 {would}", "grade: {was}, would be {would}"),
    "replay.differs.told": ("告知：原 {was}；现 {would}", "told: {was}; would be {would}"),
    "replay.differs.alarms": ("报警次数：原 {was}，现 {would}", "alarmed: {was} times, would be {would}"),
    "replay.differs.closed_earlier": ("关闭：早 {length}", "closed: {length} earlier"),
    "replay.differs.closed_later": ("关闭：晚 {length}", "closed: {length} later"),
    "replay.differs.closed_now": ("关闭：原来未关闭，现会关闭", "closed: it is still open, would be closed"),
    "replay.differs.closed_never": ("关闭：原来已关闭，现仍未关闭", "closed: it was, would still be open"),
    "replay.limits": ("重放所不知道的：", "what this replay cannot know:"),
    "replay.limit.since": (
        "日志从头重放，从 {since} 起打印",
        "it was replayed from the beginning and printed from {since}",
    ),
    "replay.limit.undated": (
        "{changes} 处没有真实时间（当时时钟未校准），--since 和 --until 写的时刻管不到它们，一律打印",
        "{changes} lines have no true time (the clock was not trusted): no date in --since or --until bounds them, and all are printed",
    ),
    "replay.limit.from_start": (
        "日志从网关第一次启动开始，没有缺头",
        "nothing before: the journal begins with the first start of this gateway",
    ),
    "replay.limit.from_boot": (
        "日志从第 {first} 个事件（一次启动）开始：当时未了的告警、已知的状态都不在里面",
        "the journal begins with event {first}, a start: alerts open by then, and all that was known, are missing",
    ),
    "replay.limit.from_middle": (
        "日志从第 {first} 个事件开始，更早的已清理：当时未了的告警、已知的状态都不在里面",
        "the journal begins with event {first}, what was before is pruned: alerts open by then, and all that was known, are missing",
    ),
    "replay.limit.end": (
        "{runs} 次运行，每次断电时最后不到 1 秒的平静读数可能没写进去（没有人因它被告知）",
        "each of {runs} runs may lack its last second if it was killed (quiet readings, of which nobody was told)",
    ),
    "replay.limit.downtime": (
        "网关停着的时候没有人在听：已知最多共 {blind}，另有 {unknown} 次不知多久",
        "nobody listened while the gateway was down: at most {blind} in all, and {unknown} times nobody knows how long",
    ),
    "replay.limit.other_site": (
        "{times} 次运行（共 {runs} 次）用过另一版小区文件，这里一律按现在这一版",
        "{times} of {runs} runs were, if only for a while, with another version of the site file; all are replayed with this one",
    ),
    "replay.limit.strangers": (
        "{events} 个事件来自这份小区文件里没有的设备：{devices}",
        "{events} events are of devices this site file does not know: {devices}",
    ),
    "replay.limit.by_exception": (
        "读数变化够大才记：这些点位在分辨率以内的变化看不见：{points}",
        "readings are kept by exception: these points may have moved by less than their resolution, unseen: {points}",
    ),
    "replay.limit.never_heard": (
        "规则要看、日志里却从来没有的点位：{points}",
        "points that the rules read and the journal never held: {points}",
    ),
    "replay.limit.answers": (
        "人的接警按同一规则、同一对象的告警算；换了规则，人也许会做别的",
        "an answer counts for the alert of the same rule and subject; under other rules people might have done otherwise",
    ),
    "replay.limit.outputs": (
        "输出的动作是原来的规则造成的，不随新规则变",
        "what outputs did is what the recorded rules made them do",
    ),
    "replay.limit.reread": (
        "新规则才要的复读，日志里没有：1.5 秒没有新读数就按报警算",
        "a second reading that only the other rules would have asked for is not there: after 1.5 s without one they raise",
    ),
    "replay.limit.damaged": ("{rows} 行校验不对，跳过", "{rows} rows failed their checksum and were passed over"),
    "replay.limit.holes": ("中间缺 {rows} 行", "{rows} rows are missing in between"),
    "replay.limit.sealed": (
        "{rows} 行写的是某个人的进出，仍然封存，没有重放（--persons 打开，并记下是谁在看）",
        "{rows} rows tell of a person, stayed sealed and were not played (--persons opens them, and writes down who looked)",
    ),
    "replay.limit.forgotten": (
        "{rows} 行写的是某个人的进出，打不开，没有重放：此人已被忘记，或其密钥（persons.keys）不在这里",
        "{rows} rows tell of persons who were forgotten, or whose keys (persons.keys) are not here; they were not played",
    ),
    "replay.limit.unreadable": (
        "{rows} 行是这个版本读不懂的事件，跳过",
        "{rows} rows hold events this version cannot read, and were passed over",
    ),
}
