"""Every fault an installer can make: its line, its name, its words, in both languages; and all of them at once."""

from __future__ import annotations

import pytest

from gateway.site.report import summary

RELAY = "relay-1: {profile: relay, unit_id: 2, place: b1/s1}"
GAS = "gas-101: {profile: gas, unit_id: 1, place: b1/s1/101}"
SOS = 'sos-101: {address: "A4:C1:38:00:00:01", place: b1/s1/101, key_file: k, heartbeat: 1h}'
GATE = "gate-1: {vendor: hikvision, place: gate, address: 192.168.1.3, token_file: t}"
VALVE = "valve-1: {kind: valve, device: relay-1, point: relay1, place: b1/s1, serves: [b1], feedback: relay-1.input1, feedback_means: shut}"
STREET = "street: {host: mqtt.example, tls: true}"
BOSS = "boss: {roles: [answer, shelve]}"
CARED = 'boss: {roles: [answer, shelve], signs: gas-101.gas, care: {gas-low: {purpose: p, consent: "2026-11-01"}}, place: b1/s1/101}'
PORT = "port: /dev/serial/by-path/one"


def test_of_a_port_of_another_form_that_alone_is_said(spoil):
    lines = spoil((PORT, "port: COM3\n    baud: 9600\n    parity: none")).lines()
    assert [line.split(": ", 1)[1] for line in lines if "COM3" in line or "network" in line] == [
        "error: gas: port “COM3” has the wrong form; it must be the path of a serial port, such as /dev/serial/by-path/…."
    ]


def test_good_site_has_neither_fault_nor_warning(load, good):
    loaded = load(good)
    assert loaded.lines() == []
    assert loaded.site is not None
    assert loaded.site.buses["gas"].devices[1].profile.id == "relay"


# what was written, what instead -> the line in English, and part of it in Chinese
FAULTS = [
    # fields
    ("gateway: box-1\n", "", "site.yaml:1: error: site.yaml: gateway is missing.", "缺少 gateway"),
    ("name: 花园", "nmae: 花园", "site.yaml:3: error: site.yaml: unknown field “nmae”. Did you mean “name”? Allowed: ", "是不是“name”"),
    ("name: 花园", "name: 301", "site.yaml:3: error: site.yaml: name must be text, not 301;", "数字当文字用请加引号"),
    ("name: 花园", "name:", "site.yaml:3: error: site.yaml: name is empty (what follows a # is a remark);", "后面没有内容"),
    ("site: garden", "site: Garden", "site.yaml:1: error: site.yaml: site “Garden” has the wrong form; it must be lower-case", "小写字母"),
    (", heartbeat: 1h", ", heartbeat: 90", "site.yaml:25: error: sos-101: heartbeat “90” is no duration;", "要带单位"),
    (", heartbeat: 1h", ", heartbeat: 30d", "site.yaml:25: error: sos-101: heartbeat is 30d; it must lie between 1s and 7d.", "应在 1s 到 7d 之间"),
    ("[answer, shelve]", "[answer, shelf]", "site.yaml:11: error: boss: roles cannot be “shelf”. Did you mean “shelve”? Allowed: answer | shelve | test.", "可以写：answer | shelve"),
    ("tls: true", "tls: 1", "site.yaml:32: error: street: tls must be true or false, not “1”.", "只能写 true 或 false"),
    ("unit_id: 1,", "unit_id: 1.5,", "site.yaml:22: error: gas-101: unit_id must be a whole number, not 1.5.", "应该是整数"),
    ("unit_id: 1,", "unit_id: one,", "site.yaml:22: error: gas-101: unit_id must be a number without quotes, not “one”.", "应该是数字"),
    ("unit_id: 1,", 'unit_id: "1",', "site.yaml:22: error: gas-101: unit_id must be a number without quotes, not “1”.", "数字不加引号"),
    (PORT, "{PORT}\n    parity: EVEN", "site.yaml:21: error: gas: parity cannot be “EVEN”. Did you mean “even”?", "是不是“even”"),
    (PORT, '{PORT}\n    baud: "9600"', "site.yaml:21: error: gas: baud must be a number without quotes, not “9600”.", "数字不加引号"),
    (", heartbeat: 1h", ", heartbeat: 60m", "site.yaml:25: error: sos-101: heartbeat “60m” is no duration; write it with its unit: 30s, 5min, 4h, 7d. Did you mean “60min”?", "是不是“60min”"),
    (", heartbeat: 1h", ", heartbeat: 1H", "site.yaml:25: error: sos-101: heartbeat “1H” is no duration; write it with its unit: 30s, 5min, 4h, 7d. Did you mean “1h”?", "是不是“1h”"),
    (", heartbeat: 1h", ", heartbeat: 1个小时", "site.yaml:25: error: sos-101: heartbeat “1个小时” is no duration;", "是不是“1h”"),
    # signs of a Chinese keyboard, and a remark that is none
    (", heartbeat: 1h", ", heartbeat: １h", "site.yaml:25: error: sos-101: heartbeat “１h” has full-width characters; write “1h”.", "“１h”里有全角字符；请改成半角的“1h”"),
    ("unit_id: 2,", "unit_id: ２,", "site.yaml:23: error: relay-1: unit_id “２” has full-width characters; write “2”.", "请改成半角的“2”"),
    (PORT, "{PORT}\n    baud: ９６００", "site.yaml:21: error: gas: baud “９６００” has full-width characters; write “9600”.", "请改成半角的“9600”"),
    ("address: 192.168.1.3", "address: 192。168。1。3", "site.yaml:28: error: gate-1: address “192。168。1。3” has full-width characters; write “192.168.1.3”.", "请改成半角的“192.168.1.3”"),
    ("A4:C1:38:00:00:01", "A4：C1：38：00：00：01", "site.yaml:25: error: sos-101: address “A4：C1：38：00：00：01” has full-width characters; write “A4:C1:38:00:00:01”.", "全角字符"),
    (PORT, "{PORT}\n    baud: 9600#波特率", "site.yaml:21: error: gas: baud “9600#波特率”: a remark begins with a space before its #; write “9600 #波特率”.", "# 前面要有空格"),
    ("A4:C1:38:00:00:01", "a4-c1-38-00-00-01", "site.yaml:25: error: sos-101: address “a4-c1-38-00-00-01” has the wrong form; it must be a Bluetooth address such as A4:C1:38:00:00:01. Did you mean “a4:c1:38:00:00:01”?", "应为：蓝牙地址，如 A4:C1:38:00:00:01。是不是“a4:c1:38:00:00:01”？"),
    (", heartbeat: 1h", ", heartbeat: 1小时", "site.yaml:25: error: sos-101: heartbeat “1小时” is no duration; write it with its unit: 30s, 5min, 4h, 7d. Did you mean “1h”?", "是不是“1h”"),
    ("b1/s1/101: 101室", "b1/s1/101: #101", "site.yaml:7: error: places: b1/s1/101 is empty (what follows a # is a remark);", "# 后面的算备注"),
    ("roles: [answer, shelve]", "roles: {a: b}", "site.yaml:11: error: boss: roles must be a word or a list of words", "一列词"),
    ("  head: {login: pi}", "  head: pi", "site.yaml:10: error: head: this must be a block", "每行一项"),
    ("b1/s1/101: 101室", "b1/s1/101: 101", "site.yaml:7: error: places: b1/s1/101 must be text, not 101;", "请加引号"),
    ("gas-101: {profile: gas, unit_id: 1, place: b1/s1/101}", "gas-101: NO", "site.yaml:22: error: “NO” is yes/no to some readers", "true 或 false"),
    ("rules: []", "rules: {a: b}", "site.yaml:33: error: rules: rules must be a list", "应该是列表"),
    # names
    ("gas-101: {", "Gas_101: {", "site.yaml:22: error: The id “Gas_101” may hold only lower-case letters, digits and hyphens, such as gas-101. Did you mean “gas-101”?", "是不是“gas-101”"),
    ("gate-1: {", "sos-101: {", "site.yaml:28: error: The id “sos-101” is used twice, first at ", "用了两次"),
    ("gate-1: {", "store: {", "site.yaml:28: error: “store” is a name of the gateway's own", "网关自己用的"),
    ("  gate: 大门", "  gate/a/b/c: 大门\n  gate: 大门", "site.yaml:8: error: places: gate/a/b/c “gate/a/b/c” has the wrong form; it must be building/stair/flat", "楼/单元/户"),
    # references
    ("unit_id: 2, place: b1/s1", "unit_id: 2, place: b1/s2", "site.yaml:23: error: relay-1: there is no place “b1/s2” in places. Did you mean “b1/s1”?", "places 里没有“b1/s2”"),
    ("feedback_means: shut", "feedback_means: on", 'site.yaml:30: error: valve-1: for feedback_means write "on", with the quotes.', '请写成 "on"'),
    ("feedback_means: shut", "feedback_means: true", 'site.yaml:30: error: valve-1: for feedback_means write "on", with the quotes.', "带上引号"),
    ("feedback_means: shut", "feedback_means: yes", "site.yaml:30: error: “yes” is yes/no to some readers", "请加引号"),
    ("unit_id: 2, place: b1/s1", "unit_id: 2, place: 1号楼1单元", "site.yaml:23: error: relay-1: there is no place “1号楼1单元” in places. Did you mean “b1/s1”?", "是不是“b1/s1”"),
    ("unit_id: 2, place: b1/s1", "unit_id: 2, place: 1号楼1单元101", "site.yaml:23: error: relay-1: there is no place “1号楼1单元101” in places. Did you mean “b1/s1/101”?", "是不是“b1/s1/101”"),
    ("building: {b1: [head]}", "building: {1号楼: [head]}", "site.yaml:13: error: grid.building: there is no building or public place “1号楼” in places. Did you mean “b1”?", "是不是“b1”"),
    ("profile: gas,", "profile: gass,", "site.yaml:22: error: gas-101: there is no profile “gass”; loudong profiles list shows which there are, and you may add one in profiles/. Did you mean “gas”?", "没有型号文件“gass”"),
    ("community: [boss]", "community: [bos]", "site.yaml:15: error: grid: there is nobody called “bos” in people. Did you mean “boss”?", "people 里没有“bos”"),
    ("building: {b1: [head]}", "building: {b1: [haed]}", "site.yaml:13: error: grid.building: there is nobody called “haed” in people. Did you mean “head”?", "people 里没有“haed”"),
    ("  grid: {b1: [head], gate: [head]}", "  grid: {b1: [head], gate: [head], b2: [head]}", "site.yaml:14: error: grid.grid: there is no building or public place “b2”", "没有“b2”这栋楼"),
    ("device: relay-1,", "device: relay-9,", "site.yaml:30: error: valve-1: there is no device “relay-9” in buses. Did you mean “relay-1”?", "buses 里没有设备“relay-9”"),
    ("point: relay1,", "point: relai1,", "site.yaml:30: error: valve-1: the device relay-1 (relay) has no point “relai1”. Did you mean “relay1”? Allowed: relay1 | relay2 | input1.", "没有点位“relai1”"),
    ("feedback: relay-1.input1", "feedback: relay-1.input9", "site.yaml:30: error: valve-1: the device relay-1 (relay) has no point “input9”.", "没有点位“input9”"),
    ("feedback: relay-1.input1", "feedback: relay-7.input1", "site.yaml:30: error: valve-1: there is no device “relay-7”", "没有设备“relay-7”"),
    ("name: 花园", "timezone: Asia/Shangai", "site.yaml:3: error: site.yaml: there is no time zone “Asia/Shangai”; in China write Asia/Shanghai. Did you mean “Asia/Shanghai”?", "没有时区"),
    # buses
    (PORT, "baud: 9600", "site.yaml:19: error: gas: give port (serial), host (network) or listen (it dials in), and only one.", "只写一个"),
    (PORT, "{PORT}\n    host: 10.0.0.1", "site.yaml:19: error: gas: give port", "只写一个"),
    (PORT, "{PORT}\n    baud: 9601", "site.yaml:21: error: gas: baud cannot be “9601”. Allowed: 1200 | 2400", "可以写：1200"),
    (PORT, "{PORT}\n    parity: odds", "site.yaml:21: error: gas: parity cannot be “odds”. Did you mean “odd”? Allowed: none | even | odd.", "none | even | odd"),
    (PORT, "{PORT}\n    data_bits: 7", "site.yaml:21: error: gas: Modbus RTU sends bytes of 8 bits; 7 data bits belong to Modbus ASCII.", "每个字节 8 位"),
    (PORT, "{PORT}\n    framing: tcp", "site.yaml:21: error: gas: framing: tcp needs host | listen.", "就要写"),
    (PORT, "{PORT}\n    registration: dtu-1", "site.yaml:21: error: gas: registration needs listen.", "就要写"),
    (PORT, "{PORT}\n    listen: 8600", "site.yaml:19: error: gas: give port (serial), host (network) or listen", "只写一个"),
    (PORT, 'listen: 8600\n    registration: "hex:5"', "site.yaml:21: error: gas: registration “hex:5” has the wrong form; it must be printable text", "hex:"),
    (PORT, "listen: 8600\n    dials_from: box.lan", "site.yaml:21: error: gas: dials_from “box.lan” is no IP address.", "IP"),
    ("unit_id: 1,", "unit_id: 0,", "site.yaml:22: error: gas-101: unit_id 0 is the broadcast address;", "广播地址"),
    ("unit_id: 1,", "unit_id: 300,", "site.yaml:22: error: gas-101: unit_id is 300; it must lie between 1 and 255.", "1 到 255"),
    ("unit_id: 2,", "unit_id: 1,", "site.yaml:23: error: relay-1: unit_id 1 is taken on bus gas (", "已被占用"),
    ("buttons:", "  two:\n    port: /dev/serial/by-path/one\nbuttons:", "site.yaml:24: error: two: /dev/serial/by-path/one belongs to another bus already (", "已被另一条总线使用"),
    ("profile: gas,", "profile: slow,", "site.yaml:22: error: gas-101: the device ships with baud 4800 but bus gas runs at 9600 8N1;", "只能有一种串口格式"),
    # buttons and doors
    ("A4:C1:38:00:00:01", "A4:C1:38:00:00", "site.yaml:25: error: sos-101: address “A4:C1:38:00:00” has the wrong form; it must be a Bluetooth address", "蓝牙地址"),
    (SOS, SOS + '\n  sos-2: {address: "a4:c1:38:00:00:01", place: gate, key_file: k, heartbeat: 1h}', "site.yaml:26: error: sos-2: the address A4:C1:38:00:00:01 belongs to another button (", "已用于另一个按钮"),
    ("key_file: k,", "key: 231d39c1d7cc1ab1aee224cd096db932,", "site.yaml:25: error: sos-101: a secret must not be written in key; put it in a file of its own and name that file in key_file.", "不能直接写在 key 里"),
    ("key_file: k,", "key_file: 231d39c1d7cc1ab1aee224cd096db932,", "site.yaml:25: error: sos-101: a secret must not be written in key_file;", "请放进单独的文件"),
    ("key_file: k,", "format: ibeacon,", "site.yaml:25: error: sos-101: format ibeacon needs to know how the frame looks pressed or idle", "至少一个"),
    ("key_file: k,", "format: ibeacon, pressed: {},", "site.yaml:25: error: sos-101.pressed: it says nothing. Allowed: uuid | major | minor.", "什么都没有写"),
    ("key_file: k,", "format: ibeacon, pressed: {uuid: CDCA0D93},", "site.yaml:25: error: sos-101.pressed: uuid “CDCA0D93” has the wrong form; it must be a UUID such as", "UUID，如"),
    ("key_file: k,", "format: ibeacon, pressed: {major: 70000},", "site.yaml:25: error: sos-101.pressed: major is 70000; it must lie between 0 and 65535.", "0 到 65535"),
    ("key_file: k,", "format: ibeacon, pressed: {majr: 7},", "site.yaml:25: error: sos-101.pressed: unknown field “majr”. Did you mean “major”?", "是不是“major”"),
    ("key_file: k,", "format: ibeacon, pressed: {major: 1, url: https://a.net},", "site.yaml:25: error: sos-101.pressed: url is no field of format ibeacon. Allowed: uuid | major | minor.", "不是 ibeacon 格式的字段"),
    ("key_file: k,", "format: ibeacon, key_file: k, pressed: {major: 1},", "site.yaml:25: error: sos-101: key_file is no field of format ibeacon. Allowed: pressed | idle | until | hold.", "不是 ibeacon 格式的字段"),
    ("key_file: k,", "key_file: k, characteristic: ffe1,", "site.yaml:25: error: sos-101: characteristic is no field of format bthome.", "不是 bthome 格式的字段"),
    ("key_file: k,", "format: ibeacon, pressed: {minor: 1}, idle: {major: 7, minor: 1},", "site.yaml:25: error: sos-101: pressed and idle are the same", "分不出"),
    ("key_file: k,", "format: ibeacon, pressed: {minor: 1}, hold: 3h,", "site.yaml:25: error: sos-101: hold is 3h; it must lie between 1s and 2h.", "1s 到 2h"),
    ("key_file: k,", "format: eddystone, pressed: {url: https://a.net, instance: 0bdb87539b68},", "site.yaml:25: error: sos-101.pressed: give either url or namespace, instance.", "只能写一种"),
    ("key_file: k,", "format: learned, pressed: {data: a1},", "site.yaml:25: error: sos-101.pressed: give either service or company, and only one.", "必须写一个"),
    ("key_file: k,", "format: learned, pressed: {service: fff0},", "site.yaml:25: error: sos-101.pressed: data is missing.", "缺少 data"),
    ("key_file: k,", "format: learned, pressed: {service: fff0, data: a1b2, mask: ff},", "site.yaml:25: error: sos-101.pressed: mask must be as long as data.", "一样长"),
    ("key_file: k,", 'format: learned, pressed: {service: fff0, data: a1, mask: "00"},', "site.yaml:25: error: sos-101.pressed: mask is all zero", "全是 0"),
    ("key_file: k,", "format: learned, pressed: {service: fff0, data: a1b2, mask: ff0f}, idle: {service: fff0, data: a1f2},", "site.yaml:25: error: sos-101: pressed and idle are the same", "分不出"),
    ("key_file: k,", "format: learned, pressed: {service: fff0, data: a1}, until: idle,", "site.yaml:25: error: sos-101: until: idle needs idle.", "就要写 idle"),
    ("key_file: k,", "format: flag, pressed: {service: fff0},", "site.yaml:25: error: sos-101.pressed: mask is missing.", "缺少 mask"),
    ("buttons:", "radio: {adapters: [hci0, HCI0]}\nbuttons:", "site.yaml:24: error: radio: adapters “HCI0” has the wrong form;", "适配器"),
    ("buttons:", 'radio: {adapters: ["00:1A:7D:DA:71:01", "00:1a:7d:da:71:01"]}\nbuttons:', "site.yaml:24: error: radio: the adapter 00:1A:7D:DA:71:01 is named twice", "写了两次"),
    ("vendor: hikvision", "vendor: hikvison", "site.yaml:28: error: gate-1: vendor cannot be “hikvison”. Did you mean “hikvision”?", "不能是“hikvison”"),
    ("token_file: t}", "token_file: t, serial: DS1}\n  gate-2: {vendor: hikvision, place: gate, address: 192.168.1.4, token_file: t2, serial: DS1}", "site.yaml:29: error: gate-2: serial DS1 is that of another terminal (", "分不清是谁"),
    (", token_file: t", "", "site.yaml:28: error: gate-1: no token_file:", "没有 token_file"),
    ("address: 192.168.1.3", "address: 192.168.1.300", "site.yaml:28: error: gate-1: address “192.168.1.300” is no IP address.", "不是 IP 地址"),
    ("token_file: t", "token_file: t, username: lou", "site.yaml:28: error: gate-1: username needs password_file.", "就要写 password_file"),
    ("token_file: t", "token_file: t, password_file: p", "site.yaml:28: error: gate-1: password_file needs username.", "就要写 username"),
    ("token_file: t", "token_file: t, username: 'a:b', password_file: p", "site.yaml:28: error: gate-1: username “a:b” has the wrong form; it must be 1 to 32 letters", "1 到 32 个字母"),
    ("token_file: t", "token_file: t, history: {username: events}", "site.yaml:28: error: gate-1.history: password_file is missing.", "缺少 password_file"),
    ("token_file: t", "token_file: t, history: {username: events, password_file: p, pin: 1}", "site.yaml:28: error: gate-1.history: unknown field “pin”.", "不认识"),
    (", address: 192.168.1.3", ", history: {username: events, password_file: p}", "site.yaml:28: error: gate-1: history needs address.", "就要写 address"),
    ("token_file: t", "token_file: t, http_port: 8080", "site.yaml:28: error: gate-1: http_port needs history.", "就要写 history"),
    (", token_file: t", ", transport: stream", "site.yaml:28: error: gate-1: transport needs history.", "就要写 history"),
    ("token_file: t", "token_file: t, transport: steam", "site.yaml:28: error: gate-1: transport cannot be “steam”. Did you mean “stream”?", "是不是“stream”"),
    ("vendor: hikvision", "vendor: generic", "site.yaml:28: error: gate-1: vendor: generic needs mapping.", "就要写 mapping"),
    ("token_file: t", "token_file: t, mapping: {seq: num, type: {from: t, values: {1: door.bell}}}", "site.yaml:28: error: gate-1: mapping needs vendor: generic.", "就要写 vendor: generic"),
    ("vendor: hikvision", "vendor: generic, mapping: {seq: num, type: {from: t, values: {1: acess.granted}}}", "site.yaml:28: error: gate-1.mapping.type: values cannot be “acess.granted”. Did you mean “access.granted”?", "是不是“access.granted”"),
    ("vendor: hikvision", "vendor: generic, mapping: {seq: a..b, type: {from: t, values: {1: door.bell}}, time: t}", "site.yaml:28: error: gate-1.mapping: seq “a..b” has the wrong form; it must be names between dots", "点分开"),
    ("vendor: hikvision", "vendor: generic, mapping: {type: {from: t, values: {1: door.bell}}}", "site.yaml:28: error: gate-1.mapping: give time, seq or id", "至少写一个"),
    ("vendor: hikvision", "vendor: generic, mapping: {seq: num, time: {from: t, as: iso9}, type: {from: t, values: {1: door.bell}}}", "site.yaml:28: error: gate-1.mapping.time: as cannot be “iso9”. Did you mean “iso”?", "是不是“iso”"),
    # outputs
    ("point: relay1,", "point: input1,", "site.yaml:30: error: valve-1: relay-1.input1 cannot be written, so it cannot be an output. Allowed: relay1 | relay2.", "只读点位"),
    (VALVE, VALVE + "\n  siren-1: {kind: siren, device: relay-1, point: relay1, place: gate, serves: b1}", "site.yaml:31: error: siren-1: relay-1.relay1 is another output already (", "已是另一个输出"),
    (", feedback_means: shut", "", "site.yaml:30: error: valve-1: feedback_means is missing.", "缺少 feedback_means"),
    ("feedback_means: shut", "feedback_means: on_", "site.yaml:30: error: valve-1: feedback_means cannot be “on_”. Did you mean “on”?", "不能是“on_”"),
    ("feedback_means: shut", 'feedback_means: "on"', "site.yaml:30: error: valve-1: feedback_means cannot be “on”. Allowed: shut.", "可以写：shut"),
    ("serves: [b1]", "serves: []", "site.yaml:30: error: valve-1: serves is empty (what follows a # is a remark);", "后面没有内容"),
    (", serves: [b1]", "", "site.yaml:30: error: valve-1: serves is missing.", "缺少 serves"),
    # people and ladder
    ("boss: {roles", "boss: {login: pi, roles", "site.yaml:11: error: boss: the login pi belongs to head already.", "已属于 head"),
    ("district: [boss]", "district: [boss]\n  ladder: {critical: {district: never}}", "site.yaml:18: error: grid: a critical alert must be able to climb to the end; district cannot be never.", "不能是 never"),
    ("district: [boss]", "district: [boss]\n  ladder: {high: {community: 20min}}", "site.yaml:18: error: grid: for high, street is told before community below it;", "应逐级往后"),
    ("district: [boss]", "district: [boss]\n  ladder: {hihg: {street: 20min}}", "site.yaml:18: error: grid.ladder: unknown field “hihg”. Did you mean “high”?", "是不是“high”"),
    ("district: [boss]", "district: [boss]\n  ladder: {high: {street: soon}}", "site.yaml:18: error: grid.ladder.high: street “soon” is no duration;", "要带单位"),
    # people under care
    ("boss: {roles", "boss: {signs: gas-101.gas, roles", "site.yaml:11: error: boss: signs may be recorded only with a purpose and a consent under care.", "在 care 下写明"),
    (BOSS, CARED.replace(", place: b1/s1/101", ""), "site.yaml:11: error: boss: place is missing.", "缺少 place"),
    (BOSS, CARED.replace("signs: gas-101.gas, ", ""), "site.yaml:11: error: boss: neither a terminal (pseudonyms) nor a reading (signs) tells of this person", "无从知道"),
    (BOSS, CARED.replace("gas-101.gas", "gas-109.gas"), "site.yaml:11: error: boss: there is no device “gas-109” in buses. Did you mean “gas-101”?", "没有设备“gas-109”"),
    (BOSS, CARED.replace("gas-101.gas", "gas-101.gsa"), "site.yaml:11: error: boss: the device gas-101 (gas) has no point “gsa”. Did you mean “gas”?", "没有点位“gsa”"),
    (BOSS, CARED.replace("signs: gas-101.gas", "pseudonyms: {defualt: " + "a" * 32 + "}"), "site.yaml:11: error: boss: no terminal has the enrolment group “defualt”. Did you mean “default”?", "录入组“defualt”"),
    (BOSS, CARED.replace("signs: gas-101.gas", "pseudonyms: {default: zhang}"), "site.yaml:11: error: boss.pseudonyms: default “zhang” has the wrong form; it must be 32 hexadecimal digits", "loudong pseudonym"),
    (BOSS, CARED.replace("2026-11-01", "2026-02-30"), "site.yaml:11: error: boss.care.gas-low: consent “2026-02-30” is no day of the calendar.", "不是日历上的日子"),
    (BOSS, CARED.replace("2026-11-01", "soon"), "site.yaml:11: error: boss.care.gas-low: consent “soon” has the wrong form; it must be a date", "日期，如"),
    (BOSS, CARED.replace("purpose: p, ", ""), "site.yaml:11: error: boss.care.gas-low: purpose is missing.", "缺少 purpose"),
    (BOSS, CARED.replace("signs:", 'away: {from: "2026-12-05", until: "2026-12-01"}, signs:'), "site.yaml:11: error: boss: a leave from 2026-12-05 until 2026-12-01 ends before it begins.", "先后颠倒"),
    # uplinks
    ("host: mqtt.example, tls: true", "host: localhost, ca_file: a", "site.yaml:32: error: street: ca_file needs tls: true.", "就要写 tls: true"),
    ("tls: true", "tls: true, cert_file: a", "site.yaml:32: error: street: cert_file needs key_file.", "就要写 key_file"),
    ("tls: true", "tls: true, password_file: p", "site.yaml:32: error: street: password_file needs username.", "就要写 username"),
    ("tls: true", "username: lou, password_file: p", "site.yaml:32: error: street: the line to mqtt.example is not encrypted and would show its password", "密码会被人看见"),
    ("host: mqtt.example, tls: true", "host: [localhost, 10.0.0.9], username: lou, password_file: p", "site.yaml:32: error: street: the line to 10.0.0.9 is not encrypted and would show its password", "10.0.0.9 没有加密"),
    ("tls: true", "tls: true, password: hunter2", "site.yaml:32: error: street: a secret must not be written in password; put it in a file of its own and name that file in password_file.", "用 password_file 写文件名"),
    ("tls: true", "tls: true, principals: {local: ack}", "site.yaml:32: error: “local” is a name of the gateway's own", "网关自己用的"),
    ("tls: true", "tls: true, principals: {duty: [ack, kill]}", "site.yaml:32: error: street.principals: duty cannot be “kill”.", "不能是“kill”"),
    ("host: mqtt.example", "host: [mqtt.example, 'b.example:70000']", "site.yaml:32: error: street: host “b.example:70000” has the wrong form; it must be a host name or an IP address, with a port", "可带端口"),
    (PORT, "host: plc..lan", "site.yaml:20: error: gas: host “plc..lan” has the wrong form; it must be a host name or an IP address.", "主机名"),
    (PORT, f"host: {'a' * 64}.lan", f"site.yaml:20: error: gas: host “{'a' * 64}.lan” has the wrong form", "主机名"),
    (PORT, f"host: {'a.' * 127}lan", "site.yaml:20: error: gas: host ", "主机名"),
    ("host: mqtt.example", "host: mqtt..example", "site.yaml:32: error: street: host “mqtt..example” has the wrong form", "主机名"),
    ("host: mqtt.example", "host: []", "site.yaml:32: error: street: host is missing.", "缺少 host"),
    ("host: mqtt.example, tls: true", "tls: true", "site.yaml:32: error: street: host is missing.", "缺少 host"),
    ("tls: true", "tls: true, protocol: 4", "site.yaml:32: error: street: protocol cannot be “4”. Allowed: 5 | 3.1.1.", "可以写：5 | 3.1.1"),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "english", "chinese"), FAULTS, ids=lambda v: v[:40])
def test_one_mistake_is_one_fault_with_its_line_and_words(spoil, old, new, english, chinese):
    loaded = spoil((old, new.replace("{PORT}", PORT)))
    assert len(loaded.errors()) == 1, loaded.errors()
    assert loaded.errors()[0].startswith(english)
    assert loaded.errors("zh-CN")[0].split(":")[:2] == english.split(":")[:2]
    assert chinese in loaded.errors("zh-CN")[0]
    assert "231d39c1" not in loaded.errors()[0]
    assert "hunter2" not in "".join(loaded.lines())


WARNINGS = [
    ("token_file: t", "token_file: t, https: true, history: {username: events, password_file: p}", "site.yaml:28: warning: gate-1: https without history.ca_file believes any certificate", "任何证书"),
    ("vendor: hikvision", "vendor: generic, mapping: {seq: num, type: {from: t, values: {1: door.bell}}}", "site.yaml:28: warning: gate-1.mapping: with neither time nor replay no event counts as happening now", "正在发生"),
    (PORT, "port: /dev/ttyUSB0", "site.yaml:20: warning: gas: the number in /dev/ttyUSB0 changes", "拔插后会变"),
    (PORT, "host: 10.0.0.1\n    line_behind: false\n    baud: 9600", "site.yaml:22: warning: gas: baud means nothing on a network bus.", "用不到 baud"),
    ("unit_id: 2,", "unit_id: 255,", "site.yaml:23: warning: relay-1: unit_id 255 is beyond", "超出标准"),
    ("key_file: k, ", "", "site.yaml:25: warning: sos-101: no key_file: the button sends in clear", "别人可以伪造"),
    (", heartbeat: 1h", "", "site.yaml:25: warning: sos-101: no heartbeat", "没有 heartbeat"),
    ("heartbeat: 1h", "heartbeat: 1h, meanings: {double: ignore}", "site.yaml:25: warning: sos-101: a “double” press no longer means SOS", "不再当作求助"),
    ("key_file: k,", "format: gatt,", "site.yaml:25: warning: sos-101: a gatt button must stay connected", "一直保持连接"),
    ("key_file: k,", "format: flag,", "site.yaml:25: warning: sos-101: flag frames carry no key", "没有加密"),
    ("buttons:", "radio: {adapters: [hci0, hci1]}\nbuttons:", "site.yaml:24: warning: radio: of several adapters give the addresses", "会随插拔变化"),
    ("address: 192.168.1.3, ", "", "site.yaml:28: warning: gate-1: no address:", "没有 address"),
    ("listener: {host: 192.168.1.2}\n", "", "site.yaml:1: warning: The listener listens on every interface", "所有网口"),
    (", feedback: relay-1.input1, feedback_means: shut", "", "site.yaml:30: warning: valve-1: no feedback", "无从证明"),
    (VALVE, "fan-1: {kind: fan, device: relay-1, point: relay1, place: b1/s1/101, serves: b1}", "site.yaml:30: warning: fan-1: this fan stands in the place of gas detector gas-101 (b1/s1/101) and is not ex_rated", "不是防爆的"),
    ("community: [boss]", "community: []", "site.yaml:12: warning: grid: nobody stands on rung community;", "社区（community）一级没有人"),
    ("building: {b1: [head]}", "building: {}", "site.yaml:12: warning: grid: nobody stands on rung building for b1;", "b1 的楼栋长（building）一级没有人"),
    ("district: [boss]", "district: [boss]\n  ladder: {critical: {district: 1h}}", "site.yaml:18: warning: grid: critical reaches district after 1h, slower than the usual 3min.", "比默认的 3min 慢"),
    ("district: [boss]", "district: [boss]\n  answer_by: {critical: 1h}", "site.yaml:18: warning: answer_by: critical is 1h, slower than the usual 10min.", "比默认的 10min 慢"),
    ("tls: true", "tls: false", "site.yaml:32: warning: street: the line to mqtt.example is not encrypted", "没有加密"),
    ("uplinks:\n  " + STREET + "\n", "", "site.yaml:1: warning: There are no uplinks", "没有 uplinks"),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "english", "chinese"), WARNINGS, ids=lambda v: v[:40])
def test_unwise_is_a_warning_and_the_site_still_runs(spoil, old, new, english, chinese):
    loaded = spoil((old, new))
    assert loaded.errors() == []
    assert len(loaded.warnings()) == 1, loaded.warnings()
    assert loaded.warnings()[0].startswith(english)
    assert chinese in loaded.warnings("zh-CN")[0]
    assert loaded.site is not None


def test_who_stands_at_a_place_that_only_has_places_below_is_told_to_add_it(load, good):
    """Was: did you mean a flat of it?"""
    loaded = load(good.replace("  b1/s1: 1单元\n", ""))
    said = "there is no place “b1/s1” in places, only what lies below it, such as “b1/s1/101”: add b1/s1."
    assert [line.split(": error: ")[1] for line in loaded.errors()] == [
        f"{name}: {said}" for name in ("relay-1", "valve-1")
    ]
    assert "请补上 b1/s1" in loaded.errors("zh-CN")[0]


def test_place_without_its_parent_is_a_warning(load, good):
    loaded = load(
        good.replace("  b1/s1: 1单元\n", "")
        .replace("place: b1/s1,", "place: b1,")
        .replace("place: b1/s1}", "place: b1}")
    )
    assert loaded.warnings() == [
        "site.yaml:6: warning: b1/s1/101: its parent “b1/s1” is not in places, so its name will be missing when spoken."
    ]


def test_stated_serial_format_makes_the_odd_device_a_warning_and_says_the_profile_is_unverified(spoil):
    loaded = spoil((PORT, PORT + "\n    baud: 9600"), ("profile: gas,", "profile: slow,"))
    assert loaded.errors() == []
    assert [line.split(": ")[2] for line in loaded.warnings()] == ["gas-101", "gas-101"]
    assert "ships with baud 4800 and bus gas is stated to run at 9600 8N1; set the device" in loaded.warnings()[0]
    assert "not backed by a manual" in loaded.warnings()[1]


def test_only_what_is_stated_of_the_format_may_differ(spoil):
    loaded = spoil((PORT, PORT + "\n    parity: none"), ("profile: gas,", "profile: slow,"))
    assert [line.split(": ")[2] for line in loaded.errors()] == ["gas-101"]
    assert "ships with baud 4800" in loaded.errors()[0]
    assert "state baud, parity, stop_bits on the bus" in loaded.errors()[0]


@pytest.mark.parametrize("line", ["baud: 19200", "parity: even", "stop_bits: 2", "baud: 19200\n    parity: even"])
def test_a_line_of_another_format_is_nothing_to_a_device_whose_own_nobody_knows(spoil, line):
    """Was: told that it ships with 9600 8N1, which its profile never said, and to be set to the line's."""
    assert spoil((PORT, PORT + "\n    " + line)).lines() == []


@pytest.mark.parametrize(
    ("states", "given"),
    [
        ("baud: 4800\nparity: none\nstop_bits: 1", "4800 8N1"),
        ("baud: 19200\nparity: even", "baud 19200, parity even"),
        ("stop_bits: 2", "stop_bits 2"),
    ],
)
def test_a_device_is_held_to_what_its_profile_states_and_to_no_more(spoil, profiles, tmp_path, states, given):
    own = (profiles / "slow.yaml").read_text(encoding="utf-8").replace("baud: 4800", states)
    (tmp_path / "profiles").mkdir()
    (tmp_path / "profiles" / "slow.yaml").write_text(own, encoding="utf-8")
    loaded = spoil(("profile: gas,", "profile: slow,"))
    assert len(loaded.errors()) == 1
    assert f"ships with {given} but bus gas runs at 9600 8N1" in loaded.errors()[0]


def test_a_bus_of_two_ends_is_a_fault_whatever_its_devices_speak(spoil):
    loaded = spoil((PORT, PORT + "\n    host: 10.0.0.9"), ("profile: gas,", "profile: slow,"))
    assert any("and only one" in line for line in loaded.errors())


def test_a_line_behind_a_tcp_gateway_has_one_format_too(spoil):
    behind = PORT.replace(PORT.strip(), "host: 10.0.0.9\n    line_behind: true")
    loaded = spoil((PORT, behind), ("profile: gas,", "profile: slow,"))
    assert len([line for line in loaded.errors() if "ships with baud 4800" in line]) == 1


@pytest.mark.parametrize(
    ("more", "asked"),
    [("", 1), ("\n    line_behind: true", 0), ("\n    line_behind: false", 0), ("\n    framing: rtu", 0)],
)
def test_several_unit_ids_at_one_address_are_asked_whether_a_line_lies_behind(spoil, more, asked):
    """Without an answer `check` would promise ages that no line keeps, and look at no serial format."""
    lines = spoil((PORT, "host: 10.0.0.9" + more)).lines()
    assert [line.split(": ")[1:3] for line in lines] == [["warning", "gas"]] * asked
    assert all("line_behind: true" in line and "line_behind: false" in line for line in lines)


def test_one_unit_id_at_an_address_is_a_device_with_a_network_of_its_own(spoil):
    at_one = "    devices:\n      " + GAS + "\n  other:\n    host: 10.0.0.8\n    devices:\n      " + RELAY
    assert spoil((PORT, "host: 10.0.0.9"), (f"    devices:\n      {GAS}\n      {RELAY}", at_one)).lines() == []


@pytest.mark.parametrize(
    ("one", "two", "alike"),
    [
        ("registration: dtu-1", "registration: dtu-2", False),
        ("registration: dtu-1", "registration: dtu-1", True),
        ("registration: dtu-1", "registration: dtu-10", True),
        ("registration: dtu-10", "registration: dtu-1", True),
        ("registration: dtu-1", "dials_from: 10.0.0.2", True),
        ("dials_from: 10.0.0.1", "dials_from: 10.0.0.2", False),
        ("{ registration: dtu-1, dials_from: 10.0.0.1 }", "{ registration: dtu-1, dials_from: 10.0.0.2 }", False),
    ],
)
def test_two_that_dial_in_at_one_port_are_told_apart_from_the_first_byte_on(spoil, one, two, alike):
    """Else the detectors of one box would be read at the other."""

    def bus(known_by):
        return "listen: 8600\n    " + known_by.strip("{ }").replace(", ", "\n    ")

    second = f"    devices:\n      {GAS}\n  other:\n    {bus(two)}\n    devices:\n      {RELAY}"
    loaded = spoil((PORT, bus(one)), (f"    devices:\n      {GAS}\n      {RELAY}", second))
    assert [fault.key for fault in loaded.faults.errors] == ["fault.end_twice"] * alike, "once"
    assert loaded.warnings() == []


def test_who_dials_in_and_is_known_by_nothing_is_a_warning(spoil):
    (line,) = spoil((PORT, "listen: 8600")).lines()
    assert line.startswith("site.yaml:19: warning: gas: ")


@pytest.mark.parametrize(
    "signs",
    [
        "learned, pressed: {service: fff0, data: a1}, idle: {service: fff0, data: 00a1}",
        "ibeacon, pressed: {minor: 1}, until: idle",
    ],
)
def test_a_button_whose_signs_can_be_told_apart_is_no_fault(spoil, signs):
    assert spoil(("key_file: k,", f"format: {signs},")).errors() == []


def test_the_last_line_counts_what_is_shown(spoil):
    """A slip that the reader of YAML meets twice is shown once, and counted once."""
    loaded = spoil(("  gas:\n", "\u3000\u3000gas:\n"))
    assert len(loaded.faults.found) > len(loaded.lines())
    assert summary(loaded.faults, "en").startswith(f"{len(loaded.errors())} error(s), {len(loaded.warnings())} warn")


def test_loopback_needs_no_tls(spoil):
    for host in ("localhost", "127.0.0.2", '"::1"'):
        for login in ("", ", username: lou, password_file: p"):
            assert spoil(("host: mqtt.example, tls: true", f"host: {host}{login}")).lines() == []


def test_each_address_without_tls_that_leaves_the_machine_is_warned_of(spoil):
    lines = spoil(("host: mqtt.example, tls: true", "host: [localhost, b.example, c.example]")).lines()
    assert [line.split(": ")[1:3] for line in lines] == [["warning", "street"]] * 2
    assert "b.example" in lines[0]
    assert "c.example" in lines[1]


def test_a_broker_is_an_address_or_a_list_of_them_each_with_a_port_if_it_has_its_own(spoil):
    def brokers(written):
        loaded = spoil(("host: mqtt.example", f"host: {written}"))
        assert loaded.lines() == []
        return [(broker.host, broker.port) for broker in loaded.site.uplinks["street"].brokers]

    assert brokers("mqtt.example") == [("mqtt.example", 8883)]
    assert brokers("[a.example, 'b.example:1884', a.example]") == [("a.example", 8883), ("b.example", 1884)]
    assert brokers("['fd00::1', '[fd00::2]', '[fd00::3]:1884', 192.168.1.9]") == [
        ("fd00::1", 8883), ("fd00::2", 8883), ("fd00::3", 1884), ("192.168.1.9", 8883),
    ]  # fmt: skip


def test_all_faults_come_at_once_one_line_each_in_the_order_of_the_file(load, good):
    text = good
    mistakes = [
        ("site: garden", "site: GARDEN"),
        ("name: 花园", "nmae: 花园"),
        ("login: pi", "login: Pi!"),
        ("roles: [answer, shelve]", "roles: [king]"),
        ("community: [boss]", "community: [nobody]"),
        ("street: [boss]", "street: 12:30"),
        ("profile: gas, unit_id: 1", "profile: gsa, unit_id: 0x01"),
        ("unit_id: 2, place: b1/s1}", "unit_id: 999, place: b1/s9}"),
        ("A4:C1:38:00:00:01", "nonsense"),
        ("heartbeat: 1h", "heartbeat: NO"),
        ("host: 192.168.1.2", "host: here"),
        ("vendor: hikvision", "vendor: acme"),
        ("feedback_means: shut", "feedback_means: shut, loud: true"),
        ("tls: true", "tls: true, port: 70000"),
        ("rules: []", "rules: []\nrules: []"),
    ]
    for old, new in mistakes:
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    loaded = load(text)
    at = [int(line.split(":")[1]) for line in loaded.errors()]
    assert at == [1, 3, 10, 11, 15, 16, 22, 22, 23, 23, 25, 25, 26, 28, 30, 32, 34], loaded.errors()


def test_a_mistake_makes_no_second_fault_where_others_speak_of_it(spoil):
    """The relay's profile is unknown; its output and feedback are not blamed for that."""
    loaded = spoil(("profile: relay,", "profile: realy,"))
    assert len(loaded.errors()) == 1
    assert loaded.errors()[0].startswith("site.yaml:23: error: relay-1: there is no profile “realy”")


def test_a_section_that_cannot_be_read_blames_nobody_who_speaks_of_it(load, good):
    start, end = good.index("places:"), good.index("people:")
    loaded = load(good[:start] + "places:\n  b1：1号楼\n" + good[end:])
    assert loaded.errors() == ["site.yaml:5: error: The colon here is the full-width “：”; write “:” and a space."]
    assert [line.split(" is missing")[0] for line in load(good[:start] + good[end:]).errors()] == [
        "site.yaml:1: error: site.yaml: places"
    ]
    start, end = good.index("people:"), good.index("grid:\n")
    assert len(load(good[:start] + "people: NO\n" + good[end:]).errors()) == 1
    assert (
        len(load(good[:start] + good[end:]).errors()) == 5
    )  # nobody is declared: every line that names somebody is at fault


def test_json_objects_carry_file_line_level_key_and_message(spoil):
    from gateway.site.report import objects

    loaded = spoil(("tls: true", "tls: 1"), ("unit_id: 2,", "unit_id: 255,"))
    warning, error = (
        o for o in objects(loaded.faults, "en") if o["line"] in {23, 32} and o["key"] != "fault.plaintext"
    )
    assert error["key"] == "fault.not_flag"
    assert error["level"] == "error"
    assert error["fields"] == {"name": "street", "field": "tls", "given": "1"}
    assert str(error["file"]).endswith("site.yaml")
    assert warning["level"] == "warning"
    assert "255" in str(warning["message"])


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("Asia/Beijing", "Asia/Shanghai"), ("Asia/Bejing", "Asia/Shanghai"), ("Beijing", "Asia/Shanghai"), ("UTC+8", "Asia/Shanghai"),
        ("北京时间", "Asia/Shanghai"), ("Asia/Hong_Kon", "Asia/Hong_Kong"), ("Asia/Brunai", "Asia/Brunei"), ("Europe/Berln", "Europe/Berlin"),
        ("GMT+3", ""),
    ],
)  # fmt: skip
def test_whoever_writes_a_zone_that_is_none_is_told_the_one_he_meant(spoil, written, meant):
    """No tz database knows Beijing; and what looks nearest to UTC+8 lies on the other side of Greenwich."""
    loaded = spoil(("name: 花园", f'timezone: "{written}"'))
    (fault,) = [fault for fault in loaded.faults.errors if fault.key == "fault.unknown_zone"]
    assert dict(fault.fields)["near"] == meant


def test_of_a_place_that_has_no_form_that_alone_is_said(spoil):
    """Not that its parents have no name, nor that nobody stands there."""
    loaded = spoil(("  gate: 大门", "  gate: 大门\n  3号楼/1单元: 一单元"))
    assert [line.split(" has the")[0] for line in loaded.lines()] == [
        "site.yaml:9: error: places: 3号楼/1单元 “3号楼/1单元”"
    ]


def test_a_device_that_stands_too_far_to_the_left_is_told_where_it_belongs(spoil):
    """The word most like ``relay-1`` among the fields of a bus is ``reply``, which nobody meant."""
    loaded = spoil((f"      {RELAY}", f"    {RELAY}"))
    assert loaded.errors() == [
        "site.yaml:23: error: gas: relay-1 looks like a device; write it below devices, indented further than devices itself."
    ]
    assert "缩进要比 devices 多一级" in loaded.lines("zh-CN")[0]


def test_passive_scanning_warns_of_the_buttons_it_may_miss(spoil):
    loaded = spoil(("buttons:", "radio: {scan: passive}\nbuttons:"))
    assert loaded.lines() == []
    loaded = spoil(("buttons:", "radio: {scan: passive}\nbuttons:"), ("key_file: k,", "format: flag,"))
    assert loaded.warnings()[0].startswith(
        "site.yaml:24: warning: radio: scanning passively, BlueZ keeps repeated frames"
    )
    assert "sos-101" in loaded.warnings()[0]
