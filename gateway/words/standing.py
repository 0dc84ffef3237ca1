"""Words for how the gateway, its buses and its ways out stand (``status``, ``check``): key -> (zh-CN, en)."""

from __future__ import annotations

SENTENCES: dict[str, tuple[str, str]] = {
    "load.bus": (
        "总线 {bus}：占用 {load}，读一遍 {cycle} 秒，按每次应答 {reply} 毫秒估算",
        "bus {bus}: {load} booked, one round of all {cycle} s, reckoned with {reply} ms to each answer",
    ),
    "load.ages": (
        "总线 {bus}：占用 {load}，读一遍 {cycle} 秒，按每次应答 {reply} 毫秒估算；报警点位最坏 {ages}",
        "bus {bus}: {load} booked, one round of all {cycle} s, reckoned with {reply} ms to each answer; alarm points at worst {ages}",
    ),
    "load.age": ("{age} 秒", "{age} s"),
    "load.age_dead": ("{age} 秒（坏 {dead} 台）", "{age} s ({dead} dead)"),
    "load.points": ("  {device} {points}：{ages}", "  {device} {points}: {ages}"),
    "unit.runs": (
        "{site}：总线 {buses}，按钮 {buttons}，门口机 {doors}，上级 {uplinks}；本次运行 {run}",
        "{site}: {buses} buses, {buttons} buttons, {doors} doors, {uplinks} uplinks; run {run}",
    ),
    "unit.refused": (
        "新的小区文件有错，未采用；照旧运行",
        "the changed site file has faults and was refused; running as before",
    ),
    "status.state": ("状态：{state}", "state: {state}"),
    "status.online": ("正常", "online"),
    "status.degraded": ("降级", "degraded"),
    "status.out_of_service": (
        "已停用或测试中，那里无人看守：{device}（{reason}）",
        "out of service, so nobody watches there: {device} ({reason})",
    ),
    "status.alerts": (
        "告警：{open} 条未关闭，其中 {unanswered} 条还没人接警",
        "alerts: {open} open, {unanswered} of them unanswered",
    ),
    "status.ailing": (
        "失联或有故障，那里无人看守：{device}（{reason}）",
        "lost or faulty, so nobody watches there: {device} ({reason})",
    ),
    "status.deaf": ("听不到 {device}：{reason}", "deaf to {device}: {reason}"),
    "status.tolerated": (
        "小区文件有错，启动时放行（{file}:{line}）：{fault}",
        "tolerated at the start ({file}:{line}): {fault}",
    ),
    "status.failing": ("网关部件有故障：{part}（{reason}）", "part of the gateway not well: {part} ({reason})"),
    "status.switched_off": (
        "小区文件里关闭了规则 {rule}（{file}:{line}）",
        "switched off in the site file: rule {rule} ({file}:{line})",
    ),
    "status.edited": (
        "改过而没有生效：{file}（先 loudong check，再 loudong reload）",
        "changed since, and not in force: {file} (loudong check, then loudong reload)",
    ),
    "status.button": (
        "按钮 {button}：上次听到：{ago}，{rssi_dbm} dBm{battery}",
        "button {button}: last heard {ago}, {rssi_dbm} dBm{battery}",
    ),
    "status.button_missing": (
        "按钮 {button} 失联：上次听到：{ago}，{rssi_dbm} dBm{battery}",
        "button {button} is MISSING: last heard {ago}, {rssi_dbm} dBm{battery}",
    ),
    "status.button_never": ("按钮 {button}：从未听到", "button {button}: never heard"),
    "status.button_never_missing": ("按钮 {button} 失联：从未听到", "button {button} is MISSING: never heard"),
    "status.button_battery": ("，电量 {battery_pct} %", ", battery {battery_pct} %"),
    "status.buttons_never": ("从未听到的按钮：{buttons}", "buttons never heard: {buttons}"),
    "status.uplink.unheard": (
        "上级 {uplink}：服务器收下了最近一条告警，但没有人订阅，可能谁也没收到",
        "uplink {uplink}: its broker took our last alert and has nobody who subscribes to it: nobody may have heard it",
    ),
    "status.uplink.connected": ("上级 {uplink}：已连接（{broker}）", "uplink {uplink}: connected ({broker})"),
    "status.uplink.connecting": ("上级 {uplink}：正在连接（{broker}）", "uplink {uplink}: connecting ({broker})"),
    "status.uplink.impaired": (
        "上级 {uplink}：已连接（{broker}），但{reason}，始于 {since}",
        "uplink {uplink}: connected ({broker}), but {reason}, since {since}",
    ),
    "status.uplink.lost": (
        "上级 {uplink}：未连接（{broker}），{reason}，始于 {since}",
        "uplink {uplink}: NOT connected ({broker}): {reason}, since {since}",
    ),
    "status.ago": ("{length}前", "{length} ago"),
    "status.output": (
        "输出 {output}：{actual}（要求：{wanted}），{proof}{reason}",
        "output {output}: {actual} (wanted: {wanted}), {proof}{reason}",
    ),
    "status.wanted_by": ("{wanted}，因告警 {alerts}", "{wanted}, by alert {alerts}"),
    "status.because": ("：{reason}", ": {reason}"),
    "output.on": ("开启", "on"),
    "output.off": ("关闭", "off"),
    "output.shut": ("已关阀", "shut"),
    "output.open": ("阀开", "open"),
    "output.leave": ("保持原状", "as it is"),
    "output.unknown": ("状态不明", "unknown"),
    "proof.confirmed": ("已确认", "confirmed"),
    "proof.unconfirmed": ("未确认", "NOT confirmed"),
    "proof.pending": ("尚无回报", "nothing known yet"),
    "status.more": (
        "另有 {units} 台总线设备正常，{counts} 项计数；加 --all 全部列出",
        "{units} more devices on buses are well; --all lists them, and {counts} counters",
    ),
    "status.counts": ("加 --all 列出 {counts} 项计数", "--all lists {counts} counters, too"),
    "status.clock": ("时钟：{clock}", "clock: {clock}"),
    "clock.synced": ("已同步", "synchronised"),
    "clock.unsynced": ("未同步", "not synchronised"),
    "status.class": ("{name} {pct} %", "{name} {pct} %"),
    "status.classes": ("（{classes}）", " ({classes})"),
    "class.alarm": ("报警", "alarm"),
    "class.feedback": ("输出反馈", "output feedback"),
    "class.normal": ("一般", "normal"),
    "class.slow": ("慢变量", "slow"),
    "class.config": ("配置", "configuration"),
    "status.bus": (
        "总线 {bus}：上一分钟漏读 {skipped_pct} %{classes}；应答 {p50_ms} 毫秒，p99 {p99_ms} 毫秒（估算 {reckoned_ms} 毫秒）",
        (
            "bus {bus}: {skipped_pct} % of its turns left out in the last minute{classes}; "
            "p50 of an answer {p50_ms} ms, p99 {p99_ms} ms (reckoned with {reckoned_ms} ms)"
        ),
    ),
    "status.bus_overloaded": (
        "总线 {bus} 过载：上一分钟漏读 {skipped_pct} %{classes}；应答 {p50_ms} 毫秒，p99 {p99_ms} 毫秒（估算 {reckoned_ms} 毫秒）",
        (
            "bus {bus} is OVERLOADED: {skipped_pct} % of its turns left out in the last minute{classes}; "
            "p50 of an answer {p50_ms} ms, p99 {p99_ms} ms (reckoned with {reckoned_ms} ms)"
        ),
    ),
    "units.head": (
        "总线上的设备（应答 p50/p99；询问、超时、校验错、杂音、迟到、拒绝；上次应答）：",
        "devices on buses (answers in ms p50/p99; asked, timeouts, bad CRC, noise, late, refused; last heard):",
    ),
    "units.line": (
        "  {bus} {unit_id:>3} {device:<20} {standing} {p50_ms}/{p99_ms} 毫秒  {requests} {timeouts} {crc_errors} {noise} {late} {exceptions}  {heard_s} 秒",
        "  {bus} {unit_id:>3} {device:<20} {standing} {p50_ms}/{p99_ms} ms  {requests} {timeouts} {crc_errors} {noise} {late} {exceptions}  {heard_s} s",
    ),
    "standing.unknown": ("未知", "unknown"),
    "standing.ok": ("正常", "ok"),
    "standing.suspect": ("可疑", "suspect"),
    "standing.quarantined": ("隔离", "quarantined"),
    "standing.recovering": ("恢复中", "recovering"),
    "status.store": ("存储：{mode}", "store: {mode}"),
    "store.disk": ("磁盘", "on disk"),
    "store.memory": ("仅内存（磁盘拒绝写入）", "in memory only (the disk refuses)"),
}
