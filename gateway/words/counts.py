"""What each counter of the status counts, for whoever looks for a bad cable; by the part that counts and the counter's own name.

Reasons that stand in a counter's name (``refused_stale``, ``lost_network``) are not repeated here: the name says them.
"""

from __future__ import annotations

_BUS: dict[str, tuple[str, str]] = {
    "requests": ("发出的请求", "requests sent"),
    "answers": ("收到的应答", "answers"),
    "timeouts": ("没等到应答", "requests without an answer in time"),
    "exceptions": ("设备拒绝的请求", "requests refused by their device"),
    "crc_errors": ("校验出错（多半是线路）", "answers damaged on the way (a bad cable?)"),
    "noise_bytes": ("线上的杂乱字节", "bytes of noise"),
    "foreign_frames": ("不是问来的报文", "frames that nobody asked for"),
    "late": ("迟到的应答，没有采用", "answers too late to be taken"),
    "doubled": ("重复的应答", "answers that came twice"),
    "wrong": ("格式不对的应答", "answers of the wrong shape"),
    "broadcasts": ("广播写入", "writes to all devices at once"),
    "skipped": ("总线太慢而漏读的轮次", "turns left out, for the bus was too slow"),
    "opened": ("线路打开的次数", "times the line was opened"),
    "lost": ("线路断开的次数", "times the line was lost"),
    "babbled": ("对方不停乱发而被挂断的次数", "of these: hung up on, for it spoke without end"),
}
_RADIO: dict[str, tuple[str, str]] = {
    "adverts": ("听到的广播", "advertisements heard"),
    "neighbours": ("别人家的设备", "of devices that are not ours"),
    "foreign": ("不是按钮报文的广播", "that are no frame of a button"),
    "presses": ("按键", "presses"),
    "new": ("新的按键报文", "frames of a new press"),
    "missed": ("补回的按键", "presses found late in the radio's memory"),
    "suspect": ("计数器旧的按键", "presses with an old counter"),
    "duplicate": ("同一次按键的重复报文", "frames repeated"),
    "held": ("仍按住的报文", "frames of a button still held"),
    "released": ("已报过的按住结束", "ends of a hold already told"),
    "heartbeat": ("心跳", "heartbeats"),
    "stale": ("过时的报文", "frames older than what is known"),
    "baseline": ("启动时已知的报文", "frames known at the start"),
    "unreadable": ("读不懂的报文（密钥不对？）", "frames nobody can read (wrong key?)"),
    "starts": ("开始扫描的次数", "times scanning began"),
    "power_cycles": ("适配器断电重启的次数", "times an adapter was switched off and on"),
    "passive_refused": ("适配器不肯被动扫描", "refusals to scan passively"),
}
_DOORS: dict[str, tuple[str, str]] = {
    "requests": ("门口机发来的请求", "requests of terminals"),
    "entries": ("通行和报警记录", "entries"),
    "entries_held_back": ("太多而暂缓的记录", "entries held back, for there were too many"),
    "known_replays": ("已知记录的重发", "entries sent again"),
    "from_history": ("从门口机记录里补回的", "entries read from a terminal's log"),
    "unmapped": ("含义不明的代码", "codes that nobody has mapped"),
    "gap_opened": ("发现缺号的次数", "times serial numbers were missing"),
    "gap_given_up": ("放弃的缺号", "missing numbers given up"),
    "busy": ("因忙而推迟的请求", "requests put off, for we were busy"),
    "too_slow": ("太慢而中断的请求", "requests cut off, for they were too slow"),
    "broken_off": ("对方中断的请求", "requests that their sender broke off"),
    "not_durable": ("磁盘写不进而没有确认的", "not confirmed, for the disk refused"),
    "taken_in_memory": ("仅存内存就确认的", "confirmed from memory alone"),
    "head_too_large": ("头部太大而拒绝的", "refused, for their head was too large"),
    "too_many_connections": ("连接太多而拒绝的", "refused, for there were too many connections"),
    "not_http": ("不是 HTTP 的请求", "requests that are no HTTP"),
    "paired": ("认下的门口机", "terminals that were learnt"),
}
_UPLINK: dict[str, tuple[str, str]] = {
    "connects_tried": ("尝试连接的次数", "times it was tried"),
    "connected": ("连上的次数", "times it was connected"),
    "went_home": ("回到首选服务器的次数", "returns to the broker of choice"),
    "home_probed": ("试探首选服务器的次数", "times the broker of choice was looked for"),
    "alert_sent": ("发出的告警消息，重发的也算", "messages about alerts sent, each repeat counted"),
    "alert_unheard": ("服务器收下而没有人订阅的", "of these: the broker took it and nobody subscribes"),
    "status_sent": ("送达的状态", "statuses delivered"),
    "device_sent": ("送达的设备状态", "states of devices delivered"),
    "telemetry_sent": ("送达的读数批次", "batches of readings delivered"),
    "alert_refused": ("服务器拒绝的告警消息", "messages about alerts that the broker refused"),
    "telemetry_dropped": ("丢弃的读数批次", "batches of readings dropped"),
    "devices_cleared": ("清掉的旧设备主题", "topics of former devices cleared"),
    "commands": ("收到的命令", "commands"),
    "replies": ("发出的答复", "replies"),
    "replies_refused": ("服务器拒绝的答复", "replies that the broker refused"),
    "replies_not_taken": ("服务器不收而略去的答复", "replies left out, for the broker hangs up on them"),
    "receipts": ("回执", "receipts"),
    "receipts_repeated": ("重复的回执", "receipts that came again"),
}
_OUTPUTS: dict[str, tuple[str, str]] = {
    "writes": ("写继电器的次数", "writes to relays"),
    "reads": ("回读的次数", "reads of relays and feedbacks"),
    "write_faults": ("没写成的次数", "writes that failed"),
    "read_faults": ("没读成的次数", "reads that failed"),
    "confirmed": ("已确认的动作", "states confirmed"),
    "unconfirmed": ("未确认的动作", "states not confirmed"),
    "held_without_cause": ("无原因处于开启", "found on without a cause"),
    "superseded": ("被新要求取代的", "replaced by a newer wish"),
    "drifted": ("被别人动过的次数", "times somebody else had moved one"),
}
_HOUSE: dict[str, tuple[str, str]] = {
    "store.pruned_messages": ("清理的已送达消息", "delivered messages tidied away"),
    "store.pruned_journal": ("清理的旧事件", "old events tidied away"),
    "store.pruned_closed": ("清理的已关闭告警", "closed alerts tidied away"),
    "store.pruned_keys": ("销毁的人员密钥", "keys of persons destroyed"),
    "store.pruned_steps": ("精简的旧步骤", "steps of old histories thinned"),
    "store.dropped_messages": ("内存放不下而丢弃的消息", "messages dropped, for memory had no room"),
    "store.dropped_journal": ("内存放不下而丢弃的事件", "events dropped, for memory had no room"),
    "store.dropped_history": ("内存放不下而丢弃的步骤", "steps of histories dropped, for memory had no room"),
    "telemetry.written": ("写下的读数", "samples written"),
    "telemetry.dropped": ("丢弃的读数", "samples dropped"),
    "telemetry.set_aside": ("移开的坏读数文件", "damaged files of samples set aside"),
    "telemetry.pruned": ("清理的旧读数", "old samples tidied away"),
    "core.quarantined": ("隔离的事件", "events quarantined"),
    "core.receipts_astray": ("找不到告警的回执", "receipts for alerts that nobody knows"),
    "control.refused": ("拒绝的本地连接", "local connections refused"),
    "control.too_many": ("太快而拒绝的命令", "commands refused, for they came too fast"),
}

SENTENCES: dict[str, tuple[str, str]] = {
    f"count.{part}.{name}": words
    for part, counters in (
        ("bus", _BUS), ("radio", _RADIO), ("doors", _DOORS), ("uplink", _UPLINK), ("outputs", _OUTPUTS),
    )
    for name, words in counters.items()
} | {f"count.{name}": words for name, words in _HOUSE.items()}  # fmt: skip
