"""Words for `loudong simulate`: key -> (zh-CN, en)."""

from __future__ import annotations

SENTENCES: dict[str, tuple[str, str]] = {
    "cli.simulate": (
        "给任何小区文件配上模拟设备，运行真正的网关",
        "simulated devices behind any site file, and the real gateway on it",
    ),
    "cli.simulate.for": ("运行多久，例如 90s（默认直到 Ctrl-C）", "for how long, e.g. 90s (default: until Ctrl-C)"),
    "cli.simulate.still": ("不自己出事，只做输入的事", "nothing happens of itself, only what is typed"),
    "cli.simulate.state": (
        "网关的状态目录（默认用完即弃）",
        "state folder of the gateway (default: one that is thrown away)",
    ),
    "simulate.bus_tcp": (
        "总线 {bus}：{host} 换成本机 127.0.0.1:{port}（Modbus TCP）",
        "bus {bus}: {host} is 127.0.0.1:{port} here (Modbus TCP)",
    ),
    "simulate.bus_line": (
        "总线 {bus}：{real} 换成 {path}（RTU 虚拟串口）",
        "bus {bus}: {real} is {path} here (RTU on a pseudo-terminal)",
    ),
    "simulate.bus_as_line": (
        "总线 {bus}：{real} 的接法没有模拟，这里当作普通串口 {path}",
        "bus {bus}: its way of connecting ({real}) is not simulated; it is a plain serial line here, {path}",
    ),
    "simulate.button_silent": (
        "按钮 {button}：格式 {format} 没有模拟，它不会出声",
        "button {button}: format {format} is not simulated, it stays silent",
    ),
    "simulate.door_silent": (
        "门口机 {door}：厂家 {vendor} 没有模拟，它不会推送",
        "door {door}: vendor {vendor} is not simulated, it pushes nothing",
    ),
    "simulate.listener": (
        "门口机推送到本机 127.0.0.1:{port}，令牌和密钥是新做的",
        "doors push to 127.0.0.1:{port} here, with new secrets",
    ),
    "simulate.uplink": (
        "上级 {uplink}：{real} 换成本机的消息服务器 127.0.0.1:{port}",
        "uplink {uplink}: {real} is a broker at 127.0.0.1:{port} here",
    ),
    "simulate.uplink_none": (
        "上级 {uplink}：本机没有消息服务器，{real} 这一路不模拟，这里也就看不到告警；装上 mosquitto 即可",
        "uplink {uplink}: no broker program on this machine, {real} is left out and no alert is shown here; install mosquitto",
    ),
    "heard_by.bluez": ("私有 dbus-daemon 上的 Bleak", "bleak on a private dbus-daemon"),
    "heard_by.seam": ("广播直接送入网关（没有 dbus-daemon）", "advertisement seam (no dbus-daemon here)"),
    "ended.well": ("正常", "well"),
    "ended.died": ("意外退出", "died"),
    "ended.left": ("退出码 {code}", "left with {code}"),
    "simulate.radio": ("{buttons} 个按钮，蓝牙：{means}", "{buttons} buttons; radio: {means}"),
    "simulate.starting": (
        "网关正在启动；现在输入的，等它上线后再发生",
        "the gateway starts; what is typed before it is online waits for it",
    ),
    "simulate.online": ("网关已上线，正在接收", "the gateway is online and listens"),
    "simulate.unheard": (
        "现在没有人在听：{button} 这一按可能收不到",
        "nobody listens at the moment: this press of {button} may stay unheard",
    ),
    "simulate.try": (
        "另开一个终端：loudong alerts --state {state}；这里可以输入 press …、gas-….gas = 26、quit",
        "in another terminal: loudong alerts --state {state}; here you may type press …, gas-….gas = 26, quit",
    ),
    "simulate.not_a_deed": (
        "看不懂：{given}（写法见 docs/zh/rules.md）",
        "cannot be read: {given} (docs/rules.md says what can happen)",
    ),
    "simulate.no_button": ("小区文件里没有按钮 {name}", "the site file has no button {name}"),
    "simulate.no_device": ("小区文件里没有设备 {name}", "the site file has no device {name}"),
    "simulate.no_door": ("小区文件里没有门 {name}", "the site file has no door {name}"),
    "simulate.no_output": ("小区文件里没有输出 {name}", "the site file has no output {name}"),
    "simulate.cannot": (
        "模拟设备没有这个点位，或做不到：{what}",
        "the simulated device has no such point, or cannot do that: {what}",
    ),
    "simulate.no_daemon": ("网关没有在运行", "the gateway is not running"),
    "simulate.refused": ("网关拒绝：{reason}", "the gateway refused: {reason}"),
    "simulate.moved_on": ("{output} 动作", "{output} moved"),
    "simulate.moved_off": ("{output} 释放", "{output} let go"),
    "simulate.no_broker": ("消息服务器起不来：{fault}", "the broker does not start: {fault}"),
    "simulate.ended": (
        "发生 {happened} 件，报警 {raised} 起，消息 {messages} 条，网关进程：{daemon}",
        "happened {happened}, alerts raised {raised}, messages {messages}, daemon: {daemon}",
    ),
}
