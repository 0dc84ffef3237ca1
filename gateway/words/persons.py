"""Words for what is known of persons, and who looked (``passages``, ``forget``, ``audit``): key -> (zh-CN, en)."""

from __future__ import annotations

SENTENCES: dict[str, tuple[str, str]] = {
    "passage.access.granted": ("放行", "access.granted"),
    "passage.access.denied": ("拒绝", "access.denied"),
    "passage.access.verify_request": ("请求远程核验", "access.verify_request"),
    "passage.access.unknown": ("刷过，含义不明", "access.unknown"),
    "passage.door.unlocked": ("开锁", "door.unlocked"),
    "passage.door.locked": ("上锁", "door.locked"),
    "passage.door.exit_button": ("按出门按钮", "door.exit_button"),
    "passage.door.remote_open": ("远程开门", "door.remote_open"),
    "passage.door.unlock_fault": ("开锁失败", "door.unlock_fault"),
    "passage.door.bell": ("按门铃", "door.bell"),
    "passage.alarm.tamper": ("防拆报警", "alarm.tamper"),
    "passage.alarm.duress": ("胁迫报警", "alarm.duress"),
    "passage.alarm.attempt_limit": ("多次验证失败", "alarm.attempt_limit"),
    "passage.alarm.blocklist": ("黑名单", "alarm.blocklist"),
    "passage.alarm.tailgating": ("尾随", "alarm.tailgating"),
    "passage.alarm.fire": ("火警联动", "alarm.fire"),
    "passage.device.log_nearly_full": ("门口机记录将满", "device.log_nearly_full"),
    "audit.none": ("还没有记录", "nothing is noted yet"),
    "audit.passages": ("查经过", "passages"),
    "audit.history": ("查经历", "history"),
    "audit.closed": ("查已关闭", "closed"),
    "audit.replay": ("重放", "replay"),
    "audit.forget": ("忘记", "forget"),
    "audit.backup": ("备份", "backup"),
    "audit.restore": ("恢复", "restore"),
    "passage.in": ("进", "in"),
    "passage.out": ("出", "out"),
    "passage.unknown": ("方向不明", "unknown"),
    "passages.none": ("没有此人经过的记录", "no passage of this person is on record"),
    "forget.sure": (
        "{person} 的密钥一销毁就不能恢复，关于此人的未关闭告警也会撤销。再输入一次 {person} 确认：",
        "The key of {person} is destroyed for good, and open alerts about them are withdrawn. Type {person} again to confirm: ",
    ),
    "forget.not_sure": ("没有忘记任何人。", "Nobody was forgotten."),
    "forget.done": (
        "已忘记：销毁密钥 {keys} 把，清除规则记忆 {subjects} 处；之前做的备份里还有",
        "forgotten: {keys} keys destroyed, {subjects} memories of rules cleared; backups made before still hold it",
    ),
}
