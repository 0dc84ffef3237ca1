"""Words for faults of device profiles: key -> (zh-CN, en).

Written for whoever holds the product's manual beside the profile. (The pages of `loudong profiles`: ``profiles.py``.)
"""

from __future__ import annotations

SENTENCES: dict[str, tuple[str, str]] = {
    "fault.profile_without_points": ("型号 {name}：没有任何点位。", "profile {name}: it has no points."),
    "fault.profile_bad_range": (
        "型号 {name}：{field} 里每项是一个地址或 [起, 止]。",
        "profile {name}: each item of {field} is an address or [first, last].",
    ),
    "fault.profile_mask_not_here": (
        "{name}：{type} 类型或线圈、离散量不能用 mask、shift。",
        "{name}: mask and shift mean nothing for type {type} or for coils and discrete inputs.",
    ),
    "fault.profile_read_only_space": (
        "{name}：{space} 是只读的，不能 writable。",
        "{name}: {space} is read-only and cannot be writable.",
    ),
    "fault.profile_not_one_register": (
        "{name}：writable 只能用于整个单一寄存器（uint16、int16，不带 mask、shift、bits）或线圈。",
        "{name}: only a coil or one whole register (uint16 or int16, no mask, shift or bits) can be writable.",
    ),
    "fault.profile_same_write": (
        "{name}：write_on 和 write_off 不能都是 {given}。",
        "{name}: write_on and write_off cannot both be {given}.",
    ),
    "fault.profile_low_not_below_high": (
        "{name}：low（{low}）必须小于 high（{high}）。",
        "{name}: low ({low}) must be below high ({high}).",
    ),
    "fault.profile_repeat_too_late": (
        "{name}：repeat（{repeat} 秒）不能长于 pulse（{pulse} 秒），否则中间会断开。",
        "{name}: repeat ({repeat} s) cannot be longer than pulse ({pulse} s): it would let go in between.",
    ),
    "fault.profile_bit_beyond": (
        "{name}：bits 里没有第 {given} 位；位号从 0 到 {high}。",
        "{name}: bits has no bit {given}; they are numbered from 0 to {high}.",
    ),
    "fault.profile_zero_scale": ("{name}：scale 不能是 0。", "{name}: scale cannot be 0."),
    "fault.profile_point_ours": (
        "{name}：{given} 是网关自己用的名字，请给点位另取名字；现在没有规则听得到它。",
        "{name}: {given} is what the gateway says of a device itself: give the point another name; no rule hears it now.",
    ),
    "fault.profile_point_not_readable": (
        "{name}：地址落在 no_read 禁读范围里。",
        "{name}: its address lies within no_read.",
    ),
    "fault.profile_point_too_long": (
        "{name}：长度超过一次能读的 max_read。",
        "{name}: it is longer than one read (max_read).",
    ),
    "fault.profile_point_past_end": (
        "{name}：从地址 {given} 起放不下这么长的数，最后一个地址是 65535，起始地址最多 {high}；请对照说明书检查地址和 type。",
        "{name}: from address {given} it would go on behind the last register (65535 is the last; it may begin at {high} at most); compare address and type with the manual.",
    ),
    "fault.profile_counted_address": (
        "{name}：地址 {given} 像说明书的编号；线上地址从 0 算，如 40001 写 0、30001 写 0；若确为线上地址，请写 notation: wire。",
        "{name}: address {given} looks like a manual's register number; on the wire they count from 0 (40001 is 0, 30001 is 0). Where it is the address indeed, state notation: wire.",
    ),
    "fault.profile_vendor_unstated": (
        "{name}：编号 {given} 可能是 40001 式的编号（线上 0），也可能就是线上地址；请写明 notation（modicon 或 wire）。",
        "{name}: number {given} may count as in 40001 (0 on the wire) or be the address itself; state notation (modicon or wire).",
    ),
    "fault.profile_vendor_form": (
        "{name}：“{given}”不是 {notation} 写法的寄存器编号。",
        "{name}: “{given}” is no register number in {notation} notation.",
    ),
    "fault.profile_vendor_table": (
        "{name}：编号 {given} 属于 {table}，写的却是 {space}。",
        "{name}: register {given} is of table {table}, but space says {space}.",
    ),
    "fault.profile_vendor_differs": (
        "{name}：编号 {given} 在线上是地址 {meant}，写的却是 {address}。",
        "{name}: register {given} is address {meant} on the wire, but address says {address}.",
    ),
    "fault.profile_raw_not_here": (
        "{name}：write_raw 只用于线圈（功能码 05）。",
        "{name}: write_raw is for coils only (function code 05).",
    ),
    "fault.profile_not_both": (
        "{name}：{field} 只用于数值点位，不能和 true_when、enum、bits 一起用。",
        "{name}: {field} is for numbers; it cannot stand with true_when, enum or bits.",
    ),
    "fault.profile_side_not_here": (
        "{name}：{field}: {given} 只用于测量值；状态点位请列出报警的代码名，是/否点位由 true_when 决定。",
        "{name}: {field}: {given} is for a measured number; a status lists the names of its alarm codes, a yes or no alarms by true_when.",
    ),
    "fault.profile_alarm_unheard": (
        "{name}：报警代码 {given} 没有任何报警点位的 true_when 包含它，谁也听不到。",
        "{name}: no alarm point turns true at the alarm code {given}, so nobody would hear it.",
    ),
    "fault.profile_alarm_untold": (
        "{name}：{field} 里的 {given} 没有列在 {status} 的 alarm_when 里；它到底是不是报警？",
        "{name}: {field} has {given}, which alarm_when of {status} does not name; is it an alarm or not?",
    ),
    "fault.profile_falling_set_points": (
        "{name}：低于设定值才报警，二级 {field}（{given}）必须小于一级 low（{low}）。",
        "{name}: it alarms below its set points, so the second stage {field} ({given}) must be below the first, low ({low}).",
    ),
    "fault.profile_wrong_side": (
        "{name}：alarm_when: {given}，而内置规则对 {point} 是 {side} 才报警；请换个点位名。",
        "{name}: alarm_when: {given}, but the built-in rules take {point} for dangerous {side} their limit; give the point another name.",
    ),
    "fault.profile_no_frame": (
        "{name}：{field} 应是十六进制的字节，如 01 03 00 00 00 0A C5 CD。",
        "{name}: {field} is to be bytes in hexadecimal, such as 01 03 00 00 00 0A C5 CD.",
    ),
    "fault.profile_other_answer": (
        "{name}：{field} 不是这条 request 的应答（{given}）。",
        "{name}: {field} is no answer to this request ({given}).",
    ),
    "fault.profile_no_write": (
        "{name}：{field} 不是写入（功能码 05、06、15、16）的报文：{given}。",
        "{name}: {field} is no frame that writes (function 05, 06, 15 or 16): {given}.",
    ),
    "fault.profile_one_write": (
        "{name}：writes 写一个点位，true 接通或 false 断开，如 writes: {{ relay1: true }}。",
        "{name}: writes names one point, true for on or false for off, such as writes: {{ relay1: true }}.",
    ),
    "fault.profile_reads_or_writes": (
        "{name}：一个示例要么读要么写；writes 不能和 gives、quality 一起用。",
        "{name}: an example either reads or writes; writes cannot stand with gives or quality.",
    ),
    "fault.profile_frame_crc": (
        "{name}：示例“{example}”的 {field} 的校验码应为 {wanted}；有字节抄错了。",
        "{name}: in the example “{example}” the CRC of {field} should be {wanted}; some byte is copied wrongly.",
    ),
    "fault.profile_scale_chain": (
        "{name}：{field} 引用的点位 {given} 自己也要换算。",
        "{name}: {field} names {given}, which is scaled by another point itself.",
    ),
    "fault.profile_point_outside": (
        "{name}：地址不在 windows 任何一段里。",
        "{name}: its address lies in none of the windows.",
    ),
}
