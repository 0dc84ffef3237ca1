"""Words for ``loudong commission``: key -> (zh-CN, en)."""

from __future__ import annotations

SENTENCES: dict[str, tuple[str, str]] = {
    "cli.commission": (
        "设备上线前的设置（地址、波特率……）：先列出，确认后才写",
        "set up a device (address, baud rate …): shows what would be written, writes only when told",
    ),
    "cli.commission.device": ("设备编号（小区文件 buses 里的）", "id of the device (from buses in the site file)"),
    "cli.commission.what": ("要写的项目，不写则全部列出", "which write; without it all are listed"),
    "cli.commission.value": ("要写的值", "the value to be written"),
    "cli.commission.at": ("设备现在的地址，例如出厂的 1", "the unit id it answers to now, such as the maker's 1"),
    "cli.commission.write": ("真的写", "really write it"),
    "cli.commission.yes": ("不再询问", "ask no more"),
    "commission.line": (
        "{write}：{space} {address}，值 {value}",
        "{write}: {space} {address}, value {value}",
    ),
    "commission.line_open": (
        "{write}：{space} {address}，值 {low} 到 {high} 由您定",
        "{write}: {space} {address}, a value from {low} to {high}, to be chosen",
    ),
    "commission.line_codes": (
        "{write}：{space} {address}，由您定：{codes}",
        "{write}: {space} {address}, to be chosen: {codes}",
    ),
    "commission.which_code": ("{write}：请给出值：{known}", "{write}: give one of {known}"),
    "commission.no_code": ("{write}：没有 {given}；可写：{known}", "{write}: there is no {given}; there is: {known}"),
    "commission.accepted": (
        "{device}：{write} 设备（地址 {at}）已接受，但没有证明做到了；请到现场看。",
        "{device}: {write} was accepted (unit {at}) but not proven; look at the device.",
    ),
    "commission.confirmed_by": (
        "{device}：{write} 已执行，{point} 随之为真，已证实。",
        "{device}: {write} was done, and {point} became true: proven.",
    ),
    "commission.differs_by": (
        "{device}：{write} 设备已接受，但 {point} 没有变为真：没有做到。",
        "{device}: {write} was accepted, but {point} did not become true: it failed.",
    ),
    "commission.unproven_by": (
        "{device}：{write} 设备已接受，但 {point} 之前已为真或读不到，什么也没有证明。",
        "{device}: {write} was accepted, but {point} was true before or cannot be read: nothing is proven.",
    ),
    "commission.none": (
        "{device}：型号 {profile} 没有可写的设置",
        "{device}: profile {profile} names nothing to be written",
    ),
    "commission.would": (
        "{device}（总线 {bus}，现在的地址 {at}）：{write} 写入 {value}。",
        "{device} (bus {bus}, now unit {at}): {write} would be set to {value}.",
    ),
    "commission.at_assumed": (
        "型号 {profile} 没说出厂地址，按 {at} 算；不是的话用 --at 写明。",
        "Profile {profile} does not know its unit id as it ships; {at} is assumed, --at says another.",
    ),
    "commission.only_shown": ("什么也没有写；加 --write 才会真的写。", "Nothing was written; only --write does it."),
    "commission.alone": (
        "改地址时，总线上不能有别的设备也用地址 {at}。",
        "While it is given its unit id, no other device on the line may answer to {at}.",
    ),
    "commission.sure": ("输入设备编号 {device} 确认：", "Type the device's id {device} to confirm: "),
    "commission.not_sure": ("没有写。", "Nothing was written."),
    "commission.confirmed": (
        "{device}：{write} 已写入 {value}，设备（地址 {at}）回读一致。",
        "{device}: {write} is {value}; the device (unit {at}) shows it.",
    ),
    "commission.unread": (
        "{device}：{write} 已写入 {value}，设备已应答，但此寄存器不能回读。",
        "{device}: {write} was set to {value} and the device said yes, but the register cannot be read back.",
    ),
    "commission.differs": (
        "{device}：{write} 写了 {value}，回读是 {shown}；可能要断电重启后才生效。",
        "{device}: {write} was set to {value} but reads {shown}; it may take effect only after the power was off.",
    ),
    "commission.vanished": (
        "{device}：{write} 写了 {value}，之后没有应答；可能已换了地址或串口格式，或要断电重启。",
        "{device}: {write} was set to {value}; it has not answered since: a new address or format, or it wants its power off and on.",
    ),
    "commission.unknown_device": (
        "没有设备 {given}；是不是“{near}”？",
        "there is no device {given}; did you mean “{near}”?",
    ),
    "commission.no_device": (
        "没有设备 {given}；小区文件里有：{known}",
        "there is no device {given}; there is: {known}",
    ),
    "commission.unknown_write": (
        "{device}：没有可写的“{given}”；可写：{known}",
        "{device}: nothing named {given} can be written; there is: {known}",
    ),
    "commission.which_value": ("{write}：请给出值，{low} 到 {high}", "{write}: give a value from {low} to {high}"),
    "commission.only_value": ("{write}：只能写 {value}", "{write}: only {value} can be written"),
    "commission.out_of_bounds": (
        "{write}：{given} 不在 {low} 到 {high} 之间",
        "{write}: {given} does not lie between {low} and {high}",
    ),
    "commission.taken": (
        "{folder} 上的网关正在运行，总线归它；请先停下它。",
        "a gateway is running on {folder} and owns the bus; stop it first.",
    ),
    "commission.unit_taken": (
        "{device}：地址 {detail} 已有设备应答，没有写。",
        "{device}: somebody answers to unit {detail} already; nothing was written.",
    ),
    "commission.fault": ("{device}：{reason}（{detail}）", "{device}: {reason} ({detail})"),
}
