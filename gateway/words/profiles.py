"""Words of `loudong profiles`: key -> (zh-CN, en). Faults of a profile's fields are in ``products.py``."""

from __future__ import annotations

SENTENCES: dict[str, tuple[str, str]] = {
    "cli.profiles": ("设备型号库：查看、检查、新建", "the library of device profiles: look, check, begin a new one"),
    "cli.profiles.list": ("列出所有型号", "every product known"),
    "cli.profiles.show": ("显示一个型号的全部内容", "all about one product"),
    "cli.profiles.check": (
        "检查型号文件：每个错误、每处疑点、每个示例",
        "check profile files: every fault, every doubt, every example",
    ),
    "cli.profiles.new": ("输出一份带注释的新型号文件，供填写", "print a commented profile to be filled in"),
    "cli.profiles.schema": ("输出型号文件的 JSON Schema", "print the JSON Schema of a profile file"),
    "cli.profiles.id": ("型号编号，或 .yaml 文件", "id of a product, or a .yaml file"),
    "cli.profiles.files": ("型号文件，或装有型号文件的目录", "profile files, or folders of them"),
    "cli.profiles.kind": ("设备种类", "kind of device"),
    "cli.profiles.beside": (
        "还要读取的目录（小区文件旁的 profiles/）",
        "a further folder (profiles/ beside a site file)",
    ),
    "cli.profiles.no_folder": ("没有目录 {given}。", "There is no folder {given}."),
    "cli.profiles.none_there": (
        "{given} 里没有型号文件（一个产品一个 .yaml 文件）。{near}",
        "There are no profiles in {given} (each product is a .yaml file). {near}",
    ),
    "cli.no_such_profile": ("没有型号“{given}”。{near}", "There is no profile “{given}”. {near}"),
    "cli.no_such_kind": (
        "没有“{given}”这一种；可以是：{known}。",
        "There is no kind “{given}”; it is one of: {known}.",
    ),
    "profiles.played": (
        "{file}：{points} 个点位，{examples} 个示例。",
        "{file}: {points} points, {examples} examples.",
    ),
    "profiles.count": ("共 {n} 个型号。", "{n} products."),
    "profiles.status.manual": ("有说明书", "from a manual"),
    "profiles.status.field": ("现场用过", "seen working"),
    "profiles.status.unverified": ("未核实", "unverified"),
    "profiles.kind.gas-detector": ("可燃气体探测器", "gas detector"),
    "profiles.kind.smoke-detector": ("感烟探测器", "smoke detector"),
    "profiles.kind.co-detector": ("一氧化碳探测器", "CO detector"),
    "profiles.kind.heat-detector": ("感温探测器", "heat detector"),
    "profiles.kind.water-detector": ("水浸探测器", "water detector"),
    "profiles.kind.air-sensor": ("空气质量传感器", "air sensor"),
    "profiles.kind.electric-monitor": ("电气火灾监控", "electric monitor"),
    "profiles.kind.meter": ("计量仪表", "meter"),
    "profiles.kind.ups": ("不间断电源", "UPS"),
    "profiles.kind.heater": ("电暖", "heater"),
    "profiles.kind.relay": ("继电器", "relay"),
    "profiles.kind.inputs": ("输入模块", "input module"),
    "profiles.kind.siren": ("声光报警器", "siren"),
    "profiles.kind.valve": ("阀门", "valve"),
    "profiles.kind.other": ("其他", "other"),
    "profiles.head": (
        "{id} · {kind} · {name}\n依据：{status}，{source}",
        "{id} · {kind} · {name}\nSource: {status}, {source}",
    ),
    "profiles.shipped": (
        "出厂：串口格式 {format}，地址 {unit}。",
        "As it ships: serial format {format}, unit id {unit}.",
    ),
    "profiles.unknown": ("不详", "not known"),
    "profiles.switches": ("用拨码开关设", "set by switches"),
    "profiles.paced": (
        "最慢应答 {timeout}；两次询问间隔 {guard}；一次最多读 {max_read} 个寄存器。",
        "Slowest answer {timeout}; pause between questions {guard}; at most {max_read} registers a read.",
    ),
    "profiles.assumed": ("不详（按 {length} 算）", "not known (reckoned with {length})"),
    "profiles.set_points": (
        "请设定为：低报 {low}，高报 {high}。",
        "To be set to alarm at {low} (low) and {high} (high).",
    ),
    "profiles.ex_rated": ("防爆：{marking}。", "Built for explosive air: {marking}."),
    "profiles.warm_up": ("预热：{length}。", "Warms up for {length}."),
    "profiles.none.ex_rated": ("说明书：不可用于爆炸性气体环境。", "Not for explosive air, says the manual."),
    "profiles.none.warm_up": ("说明书：无需预热。", "Needs no warm-up, says the manual."),
    "profiles.none.self_test": ("说明书：没有自检。", "Has no self-test, says the manual."),
    "profiles.none.reset": ("说明书：不能复位。", "Cannot be reset, says the manual."),
    "profiles.comma": ("、", ", "),
    "profiles.silent": ("说明书没有提到：{what}。", "The manual says nothing of: {what}."),
    "profiles.what.ex_rated": ("防爆", "explosive air"),
    "profiles.what.warm_up": ("预热", "warm-up"),
    "profiles.what.self_test": ("自检", "self-test"),
    "profiles.what.reset": ("复位", "reset"),
    "profiles.side.above": ("高于设定值报警", "alarms above"),
    "profiles.side.below": ("低于设定值报警", "alarms below"),
    "profiles.side.outside": ("超出上下限报警", "alarms outside"),
    "profiles.alarms_at": ("报警代码：{codes}", "alarms: {codes}"),
    "profiles.yes_at": ("{values} 为是", "yes: {values}"),
    "profiles.yes_above": ("大于 {limit:g} 为是", "yes: above {limit:g}"),
    "profiles.latched": ("锁存", "latched"),
    "profiles.immediate": ("不锁存", "not latched"),
    "profiles.latch_set": ("是否锁存，看设备怎么设", "latched or not, as it is set"),
    "profiles.latch_unknown": ("是否锁存：不详", "latched: not known"),
    "profiles.writable": ("可写", "writable"),
    "profiles.no_bit": ("无任何位", "no bit set"),
    "profiles.deed": (
        "{what}：向 {space} {address} 写入 {value}。",
        "{what}: write {value} to {space} {address}.",
    ),
    "profiles.deed_code": (
        "{what}：向 {space} {address} 写入其中一个值：{codes}。",
        "{what}: write one of these to {space} {address}: {codes}.",
    ),
    "profiles.deed_choice": (
        "{what}：向 {space} {address} 写入 {low} 到 {high} 之间的值。",
        "{what}: write a value between {low} and {high} to {space} {address}.",
    ),
    "profiles.deed_start": ("（每次上线时由网关写入）", " (by the gateway whenever it comes)"),
    "profiles.deed_by_hand": ("（由人写入一次）", " (once, by a person)"),
    "profiles.self_test": ("自检", "Self-test"),
    "profiles.reset": ("复位", "Reset"),
    "profiles.examples": (
        "示例 {n} 个：说明书印的 {printed}，实录的 {captured}，照说明编的 {described}，没有说明书、自拟的 {assumed}。",
        "Examples: {n} — {printed} printed in the manual, {captured} captured, {described} made as described, {assumed} assumed.",
    ),
    "profiles.writes": ("写入时线上的报文：", "What goes on the wire:"),
    "profiles.write_on": ("{point} 接通", "{point} on"),
    "profiles.write_off": ("{point} 断开", "{point} off"),
    "profiles.write_pulse": ("（脉冲 {length}）", " (pulse {length})"),
    "profiles.told": ("{origin}：{at}", "{origin}: {at}"),
    "profiles.origin.printed": ("说明书印的", "printed"),
    "profiles.origin.captured": ("实录的", "captured"),
    "profiles.origin.described": ("照说明编的", "made as described"),
    "profiles.origin.assumed": ("自拟的", "assumed"),
    # Doubts (gateway/site/profile_lint.py)
    "fault.profile_no_max_read": (
        "型号 {name}：没写 max_read；说明书里一次最多能读几个寄存器？",
        "profile {name}: no max_read; how many registers may one read have, by the manual?",
    ),
    "fault.profile_no_notation": (
        "型号 {name}：没写 notation 和 vendor；编号是从 0 还是从 1 数，无从核对。",
        "profile {name}: neither notation nor vendor: nobody can check whether its numbers count from 0 or 1.",
    ),
    "fault.profile_vendor_taken_as_wire": (
        "{name}：没写 notation，vendor {vendor} 按线上地址算；说明书若从 1 数，就差了一个。请写明 notation。",
        "{name}: no notation, so vendor {vendor} is taken as on the wire; off by one if the manual counts from 1. State notation.",
    ),
    "fault.profile_no_examples": (
        "型号 {name}：没有 examples；请写下一组寄存器和应得的值。",
        "profile {name}: no examples; write down some registers and what they must read as.",
    ),
    "fault.profile_unwritten": (
        "型号 {name}：没有示例写明接通 {point} 时线上发什么；请照说明书写一个带 writes 的示例。",
        "profile {name}: no example shows what goes on the wire when {point} is switched on; write one with writes.",
    ),
    "fault.profile_unpulsed": (
        "型号 {name}：没有示例写明 {point} 的脉冲在线上发什么；请写一个带 writes 和 pulse 的示例。",
        "profile {name}: no example shows what goes on the wire for a pulse of {point}; write one with writes and pulse.",
    ),
    "fault.profile_no_origin": (
        "型号 {name}：示例“{example}”没写 origin：printed（说明书印的）、captured（实录的）还是 described（照说明编的）？",
        "profile {name}: the example “{example}” has no origin: printed in the manual, captured, or made as described?",
    ),
    "fault.profile_vague_source": (
        "型号 {name}：source 没有页码或网址，别人无法核对。",
        "profile {name}: source names no page and no address; nobody can look it up.",
    ),
    "fault.profile_not_verified": (
        "型号 {name}：寄存器没有佐证；用之前请实测每个点位。",
        "profile {name}: its registers are backed by nothing; test every point before use.",
    ),
    "fault.profile_no_set_points": (
        "型号 {name}：没写 set_points（这种设备应设在多少 %LEL 报警）。",
        "profile {name}: no set_points (at how many %LEL is it to be set to alarm?).",
    ),
    "fault.profile_no_alarm_point": (
        "型号 {name}：{kind} 没有 class: alarm 的点位，报警要等几秒才会被发现。",
        "profile {name}: a {kind} without a point of class alarm: its danger would be seen seconds late.",
    ),
    "fault.profile_no_trouble": (
        "型号 {name}：没有任何点位能说明传感器失效（状态、无效值、量程）。",
        "profile {name}: nothing tells that its sensor has failed (a status, a sentinel, the end of its range).",
    ),
    "fault.profile_alarm_without_class": (
        "{name}：报警点位没写 class: alarm，只会每几秒读一次。",
        "{name}: an alarm point without class: alarm is read every few seconds only.",
    ),
    "fault.profile_no_side": (
        "{name}：没写 alarm_when；高于（above）还是低于（below）设定值才危险？",
        "{name}: no alarm_when; is it dangerous above its set points, or below?",
    ),
    "fault.profile_latched_no_reset": (
        "{name}：设备锁存这个报警，却没写怎样复位（reset）。",
        "{name}: the device latches this alarm, and nothing says how it is reset.",
    ),
    "fault.profile_beat_too_slow": (
        "{name}：period 太长，心跳变化会被漏看。",
        "{name}: its period is too long to see the heartbeat move.",
    ),
    "fault.profile_output_without_class": (
        "{name}：输出点位请写 class: feedback，好及时看到它的状态。",
        "{name}: give an output class: feedback, so that its state is seen in time.",
    ),
    "fault.profile_placeholder": (
        "型号 {name}：{field} 还是模板里的“{given}”，请改成真实的。",
        "profile {name}: {field} is still “{given}” as in the template; write the real one.",
    ),
    "fault.profile_unheard": (
        "型号 {name}：内置规则听不到这种 {kind}：没有约定的报警点位。",
        "profile {name}: no built-in rule would hear this {kind}: it has none of the points they listen to.",
    ),
    "fault.profile_example": (
        "型号 {name}：示例“{example}”里 {point} 应为 {wanted}，读出的是 {given}。",
        "profile {name}: in the example “{example}” {point} should be {wanted}, but reads {given}.",
    ),
    "fault.profile_example_unread": (
        "型号 {name}：示例“{example}”读不到 {point}：请给全它的寄存器，以及说明它可不可信的状态寄存器。",
        "profile {name}: the example “{example}” does not read {point}: give all its registers, and those of each status that speaks for it.",
    ),
    "fault.profile_example_write": (
        "型号 {name}：示例“{example}”里写 {point} 应发 {wanted}，网关发出的是 {given}。",
        "profile {name}: in the example “{example}” a write of {point} should send {wanted}, but sends {given}.",
    ),
    "fault.profile_example_answer": (
        "型号 {name}：示例“{example}”里写 {point} 的应答 {given} 网关不会当作应答。",
        "profile {name}: in the example “{example}” the gateway would not take {given} for the answer to its write of {point}.",
    ),
    "profiles.skeleton": (
        """\
# 新设备型号：逐项填写，删掉用不到的行，然后运行 loudong profiles check 本文件.yaml
# 寄存器请照说明书写；拿不准的写 status: unverified，用测试气体等逐点实测。
id: {id} # 小写字母、数字、连字符；全库唯一
kind: {kind}
name:
  zh: 请填写中文名称
  en: please fill in
status: unverified          # manual 有说明书 | field 现场用过 | unverified 未核实
source: "说明书名称、版本、页码或网址"
notation: modicon           # 说明书的编号：modicon（40001 起）| counted（从 1 数）| wire（线上地址，从 0）| modicon-0
baud: 9600                  # 出厂设置；这六行（max_read 除外）说明书没提的就删掉：不写表示不详
parity: none                # none | even | odd
stop_bits: 1
unit_id: 1                  # 出厂地址；拨码的写 0
max_read: 10                # 一次最多读几个寄存器
guard: 20ms                 # 两次询问之间至少间隔；说明书说不用的写 0
timeout: 300ms              # 最慢多久应答
# no_read: [[13, 14]]       # 绝不能读的地址
# warm_up: 3min             # 预热多久（状态寄存器自己会说的不用写）；说明书说没有就写 none，没提就别写
# ex_rated: Ex d IIC T6     # 防爆标志；说明书说不防爆就写 none
# self_test: none           # 自检怎么写入：{{ vendor: "40003", value: 1 }}；reset 同样
{body}""",
        """\
# A new product: fill in each line, delete what it does not need, then run: loudong profiles check THIS-FILE.yaml
# Take registers from the manual; what you are not sure of is status: unverified, and is tried on site point by point.
id: {id} # a-z 0-9 and hyphens; used once
kind: {kind}
name:
  zh: 请填写中文名称
  en: please fill in
status: unverified          # manual | field (seen working) | unverified
source: "name of the manual, version, page or address"
notation: modicon           # how the manual counts: modicon (from 40001) | counted (from 1) | wire (as on the wire, from 0) | modicon-0
baud: 9600                  # as it ships; of these lines (but max_read) delete what the manual does not tell: absent is not known
parity: none                # none | even | odd
stop_bits: 1
unit_id: 1                  # as it leaves the factory; 0 where switches set it
max_read: 10                # registers in one read at most
guard: 20ms                 # least pause between two questions; 0 where the manual wants none
timeout: 300ms              # its slowest answer
# no_read: [[13, 14]]       # addresses never to read
# warm_up: 3min             # not needed where a status register tells; none where the manual says so; absent where it is silent
# ex_rated: Ex d IIC T6     # its marking; none where the manual says that it is not for explosive air
# self_test: none           # the write that starts it, {{ vendor: "40003", value: 1 }}; reset alike
{body}""",
    ),
    "profiles.skeleton_sensor": (
        """\
{set_points}
points:
  # 状态寄存器：它的值说明其他点位可不可信
  status:
    vendor: "40006"         # 说明书上的编号
    class: alarm
    enum:
      0: warm_up
      1: ok
      3: sensor_fault
    quality_of:
      warm_up: warm_up
      sensor_fault: sensor_fault
  # 报警点位：名称见 docs/zh/profiles.md，内置规则按名称监听
  {alarm}:
    vendor: "40002"
    class: alarm            # 每 0.5 秒读一次
{alarm_more}
  temperature:
    vendor: "40008"
    type: int16             # 有符号
    scale: 0.1
    unit: "°C"
    resolution: 0.3         # 变化多少才上报
    low: -40
    high: 85
    class: slow             # 每 30 秒读一次
examples:
  - name: 正常，21.5 度
    origin: described       # printed 说明书印的（再写 at: 第几页）| captured 实录的 | described 照说明编的 | assumed 凭记忆
    # 说明书若印了整帧，可照抄：request: 01 03 00 00 00 02 C4 0B 和 answer: …，不必再写下面的寄存器
    holding:
      1: 1                  # 线上地址（40002 就是 1）: 寄存器的值
      5: 1
      7: 215
    gives:
      status: ok
      temperature: 21.5
""",
        """\
{set_points}
points:
  # A status register: its value says how far the other points may be believed.
  status:
    vendor: "40006"         # the number in the manual
    class: alarm
    enum:
      0: warm_up
      1: ok
      3: sensor_fault
    quality_of:
      warm_up: warm_up
      sensor_fault: sensor_fault
  # The alarm point: its name is what the built-in rules listen to, see docs/profiles.md.
  {alarm}:
    vendor: "40002"
    class: alarm            # read every 0.5 s
{alarm_more}
  temperature:
    vendor: "40008"
    type: int16             # signed
    scale: 0.1
    unit: "°C"
    resolution: 0.3         # report when it moved this far
    low: -40
    high: 85
    class: slow             # read every 30 s
examples:
  - name: all well at 21.5 degrees
    origin: described       # printed in the manual (with at: page …) | captured | described | assumed (from memory)
    # Where the manual prints frames, copy them: request: 01 03 00 00 00 02 C4 0B and answer: …, in place of the registers below.
    holding:
      1: 1                  # address on the wire (40002 is 1): what the register holds
      5: 1
      7: 215
    gives:
      status: ok
      temperature: 21.5
""",
    ),
    "profiles.skeleton_output": (
        """\
points:
  # 输出：在 site.yaml 的 outputs 里写明它接的是阀门、声光报警器还是风机
  {point}:
    vendor: "00001"         # 线圈；写寄存器的用 "40002"，并写 write_on、write_off、true_when
    class: feedback         # 一直回读，证明写入生效
    writable: true
    # pulse: 500ms          # 接通后设备自己断开（点动）
    # repeat: 20s           # 多久必须重写一次，否则设备自己断开
examples:
  - name: 第一路接通
    origin: described       # printed 说明书印的（再写 at: 第几页）| captured 实录的 | described 照说明编的 | assumed 凭记忆
    coil:
      0: 1                  # 线上地址（00001 就是 0）: 1 为接通
    gives:
      {point}: true
  - name: 写第一路接通
    origin: described
    # 说明书若印了整帧，可照抄：request: 01 05 00 00 FF 00 8C 3A，不必再写下面的 coil
    writes:
      {point}: true
    coil:
      0: 0xFF00             # 线上地址: 线上的 16 位；线圈的标准写法是 0xFF00
""",
        """\
points:
  # An output; outputs in site.yaml says whether a valve, a siren or a fan hangs on it.
  {point}:
    vendor: "00001"         # a coil; for a register "40002" with write_on, write_off and true_when
    class: feedback         # read back always: proof that a write worked
    writable: true
    # pulse: 500ms          # on ends by itself after this long
    # repeat: 20s           # on must be written again this often, else the device ends it
examples:
  - name: the first channel is on
    origin: described       # printed in the manual (with at: page …) | captured | described | assumed (from memory)
    coil:
      0: 1                  # address on the wire (00001 is 0): 1 is on
    gives:
      {point}: true
  - name: the first channel is switched on
    origin: described
    # Where the manual prints the frame, copy it: request: 01 05 00 00 FF 00 8C 3A, in place of the coil below.
    writes:
      {point}: true
    coil:
      0: 0xFF00             # address on the wire: its 16 bits there; the standard's for a coil is 0xFF00
""",
    ),
}
