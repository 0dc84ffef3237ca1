"""Words for faults of the site file, its fields and names: key -> (zh-CN, en). (Of how it is written: ``writing.py``; of what it
lists: ``equipment.py``; of device profiles: ``products.py``; of rules: ``rules.py``.)

Written for the installer in front of the file: what is wrong, about which thing, and what may stand there. ``near`` (the
nearest known word) and ``allowed`` are said by sentences of their own, so that each fault has one sentence.
"""

from __future__ import annotations

SENTENCES: dict[str, tuple[str, str]] = {
    # How a fault is shown
    "fault.error": ("错误", "error"),
    "fault.warning": ("警告", "warning"),
    "fault.near": ("是不是“{near}”？", "Did you mean “{near}”?"),
    "fault.allowed": ("可以写：{allowed}。", "Allowed: {allowed}."),
    "fault.summary": ("{errors} 个错误，{warnings} 个警告。", "{errors} error(s), {warnings} warning(s)."),
    # A field (gateway/nodes.py)
    "fault.not_a_mapping": (
        "{name}：这里应该是“名称: 值”的列表，每行一项。",
        "{name}: this must be a block of “name: value” lines.",
    ),
    "fault.not_a_list": (
        "{name}：{field} 应该是列表，每项以“- ”开头。",
        "{name}: {field} must be a list, each item beginning with “- ”.",
    ),
    "fault.missing": ("{name}：缺少 {field}。", "{name}: {field} is missing."),
    "fault.empty": (
        "{name}：{field} 后面没有内容（# 后面的算备注）；不需要就删掉这一行。",
        "{name}: {field} is empty (what follows a # is a remark); delete the line if you do not need it.",
    ),
    "fault.unknown_key": ("{name}：不认识“{field}”。", "{name}: unknown field “{field}”."),
    "fault.not_text": (
        "{name}：{field} 应该是文字，写的是 {given}；数字当文字用请加引号。",
        "{name}: {field} must be text, not {given}; put a number meant as text in quotes.",
    ),
    "fault.bad_form": (
        "{name}：{field} 的写法“{given}”不对，应为：{form}。",
        "{name}: {field} “{given}” has the wrong form; it must be {form}.",
    ),
    "fault.full_width": (
        "{name}：{field} 的“{given}”里有全角字符；请改成半角的“{wanted}”。",
        "{name}: {field} “{given}” has full-width characters; write “{wanted}”.",
    ),
    "fault.remark_glued": (
        "{name}：{field} 写成了“{given}”；备注的 # 前面要有空格，请写“{wanted}”。",
        "{name}: {field} “{given}”: a remark begins with a space before its #; write “{wanted}”.",
    ),
    "fault.not_number": (
        "{name}：{field} 应该是数字，写的是“{given}”；数字不加引号。",
        "{name}: {field} must be a number without quotes, not “{given}”.",
    ),
    "fault.not_whole": (
        "{name}：{field} 应该是整数，写的是 {given}。",
        "{name}: {field} must be a whole number, not {given}.",
    ),
    "fault.out_of_bounds": (
        "{name}：{field} 是 {given}，应在 {low} 到 {high} 之间。",
        "{name}: {field} is {given}; it must lie between {low} and {high}.",
    ),
    "fault.not_flag": (
        "{name}：{field} 只能写 true 或 false，写的是“{given}”。",
        "{name}: {field} must be true or false, not “{given}”.",
    ),
    "fault.not_duration": (
        "{name}：{field} 的时长“{given}”不对；要带单位，如 30s、5min、4h、7d。",
        "{name}: {field} “{given}” is no duration; write it with its unit: 30s, 5min, 4h, 7d.",
    ),
    "fault.not_allowed": ("{name}：{field} 不能是“{given}”。", "{name}: {field} cannot be “{given}”."),
    "fault.unquoted": (
        '{name}：{field} 请写成 "{wanted}"，带上引号。',
        '{name}: for {field} write "{wanted}", with the quotes.',
    ),
    "fault.not_text_list": (
        "{name}：{field} 应该是一个词或一列词，如 [a, b]。",
        "{name}: {field} must be a word or a list of words such as [a, b].",
    ),
    # Names
    "fault.bad_id": (
        "编号“{name}”只能用小写字母、数字和连字符，如 gas-101。",
        "The id “{name}” may hold only lower-case letters, digits and hyphens, such as gas-101.",
    ),
    "fault.reserved_id": (
        "“{name}”是网关自己用的名字，请换一个。",
        "“{name}” is a name of the gateway's own; choose another.",
    ),
    "fault.id_ours": (
        "“{name}”在告警里是总线、蓝牙、上级或网关部件的名字，两者会有一个听不到；请换一个。",
        "“{name}” is what a bus, a radio, an uplink or a part of the gateway is called in alerts, and one of both is not heard; choose another.",
    ),
    "fault.duplicate_id": (
        "编号“{name}”用了两次，第一次在 {first}；全文件内不能重复。",
        "The id “{name}” is used twice, first at {first}; ids are unique in the whole site.",
    ),
    "fault.unknown_place": ("{name}：places 里没有“{given}”。", "{name}: there is no place “{given}” in places."),
    "fault.place_left_out": (
        "{name}：places 里没有“{given}”，只有它下面的（如“{below}”）；请补上 {given}。",
        "{name}: there is no place “{given}” in places, only what lies below it, such as “{below}”: add {given}.",
    ),
    "fault.unknown_building": (
        "{name}：places 里没有“{given}”这栋楼或这处地方。",
        "{name}: there is no building or public place “{given}” in places.",
    ),
    "fault.bad_date": (
        "{name}：{field}“{given}”不是日历上的日子。",
        "{name}: {field} “{given}” is no day of the calendar.",
    ),
    "fault.leave_order": (
        "{name}：外出从 {given} 到 {until}，先后颠倒了。",
        "{name}: a leave from {given} until {until} ends before it begins.",
    ),
    "fault.person_without_care": (
        "{name}：写了 {field} 就要在 care 下写明用途和同意日期，否则不得记录。",
        "{name}: {field} may be recorded only with a purpose and a consent under care.",
    ),
    "fault.person_id_telling": (
        "{name}：像是姓名或号码；关怀对象的编号会随告警上报，请改用代号，如 elder-301。",
        "{name} looks like a name or a number, and goes upstream with alerts; use a pseudonym, such as elder-301.",
    ),
    "fault.person_unheard": (
        "{name}：没有门口机编号（pseudonyms）也没有读数（signs），无从知道其平安。",
        "{name}: neither a terminal (pseudonyms) nor a reading (signs) tells of this person, so nothing can be missed.",
    ),
    "fault.unknown_enrolment": (
        "{name}：没有门口机属于录入组“{given}”。",
        "{name}: no terminal has the enrolment group “{given}”.",
    ),
    "fault.pseudonym_twice": (
        "{name}：录入组 {given} 的这个编号已写在 {first}。",
        "{name}: this pseudonym of group {given} stands at {first} already.",
    ),
    "fault.unknown_person": ("{name}：people 里没有“{given}”。", "{name}: there is nobody called “{given}” in people."),
    "fault.unknown_profile": (
        "{name}：没有型号文件“{given}”；loudong profiles list 列出有哪些，也可在 profiles/ 里自己加。",
        "{name}: there is no profile “{given}”; loudong profiles list shows which there are, and you may add one in profiles/.",
    ),
    "fault.profile_withdrawn": (
        "{name}：型号文件“{given}”已撤下：其内容没有依据。请按厂家说明书写 profiles/{given}.yaml（用 loudong profiles new），逐个点位试过再投用。",
        "{name}: the profile “{given}” was withdrawn: nothing backs what it says. Write profiles/{given}.yaml from the maker's manual (loudong profiles new), and try every point before you rely on it.",
    ),
    "fault.profile_found_wrong": (
        "{name}：型号文件“{given}”已撤下：其内容查明有误。请改写 {instead}，逐个点位试过再投用。",
        "{name}: the profile “{given}” was withdrawn: what it says was found wrong. Write {instead}, and try every point before you rely on it.",
    ),
    "fault.unknown_device": ("{name}：buses 里没有设备“{given}”。", "{name}: there is no device “{given}” in buses."),
    "fault.unknown_device_point": (
        "{name}：设备 {device}（{profile}）没有点位“{given}”。",
        "{name}: the device {device} ({profile}) has no point “{given}”.",
    ),
    "fault.unknown_zone": (
        "{name}：没有时区“{given}”；国内写 Asia/Shanghai。",
        "{name}: there is no time zone “{given}”; in China write Asia/Shanghai.",
    ),
    "fault.no_parent": (
        "{name}：places 里没有上一级“{parent}”，播报时会缺它的名字。",
        "{name}: its parent “{parent}” is not in places, so its name will be missing when spoken.",
    ),
    # People and grid
    "fault.login_twice": (
        "{name}：登录名 {login} 已属于 {other}。",
        "{name}: the login {login} belongs to {other} already.",
    ),
    "fault.nobody_for": (
        "grid：{place} 的{rung}一级没有人，告警会立刻越过这一级。",
        "grid: nobody stands on rung {rung} for {place}; alerts pass it at once.",
    ),
    "fault.nobody": (
        "grid：{rung}一级没有人，告警会立刻越过这一级。",
        "grid: nobody stands on rung {rung}; alerts pass it at once.",
    ),
    "fault.ladder_order": (
        "{name}：{priority}时{rung}比下一级{lower}还早；应逐级往后。",
        "{name}: for {priority}, {rung} is told before {lower} below it; delays must not fall.",
    ),
    "fault.ladder_critical": (
        "{name}：critical 必须能一直上报到底，{rung}不能是 never。",
        "{name}: a critical alert must be able to climb to the end; {rung} cannot be never.",
    ),
    "fault.ladder_slower": (
        "{name}：{priority}时到{rung}要等 {given}，比默认的 {default} 慢。",
        "{name}: {priority} reaches {rung} after {given}, slower than the usual {default}.",
    ),
    "fault.answer_slower": (
        "answer_by：{field} 是 {given}，比默认的 {default} 慢。",
        "answer_by: {field} is {given}, slower than the usual {default}.",
    ),
    # Uplinks
    "fault.needs": ("{name}：写了 {field} 就要写 {other}。", "{name}: {field} needs {other}."),
    "fault.plaintext": (
        "{name}：到 {host} 没有加密（tls: true），告警会被看见，命令会被伪造。",
        "{name}: the line to {host} is not encrypted (tls: true); alerts can be read and commands forged.",
    ),
    "fault.password_in_clear": (
        "{name}：到 {host} 没有加密，password_file 里的密码会被人看见，不能这样登录。请写 tls: true，或去掉密码。",
        "{name}: the line to {host} is not encrypted and would show its password to everybody on it; write tls: true, or leave the password out.",
    ),
    "fault.no_uplink": (
        "没有 uplinks，告警不会送到社区以外。",
        "There are no uplinks; alerts will not leave the compound.",
    ),
    # A reload
    "fault.identity_changed": (
        "{name} 由“{before}”改成了“{given}”：这是另一个网关了，请重启服务（systemctl restart loudong-gateway）。",
        "{name} was “{before}” and is “{given}” now: that is another gateway; restart the service (systemctl restart loudong-gateway).",
    ),
    "fault.output_on": (
        "输出“{output}”现在开着，或还没有看到它已关：这时拿掉或改接，旧继电器会一直开着。请先让它停下（处置或消音引起它的告警），看到它关了再重新加载；继电器已经拆走时，改为重启网关。",
        "The output “{output}” is on, or not yet seen off; moved or removed now, its old relay stays on. Acknowledge or silence what drives it, and reload once it is off; where the relay itself is gone, restart the gateway instead.",
    ),
    "fault.left_on": (
        "输出“{name}”拿掉时继电器（{given}）可能还开着，小区文件里已没有它的位置，网关够不着：请到现场把它关掉。",
        "The output “{name}” was taken away while its relay ({given}) was perhaps on; nothing in the site file reaches it any more: switch it off by hand.",
    ),
}
