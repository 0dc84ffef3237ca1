"""What a name, an address or a path must look like: a regular expression of the site file, in words: key -> (zh-CN, en)."""

from __future__ import annotations

SENTENCES: dict[str, tuple[str, str]] = {
    "form.fact": (
        "小写字母、数字和下划线，如 gas_high",
        "lower-case letters, digits and underscores, such as gas_high",
    ),
    "form.word": ("小写字母", "lower-case letters"),
    "form.date": ("日期，如 2026-11-01，要加引号", "a date such as 2026-11-01, in quotes"),
    "form.moment": (
        "日期，可带时刻，如 2026-11-01 或 2026-11-01T18:00",
        "a date, or a date and a time, such as 2026-11-01T18:00",
    ),
    "form.pseudonym": (
        "32 位十六进制，由 loudong pseudonym 算出",
        "32 hexadecimal digits, as loudong pseudonym prints them",
    ),
    "form.id": ("小写字母、数字和连字符，如 gas-101", "lower-case letters, digits and hyphens, such as gas-101"),
    "form.place": ("楼/单元/户，如 b1/s1/301", "building/stair/flat, such as b1/s1/301"),
    "form.mac": ("蓝牙地址，如 A4:C1:38:00:00:01", "a Bluetooth address such as A4:C1:38:00:00:01"),
    "form.adapter": ("hci0 或适配器的蓝牙地址", "hci0, or the address of an adapter"),
    "form.hex": ('1 到 31 个字节的十六进制，如 "8001"', '1 to 31 bytes in hexadecimal, such as "8001"'),
    "form.uuid": (
        "UUID，如 CDCA0D93-8D39-454A-8816-E603A1484723",
        "a UUID such as CDCA0D93-8D39-454A-8816-E603A1484723",
    ),
    "form.short": ('4 位十六进制，如 "004c"', '4 hexadecimal digits, such as "004c"'),
    "form.short_or_uuid": ("4 位十六进制（如 ffe1）或完整 UUID", "4 hexadecimal digits (such as ffe1) or a whole UUID"),
    "form.namespace": ("20 位十六进制", "20 hexadecimal digits"),
    "form.instance": ("12 位十六进制", "12 hexadecimal digits"),
    "form.url": ("http:// 或 https:// 开头的网址", "an address that begins with http:// or https://"),
    "form.host": ("主机名或 IP 地址", "a host name or an IP address"),
    "form.broker": (
        "主机名或 IP 地址，可带端口，如 mqtt.example:8883 或 [fd00::1]:8883",
        "a host name or an IP address, with a port if it has its own, such as mqtt.example:8883 or [fd00::1]:8883",
    ),
    "form.ip": ("IP 地址", "an IP address"),
    "form.zone": ("时区，如 Asia/Shanghai", "a time zone such as Asia/Shanghai"),
    "form.login": ("系统用户名", "the name of a local user"),
    "form.json_path": (
        "用点分开的字段名，列表里的位置写在方括号里，如 data.records[0].id",
        "names between dots, places in lists in brackets, such as data.records[0].id",
    ),
    "form.username": ("1 到 32 个字母、数字或 . _ @ -", "1 to 32 letters, digits or . _ @ -"),
    "form.point": ("点位名，如 relay1", "the name of a point, such as relay1"),
    "form.device_point": ("设备.点位，如 relay-1.input1", "device.point, such as relay-1.input1"),
    "form.port": ("串口路径，如 /dev/serial/by-path/…", "the path of a serial port, such as /dev/serial/by-path/…"),
    "form.wire_bytes": (
        "可打印文字，或 hex: 加十六进制，如 hex:01 fe",
        "printable text, or hex: and hexadecimal digits, such as hex:01 fe",
    ),
    "form.name": ("1 到 64 个字，前后没有空格", "1 to 64 characters without spaces at the ends"),
}
