"""Words for faults of what the site file lists: buses, devices, buttons, doors, outputs: key -> (zh-CN, en)."""

from __future__ import annotations

SENTENCES: dict[str, tuple[str, str]] = {
    # Buses and devices
    "fault.device_outdented": (
        "{name}：{field} 像是一台设备；设备写在 devices 下面，缩进要比 devices 多一级。",
        "{name}: {field} looks like a device; write it below devices, indented further than devices itself.",
    ),
    "fault.port_or_host": (
        "{name}：port（串口）、host（网络）、listen（等设备拨入）要写一个，且只写一个。",
        "{name}: give port (serial), host (network) or listen (it dials in), and only one.",
    ),
    "fault.port_shifts": (
        "{name}：{given} 的编号拔插后会变；请用 /dev/serial/by-path/ 下的名字。",
        "{name}: the number in {given} changes when plugged anew; use the name under /dev/serial/by-path/.",
    ),
    "fault.line_behind": (
        "{name}：{given} 上有多个 unit_id，多半是网关后面接着一条 RS-485 线：是就写 line_behind: true（连同波特率等），否则写 line_behind: false；不写，应答时间和串口格式都没按线路核对。",
        "{name}: several unit ids at {given} are most likely a gateway to an RS-485 line: say line_behind: true (with its baud and the rest), else line_behind: false; unsaid, neither ages nor serial formats are checked for a line.",
    ),
    "fault.no_line": ("{name}：网络总线用不到 {field}。", "{name}: {field} means nothing on a network bus."),
    "fault.overbooked": (
        "{name}：总线排得太满：占用 {load}（最多 {most}），其中报警点 {alarms}（最多 {most_alarms}）；请减少设备、放慢点位或提高波特率。",
        "{name}: the bus is overbooked: {load} of its time is asked for (at most {most}), {alarms} by alarm points (at most {most_alarms}); take devices off it, read points less often, or raise the baud rate.",
    ),
    "fault.alarm_ages": (
        "{name}：{given} 在总线 {bus} 上最坏要 {worst} 秒才更新一次，超过 max_age（{most} 秒），没有故障也会被当作失联；请放宽 max_age，或让总线空一些。",
        "{name}: {given} may be {worst} s old on bus {bus} though nothing is wrong, and counts as lost after max_age ({most} s); allow a longer max_age, or ask less of the bus.",
    ),
    "fault.alarms_beyond_guard": (
        "{name}：每分钟要问它 {times} 次（{given}），而它每次应答后要停 {guard}（guard），最多只能问 {most} 次，报警点会读得晚；请在型号 {profile} 里把这些点的 period 放长，或让一次询问读到更多的点（max_read、max_hole）；说明书允许，也可以缩短 guard。",
        "{name}: is to be asked {times} times a minute ({given}), and with its pause of {guard} after each answer (guard) takes {most} at most, so that its alarm points are read late; in profile {profile} give these points a longer period, or let one question read more of them (max_read, max_hole), or a shorter guard where the manual allows it.",
    ),
    "fault.asked_beyond_guard": (
        "{name}：每分钟要问它 {times} 次（{given}），而它每次应答后要停 {guard}（guard），最多只能问 {most} 次，不是报警的点会比 period 读得少；请在型号 {profile} 里把这些点的 period 放长，或让一次询问读到更多的点（max_read、max_hole）；说明书允许，也可以缩短 guard。",
        "{name}: is to be asked {times} times a minute ({given}), and with its pause of {guard} after each answer (guard) takes {most} at most, so that its points that are no alarms are read less often than their period says; in profile {profile} give these points a longer period, or let one question read more of them (max_read, max_hole), or a shorter guard where the manual allows it.",
    ),
    "fault.seven_bits": (
        "{name}：Modbus RTU 每个字节 8 位，不能用 7 个数据位（那是 Modbus ASCII）。",
        "{name}: Modbus RTU sends bytes of 8 bits; 7 data bits belong to Modbus ASCII.",
    ),
    "fault.anybody_dials": (
        "{name}：既没有 registration 也没有 dials_from，谁拨入都会被当成这条总线。",
        "{name}: neither registration nor dials_from: whoever dials in is taken for this bus.",
    ),
    "fault.end_twice": (
        "{name}：{given} 已被另一条总线使用（{first}）。",
        "{name}: {given} belongs to another bus already ({first}).",
    ),
    "fault.unit_zero": (
        "{name}：unit_id 0 是广播地址，设备不能用；应为 1 到 255（248 到 255 会警告）。",
        "{name}: unit_id 0 is the broadcast address; a device has 1 to 255 (248 to 255 are warned of).",
    ),
    "fault.unit_reserved": (
        "{name}：unit_id {given} 超出标准的 1 到 247，有些设备出厂如此；能改就改掉。",
        "{name}: unit_id {given} is beyond the standard's 1 to 247; some devices ship so, change it if you can.",
    ),
    "fault.unit_twice": (
        "{name}：总线 {bus} 上 unit_id {given} 已被占用（{first}）。",
        "{name}: unit_id {given} is taken on bus {bus} ({first}).",
    ),
    "fault.serial_format": (
        "{name}：设备出厂是 {given}，总线 {bus} 是 {line}；一条总线只能有一种串口格式，请改设备设置并在总线上写明 baud、parity、stop_bits。",
        "{name}: the device ships with {given} but bus {bus} runs at {line}; a line has one format: set the device, and state baud, parity, stop_bits on the bus.",
    ),
    "fault.serial_format_to_be_set": (
        "{name}：设备出厂是 {given}，总线 {bus} 写明 {line}；请先把设备改成 {line}，否则它不会应答。",
        "{name}: the device ships with {given} and bus {bus} is stated to run at {line}; set the device to that, or it will not answer.",
    ),
    "fault.profile_unverified": (
        "{name}：型号“{profile}”的寄存器没有说明书佐证；请实测每个点位。",
        "{name}: the registers of profile “{profile}” are not backed by a manual; test every point on site.",
    ),
    "fault.profile_suffix": (
        "这个型号文件没有读：文件名要以 .yaml 结尾，请改名为 {wanted}。",
        "This profile is not read: its name must end in .yaml; call it {wanted}.",
    ),
    "fault.profile_replaced": ("型号“{name}”替换了 {other}。", "The profile “{name}” replaces {other}."),
    "fault.zones_unheard": (
        "{name}：内置规则只读取第一路，没有任何“紧急”“高”或生命安全规则读取型号 {profile} 的 {given}；请为其写一条规则。",
        "{name}: the built-in rules know only the first zone, and no critical, high or life-safety rule reads {given} of profile {profile}; give them a rule.",
    ),
    "fault.rule_wrong_way": (
        "{name}：规则 {rule} 等 {point} {given} 限值，而这种设备是 {side} 设定值才危险。",
        "{name}: rule {rule} waits for {point} to be {given} its limit, but this product is dangerous {side} its set points.",
    ),
    "fault.points_unheard": (
        "{name}：没有任何规则读取型号 {profile} 的报警点位 {given}；它们报警时无人知道。",
        "{name}: no rule reads {given}, points of class alarm of profile {profile}; nobody hears of them.",
    ),
    "fault.detector_unheard": (
        "{name}：没有任何“紧急”“高”或生命安全规则读取这台 {kind}（型号 {profile}，点位 {given}）的报警点位，它永远不会报警。",
        "{name}: no critical, high or life-safety rule reads a point by which this {kind} (profile {profile}, points {given}) could tell of danger; it would never raise an alert.",
    ),
    # Buttons and doors
    "fault.address_twice": (
        "{name}：蓝牙地址 {given} 已用于另一个按钮（{first}）。",
        "{name}: the address {given} belongs to another button ({first}).",
    ),
    "fault.button_in_clear": (
        "{name}：没有 key_file，按钮明文发送，别人可以伪造。",
        "{name}: no key_file: the button sends in clear and can be forged.",
    ),
    "fault.button_forgeable": (
        "{name}：{given} 格式没有加密，附近任何人都能伪造或重放它的信号；紧急按钮最好用带密钥的 bthome 或 mibeacon。",
        "{name}: {given} frames carry no key, so anybody nearby can forge or repeat them; better a button with bthome or mibeacon and a key.",
    ),
    "fault.button_connects": (
        "{name}：gatt 按钮要一直保持连接，断线期间按了也听不到，且每个适配器只能连很少几个；不建议作紧急按钮。",
        "{name}: a gatt button must stay connected, what is pressed while it is not is never heard, and an adapter holds only a few; not advised as a panic button.",
    ),
    "fault.not_of_format": (
        "{name}：{field} 不是 {format} 格式的字段。",
        "{name}: {field} is no field of format {format}.",
    ),
    "fault.sign_needed": (
        "{name}：{format} 格式要写明按下时（pressed）或平时（idle）的样子，至少一个；可用 loudong learn 学到。",
        "{name}: format {format} needs to know how the frame looks pressed or idle, at least one of the two; loudong learn finds out.",
    ),
    "fault.sign_empty": ("{name}：这里什么都没有写。", "{name}: it says nothing."),
    "fault.sign_both": ("{name}：{one} 和 {other} 只能写一种。", "{name}: give either {one} or {other}."),
    "fault.signs_alike": (
        "{name}：pressed 和 idle 一样，分不出有没有按下。",
        "{name}: pressed and idle are the same, so nobody could tell them apart.",
    ),
    "fault.service_or_company": (
        "{name}：service 和 company 必须写一个，也只能写一个。",
        "{name}: give either service or company, and only one.",
    ),
    "fault.mask_length": ("{name}：mask 要和 data 一样长。", "{name}: mask must be as long as data."),
    "fault.mask_blank": ("{name}：mask 全是 0，什么都比不出来。", "{name}: mask is all zero, so nothing would count."),
    "fault.adapter_twice": ("radio：适配器 {given} 写了两次。", "radio: the adapter {given} is named twice."),
    "fault.adapter_shifts": (
        "radio：有多个适配器时请写地址；hci0、hci1 的编号会随插拔变化。",
        "radio: of several adapters give the addresses; hci0 and hci1 are numbered in the order of plugging in.",
    ),
    "fault.passive_misses": (
        "radio：被动扫描时 BlueZ 不报告内容相同的重复帧，{buttons} 连按两次可能只算一次。",
        "radio: scanning passively, BlueZ keeps repeated frames of the same content to itself: of two presses in a row of {buttons} one may be missed.",
    ),
    "fault.no_heartbeat": (
        "{name}：没有 heartbeat，按钮没电或丢失时不会知道。",
        "{name}: no heartbeat: nobody will notice when it is dead or gone.",
    ),
    "fault.not_sos": (
        "{name}：按法“{given}”不再当作求助；老人常常按错，请三思。",
        "{name}: a “{given}” press no longer means SOS; people in need press as they can.",
    ),
    "fault.terminal_twice": (
        "{name}：{field} {given} 与另一台门口机（{first}）相同，分不清是谁。",
        "{name}: {field} {given} is that of another terminal ({first}); they cannot be told apart.",
    ),
    "fault.bad_ip": ("{name}：{field}“{given}”不是 IP 地址。", "{name}: {field} “{given}” is no IP address."),
    "fault.mapping_unnamed": (
        "{name}：time、seq、id 至少写一个，否则分不清两次事件和一次重发。",
        "{name}: give time, seq or id, else two events cannot be told from one sent twice.",
    ),
    "fault.mapping_undated": (
        "{name}：既没有 time 也没有 replay，没有一件事能算是正在发生，所以不会触发任何告警。",
        "{name}: with neither time nor replay no event counts as happening now, so none raises an alert.",
    ),
    "fault.https_unproven": (
        "{name}：https 没有写 history.ca_file，任何证书都会被接受",
        "{name}: https without history.ca_file believes any certificate",
    ),
    "fault.door_no_address": (
        "{name}：没有 address，任何地址知道令牌就能冒充它。",
        "{name}: no address: whoever knows the token can pose as it from anywhere.",
    ),
    "fault.door_no_token_file": (
        "{name}：没有 token_file；没有令牌的推送一律不收。",
        "{name}: no token_file: without a token its pushes are refused.",
    ),
    "fault.listens_everywhere": (
        "listener 在所有网口（{host}）上听；请写门口机所在网口的地址。",
        "The listener listens on every interface ({host}); give the address of the terminals' network.",
    ),
    # Outputs
    "fault.not_writable": (
        "{name}：{given} 是只读点位，不能作输出。",
        "{name}: {given} cannot be written, so it cannot be an output.",
    ),
    "fault.point_twice": (
        "{name}：{given} 已是另一个输出（{first}）。",
        "{name}: {given} is another output already ({first}).",
    ),
    "fault.valve_unproven": (
        "{name}：没有 feedback，阀门真关没关无从证明。",
        "{name}: no feedback: nothing proves that the valve is shut.",
    ),
    "fault.feedback_written": (
        "{name}：{given} 是写出去的点位，只说明下过什么命令，证明不了真的动了；feedback 要写到位开关等输入点位。",
        "{name}: {given} is a point that is written: it shows what was asked, not what came of it; feedback must be an input, such as an end switch.",
    ),
    "fault.feedback_renamed": (
        "{name}：feedback 的点位 {given} 已改名为 {wanted}，请改过来。",
        "{name}: the point {given} of feedback is called {wanted} now; write that.",
    ),
    "fault.feedback_no_state": (
        "{name}：{given} 不是“是/否”点位，证明不了状态；feedback 要写到位开关等输入点位。",
        "{name}: {given} does not say yes or no, so it proves no state; feedback must be an input, such as an end switch.",
    ),
    "fault.feedback_alarms": (
        "{name}：{given} 是探测器的报警，有危险时自己就会变，证明不了输出动了；feedback 应写到位开关等输入点位。",
        "{name}: {given} is a detector's alarm, which comes of the danger and not of the output; feedback should be an input, such as an end switch.",
    ),
    "fault.no_flash": (
        "{name}：{given} 自己不会结束脉冲，网关断开时会一直开着；请换用有硬件脉冲的继电器点位（{allowed}），或去掉 pulse。",
        "{name}: {given} cannot end a pulse by itself, so it would stay on where the gateway dies; take a point that can ({allowed}), or leave pulse out.",
    ),
    "fault.no_flash_at_all": (
        "{name}：{given} 没有一个点位能自己结束脉冲，网关断开时会一直开着；请去掉 pulse。",
        "{name}: no point of {given} can end a pulse by itself, so it would stay on where the gateway dies; leave pulse out.",
    ),
    "fault.valve_reopens": (
        "{name}：写了 pulse 的阀门，脉冲结束后必须保持关闭：自保持阀（双稳态、脉冲关阀、手动复位）请写 latching: true；靠弹簧复位、断电就会重新打开的阀门不能用 pulse，请去掉它。",
        "{name}: a valve on a pulse must stay shut when the pulse is over: if it latches (bistable, shut by a pulse, reset by hand), say latching: true; one that opens again when its coil lets go needs a lasting output, so leave pulse out.",
    ),
    "fault.point_opens": (
        "{name}：{given} 置位是打开阀门，网关要关阀时反而会打开它；请换用置位即关阀的点位（或接在继电器上）。",
        "{name}: {given} opens when it is set, so the gateway would open the valve when it means to shut it; take a point that shuts, or a relay.",
    ),
    "fault.pulse_ends": (
        "{name}：{given} 是脉冲，到时自己停；{kind} 要一直开到有人处理。请在型号文件里写 repeat（比 pulse 短）。",
        "{name}: {given} is a pulse that ends by itself, but a {kind} must go on until somebody answers: give the point a repeat shorter than its pulse.",
    ),
    "fault.pulse_better": (
        "{name}：网关或线路中途坏了，{given} 会一直开着；这块板能自己结束：写 pulse: 10s，网关会一直续到该停（一定要一直开着的，写 pulse: 0）。",
        "{name}: where the gateway or the line dies, {given} stays on; its board can end it by itself: write pulse: 10s, which the gateway renews as long as it is wanted (pulse: 0 if it must stay on).",
    ),
    "fault.output_unproven": (
        "{name}：{given} 不能回读，又没有 feedback；每次动作都会报“联动动作未确认”。",
        "{name}: {given} cannot be read back and there is no feedback: each time it is switched on it will be reported as not confirmed.",
    ),
    "output_kind.siren": ("声光报警器", "siren"),
    "output_kind.valve": ("阀门", "valve"),
    "output_kind.fan": ("风机", "fan"),
    "fault.nothing_acts": (
        "{name}：没有阀门（或声光报警器）管 {places}；那里有燃气时只通知人。",
        "{name}: no valve (or siren) acts for {places}; gas there only tells people.",
    ),
    "fault.may_spark": (
        "{name}：{kind}就在燃气探测器 {device} 的地方（{place}），又不是防爆的；有燃气时不会启动它。",
        "{name}: this {kind} stands in the place of gas detector {device} ({place}) and is not ex_rated; it will not start while there is gas.",
    ),
}
