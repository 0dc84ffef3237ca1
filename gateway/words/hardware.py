"""Words for a person who stands before a button or a door (``learn``, ``doors test``): key -> (zh-CN, en)."""

from __future__ import annotations

SENTENCES: dict[str, tuple[str, str]] = {
    "learn.listen": (
        "正在听，{seconds} 秒内请不要按按钮。",
        "Listening. Do not touch the button for {seconds} s.",
    ),
    "learn.press": (
        "现在请按按钮：{seconds} 秒内按两次，中间隔 15 秒。已登记的按钮照常报警。",
        "Now press it, twice within {seconds} s, fifteen seconds apart. A button that is enrolled alarms as ever.",
    ),
    "learnt.idle": ("平时", "idle"),
    "learnt.pressed": ("按下时", "pressed"),
    "learnt.numbered": ("这种按钮自带编号，不用学：", "This button numbers its frames; nothing needs to be learnt:"),
    "learnt.press_none": (
        "一次按下也没有收到：上面都是平时的信号。请再试一次，按到底。",
        "No press was heard: all of these are its ordinary frames. Try again, and press it firmly.",
    ),
    "learnt.press_unknown": (
        "信号是加密的，没有对应的密钥，看不出有没有按下；请配好 key_file 再做走动测试。",
        "The frames cannot be read without the right key, so nobody can tell whether a press was heard; give it its key_file and do the walk test.",
    ),
    "learnt.second_slot": ("按下时多出一种信号：", "Pressed, it sends a frame of its own:"),
    "learnt.changed": ("按下时信号有变化：", "Pressed, its frame changes:"),
    "learnt.nothing_heard": (
        "没有收到这个地址的信号：地址对吗？电池？离网关太远？",
        "Nothing was heard of this address: is it right? the battery? too far away?",
    ),
    "learnt.nothing_pressed": (
        "按的时候没有收到信号，请再试一次。",
        "Nothing was heard while it was pressed; try again.",
    ),
    "learnt.no_difference": (
        "按下和平时的信号看不出区别；它可能要连接才能用（format: gatt），或者没有按到。",
        "Pressed and idle look the same: perhaps it must be connected to (format: gatt), or was not pressed.",
    ),
    "learnt.unsure": (
        "只看到一种按下的信号，其中可能有计数；请多按几次再学一遍。",
        "Only one pressed frame was seen, and part of it may be a counter; learn again with more presses.",
    ),
    "learnt.copy": (
        "抄进小区文件，改好名字和位置，再用 loudong check 检查，然后走动测试。",
        "Copy this into the site file, give it its name and place, run loudong check, then do the walk test.",
    ),
    "pair.next": (
        "{length} 之内第一台往这扇门推送的设备会被认下：现在到门口机前刷一次脸；认下后运行日志有 terminal_paired",
        "the first device that pushes on this door's path within {length} is the one: show it a face now; log event terminal_paired",
    ),
    "finding.line": ("{verdict} {what}：{told}", "{verdict} {what}: {told}"),
    "finding.ok": ("好", "ok"),
    "finding.bad": ("不好", "BAD"),
    "finding.unknown": ("不明", "?"),
    "finding.heard": ("收到推送", "heard from"),
    "finding.heard.never": ("网关启动后还没有收到过", "not once since the gateway started"),
    "finding.heard.before": ("{detail} 秒前", "{detail} s ago"),
    "finding.reachable": ("连接", "connection"),
    "finding.reachable.answers": ("有应答", "it answers"),
    "finding.reachable.no_login": (
        "小区文件里没有写 history，无法查询门口机",
        "the site file has no history for this door, so the terminal cannot be asked",
    ),
    "finding.login": ("登录", "login"),
    "finding.login.accepted": ("用户名和密码正确", "accepted"),
    "finding.login.refused": ("用户名或密码不对（{detail}）", "refused: name or password is wrong ({detail})"),
    "finding.device": ("设备", "device"),
    "finding.device.right": ("就是登记的那台", "the one that is known"),
    "finding.device.another": ("不是登记的那台", "not the one that is known"),
    "finding.device.not_named": (
        "没有登记设备号（serial 或 loudong pair）",
        "none is known for this door (serial, or loudong pair)",
    ),
    "finding.device.not_told": ("门口机没有说自己的设备号", "the terminal does not say which it is"),
    "finding.clock": ("时钟", "clock"),
    "finding.clock.offset": ("比网关快 {detail} 秒", "{detail} s ahead of the gateway's"),
    "finding.clock.offset_behind": ("比网关慢 {detail} 秒", "{detail} s behind the gateway's"),
    "finding.clock.not_told": ("门口机没有说时间", "the terminal does not tell its time"),
    "finding.clock.ours_unsynced": ("网关自己的时钟还没有同步", "the gateway's own clock is not synchronised"),
    "finding.push": ("推送地址", "push address"),
    "finding.push.here": ("是本网关（{detail}）", "this gateway ({detail})"),
    "finding.push.elsewhere": ("只推送到别处：{detail}", "it pushes only elsewhere: {detail}"),
    "finding.push.nowhere": ("没有设置推送地址（HTTP 监听）", "none is set (HTTP listening)"),
    "finding.push.wrong_port": ("端口或协议不对（{detail}）", "wrong port or protocol ({detail})"),
    "finding.push.needs_login": (
        "小区文件要求登录，请在门口机上选 MD5digest",
        "the site file asks for a login: choose MD5digest at the terminal",
    ),
    "finding.push.needs_no_login": (
        "门口机设了登录，但小区文件没有写 username",
        "the terminal gives a login, but the site file has no username",
    ),
    "finding.log": ("门口机记录", "its log"),
    "finding.log.readable": (
        "可以查询（最近一小时 {detail} 条）",
        "can be read ({detail} rows of the last hour, at least)",
    ),
}
