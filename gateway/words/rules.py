"""Words for faults in rules: key -> (zh-CN, en)."""

from __future__ import annotations

SENTENCES: dict[str, tuple[str, str]] = {
    "fault.no_such_rule": (
        "没有名为 {name} 的内置规则",
        "there is no built-in rule {name}",
    ),
    "fault.implied_by_nobody": (
        "规则 {name}：implied_by 写的规则 {given} 不存在",
        "rule {name}: implied_by names the rule {given}, which does not exist",
    ),
    "fault.implied_event": (
        "规则 {name}：implied_by 只用于状态；事件（按键、通行）没有恢复的时候，{name} 和 {given} 都不能是事件规则",
        "rule {name}: implied_by joins states; an event (a press, a pass) never returns, so neither {name} nor {given} may be about one",
    ),
    "fault.implied_apart": (
        "规则 {name} 和 {given} 没有共同的对象，implied_by 不起作用（by 要相同）",
        "rule {name} and {given} are about different subjects, so implied_by does nothing (both need the same by)",
    ),
    "fault.rule_off": ("规则 {name} 已被关闭", "rule {name} is switched off"),
    "fault.nobody_there": (
        "规则 {name}：{given} 那里什么设备也没有，规则在那里不起作用",
        "rule {name}: there is no device at {given}, so the rule watches nobody there",
    ),
    "fault.nobody_tagged": (
        "规则 {name}：什么设备也没有标签 {given}",
        "rule {name}: no device has the tag {given}",
    ),
    "fault.two_limits": (
        "规则 {name}：{given} 只能写一种；两种都要就写成两个条件，用 any（其一）或 all（同时）合起来",
        "rule {name}: a condition has only one of {given}; for several write as many conditions, joined by any or all",
    ),
    "fault.unit_of_builtin": (
        "设备 {device}：点位 {point} 的单位是 {given}，而内置规则 {name} 要的是 {wanted}；请改型号文件里的 unit，或给点位换个名字",
        "device {device}: its point {point} is in {given}, but the built-in rule {name} wants {wanted}; mend the unit in its profile, or give the point another name",
    ),
    "fault.rule_without_subjects": ("规则 {name} 没有匹配到任何设备", "rule {name} matches no device"),
    "fault.delay_on_life_safety": (
        "规则 {name} 关乎生命安全，不允许任何延时",
        "rule {name} is a life-safety rule: no delay is allowed",
    ),
    "fault.event_or_state": (
        "规则 {name}：any 里不能把事件（按键、通行）和状态混在一起，请写成两条规则",
        "rule {name}: any cannot join an event (a press, a pass) and a state: write two rules",
    ),
    "fault.delay_on_event": (
        "规则 {name} 由事件触发（按键、通行），不能设延时",
        "rule {name} is about an event (a press, a pass): it cannot have a delay",
    ),
    "fault.unknown_kind": (
        "规则 {name}：没有设备类别 {given}",
        "rule {name}: no device kind {given}",
    ),
    "fault.unknown_subject": (
        "规则 {name}：没有设备 {given}",
        "rule {name}: no device {given}",
    ),
    "fault.unknown_point": (
        "规则 {name}：所选设备都没有点位 {given}",
        "rule {name}: none of its devices has a point {given}",
    ),
    "fault.point_renamed": (
        "规则 {name}：点位 {given} 已改名为 {wanted}，请把规则里的名字改过来",
        "rule {name}: the point {given} is called {wanted} now; write that",
    ),
    "fault.point_renamed_for_some": (
        "规则 {name}：{devices} 的点位 {given} 已改名为 {wanted}，请在规则里用 any 把两个名字都写上",
        "rule {name}: of {devices} the point {given} is called {wanted} now; write both, joined by any",
    ),
    "fault.unknown_word": (
        "规则 {name}：不认识 {given}",
        "rule {name}: {given} is not known",
    ),
    "fault.unit_mismatch": (
        "规则 {name}：点位 {point}（设备 {device}）的单位不是规则里写的 {given}",
        "rule {name}: point {point} (device {device}) is not in {given}",
    ),
    "fault.units_differ": (
        "规则 {name}：点位 {point} 这里写的是 {given}，规则别处的单位是 {first}；单位要一致",
        "rule {name}: point {point} is {given} here, and elsewhere in the rule its unit is {first}; both must be the same",
    ),
    "fault.unit_missing": (
        "规则 {name}：点位 {point}（设备 {device}）的限值要带单位：请写 {wanted}",
        "rule {name}: a limit of point {point} (device {device}) needs its unit: write {wanted}",
    ),
    "fault.unit_superfluous": (
        "规则 {name}：点位 {point}（设备 {device}）没有单位：请写 {wanted}",
        "rule {name}: point {point} (device {device}) has no unit: write {wanted}",
    ),
    "fault.bad_condition": (
        "规则 {name}：每个条件必须恰好写一种",
        "rule {name}: a condition has exactly one of these words",
    ),
    "fault.bad_times": (
        '规则 {name}：between 要写两个带引号的时刻（00:00 到 23:59），例如 ["22:00", "05:30"]',
        'rule {name}: between wants two quoted times (00:00 to 23:59), e.g. ["22:00", "05:30"]',
    ),
    "fault.not_of_event": (
        "规则 {name}：not 和 unknown 里面不能放事件（按键、通行）",
        "rule {name}: an event (a press, a pass) cannot stand inside not or unknown",
    ),
    "fault.empty_list": (
        "规则 {name}：{field} 里至少要有一个条件",
        "rule {name}: {field} needs at least one condition",
    ),
    "fault.not_amount": (
        "规则 {name}：{given} 不是带单位的数值（例如 20 %LEL）",
        "rule {name}: {given} is no amount with a unit (e.g. 20 %LEL)",
    ),
    "fault.set_point": (
        "规则 {name}：燃气报警设定值 {given} %LEL 超出允许范围 {low}–{high} %LEL",
        "rule {name}: gas set point {given} %LEL is outside {low}–{high} %LEL",
    ),
    "fault.no_threshold": (
        "规则 {name} 没有可以改的阈值（{side}）",
        "rule {name} has no threshold that {side} could change",
    ),
    "fault.valve_opens": (
        "规则 {name}：燃气阀只能关（shut），绝不由网关打开",
        "rule {name}: a valve can only be shut; the gateway never opens one",
    ),
    "fault.drives_for_nobody": (
        "规则 {name}：drives 的 {output} 写了 {given}，但规则不监视这类设备",
        "rule {name}: drives {output} for {given}, of which the rule watches none",
    ),
    "fault.no_consent": (
        "规则 {name}：{person} 没有同意规则 {rule}；请在其 care 下写明用途和同意日期",
        "rule {name}: {person} has not agreed to {rule}: record purpose and consent under care",
    ),
    "fault.consent_to_nothing": (
        "{name}：care 里写的规则 {given} 不存在",
        "{name}: care names the rule {given}, which does not exist",
    ),
    "fault.count_of_one": (
        "规则 {name}：of: subjects 要数不同的设备，请用 by 写明以户、单元还是楼栋为单位",
        "rule {name}: of: subjects counts different devices: say with by whether of a flat, stair or building",
    ),
    "fault.absent_of_press": (
        "规则 {name}：不能只凭没有按键（seen: press）就说人不见了；请加上 pass 或 reading",
        "rule {name}: that nobody pressed a button (seen: press) tells nothing of a person: add pass or reading",
    ),
    "fault.short_sequence": (
        "规则 {name}：sequence 至少要有先后两个条件",
        "rule {name}: a sequence has at least two conditions",
    ),
    "fault.past_of_past": (
        "规则 {name}：count、sequence、absent 和 rises、falls 里面不能再放这类条件",
        "rule {name}: a condition with a past (count, sequence, absent, rises, falls) cannot stand inside another",
    ),
    "fault.rule_drives_not": (
        "输出 {name}：没有能驱动它的规则 {given}",
        "output {name}: no rule {given} drives outputs of its kind",
    ),
    "fault.rule_name_taken": (
        "{name} 是告警渠道测试的名称，规则请另取名字",
        "{name} is what a test of the chain is called: give the rule another name",
    ),
    "fault.rule_replaced": (
        "规则 {name} 取代了前面同名的规则",
        "rule {name} replaces the one of the same name before it",
    ),
    "fault.life_safety_changed": (
        "生命安全规则 {name} 的 {field} 被改动，请确认没有放松",
        "{field} of the life-safety rule {name} is changed; make sure that it is not weaker now",
    ),
    "fault.loosened": (
        "生命安全规则 {name} 的限值放宽到 {given}",
        "the limit of the life-safety rule {name} is loosened to {given}",
    ),
}
