"""Words for ``loudong demo``: key -> (zh-CN, en)."""

from __future__ import annotations

SENTENCES: dict[str, tuple[str, str]] = {
    "demo.waking": (
        "模拟小区启动，真正的网关进程启动……",
        "the simulated compound wakes; the real gateway process starts …",
    ),
    "demo.online": ("网关在线，蓝牙：{means}", "the gateway is online; radio: {means}"),
    "demo.try": (
        "另开一个终端试试：loudong alerts --state {state}",
        "in another terminal, try: loudong alerts --state {state}",
    ),
    "demo.gas": ("{place}厨房燃气升到 {lel} %LEL", "gas in the kitchen of {place} rises to {lel} %LEL"),
    "demo.gas_gone": (
        "开窗通风，燃气散去；阀门仍关着，只能由人打开",
        "the window is opened, the gas goes; the valve stays shut until a person opens it",
    ),
    "demo.valve_shut": ("继电器读回：燃气阀已关", "read back from the relay: the gas valve is shut"),
    "demo.siren_on": ("继电器读回：声光报警器已响", "read back from the relay: the siren sounds"),
    "demo.siren_off": ("有人接警，声光报警器停", "somebody answered: the siren is off"),
    "demo.press": ("老人按下求助按钮 {button}", "an elder presses the panic button {button}"),
    "demo.nobody": ("没有人接警……（演示里的时限缩短了）", "nobody answers … (deadlines are shortened here)"),
    "demo.answers": ("值班员 {who} 接警", "{who} at the duty office answers"),
    "demo.resident": ("居民刷脸进门（平常事，不报警）", "a resident passes by face (everyday, no alert)"),
    "demo.stranger": ("陌生人在{place}刷脸被拒", "a stranger is refused at {place}"),
    "demo.broker_killed": ("杀掉消息服务器 {seconds} 秒：网络断了", "the broker is killed for {seconds} s: no network"),
    "demo.broker_back": ("消息服务器回来了，积压按顺序补报", "the broker is back; the backlog comes in order"),
    "demo.smoke": ("{place}起烟", "smoke in {place}"),
    "demo.silent": ("探测器 {device} 不再应答", "detector {device} no longer answers"),
    "demo.answers_again": ("探测器 {device} 恢复应答", "detector {device} answers again"),
    "demo.tidy": ("值班室逐一处理未了的告警", "the duty office deals with what is open"),
    "demo.going_on": (
        "故事讲完了，小区继续运行（Ctrl-C 结束）",
        "the story is told; the compound lives on (Ctrl-C ends it)",
    ),
    "demo.settling": ("等最后的消息到齐……", "waiting for the last messages …"),
    "demo.good": (
        "发生 {raised} 起，送达 {delivered} 起，丢失 {lost}，重复 {doubled}，线上重发 {wire_repeats}；蓝牙：{radio}",
        "caused {raised}, delivered {delivered}, lost {lost}, doubled {doubled}, repeats on the wire {wire_repeats}; radio: {radio}",
    ),
    "demo.bad": (
        "有问题！发生 {raised} 起，送达 {delivered} 起，丢失 {lost}，重复 {doubled}；网关进程：{daemon}",
        "SOMETHING IS WRONG: caused {raised}, delivered {delivered}, lost {lost}, doubled {doubled}; daemon: {daemon}",
    ),
    "demo.too_short": (
        "演示时间太短：还没有发生过任何报警，什么也没有证明；--for 请至少 30s",
        "the demo was too short: nothing had been caused yet, so nothing is proven; give --for 30s at least",
    ),
    "demo.no_broker": (
        "演示用的消息服务器起不来：{fault}；make demo 会装好它",
        "the demo's broker does not start: {fault}; `make demo` brings it",
    ),
}
