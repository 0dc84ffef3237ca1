"""Words for faults of the site file: key -> (zh-CN, en). (Of device profiles: ``products.py``; of rules: ``rules.py``.)

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
        "{name}：{field} 的写法“{given}”不对，应为{form}。",
        "{name}: {field} “{given}” has the wrong form; it must be {form}.",
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
    "fault.not_text_list": (
        "{name}：{field} 应该是一个词或一列词，如 [a, b]。",
        "{name}: {field} must be a word or a list of words such as [a, b].",
    ),
    # YAML (gateway/site/marks.py)
    "fault.duplicate_key": (
        "“{field}”写了两遍，第一次在 {first}；请删掉一处或改名。",
        "“{field}” stands twice, first at {first}; delete or rename one.",
    ),
    "fault.yaml_bool": (
        "“{given}”有的程序当作是/否，有的当作文字；是/否请写 true 或 false，文字请加引号。",
        "“{given}” is yes/no to some readers and text to others; write true or false, or put it in quotes.",
    ),
    "fault.yaml_null": (
        "“{given}”表示“空”；文字请加引号，不需要就删掉。",
        "“{given}” means “nothing”; put it in quotes if it is text, or delete it.",
    ),
    "fault.yaml_sixty": (
        '“{given}”有的程序按六十进制读成数字；时间、地址请加引号："{given}"。',
        '“{given}” is a base-60 number to some readers; put times and addresses in quotes: "{given}".',
    ),
    "fault.yaml_radix": (
        "“{given}”会被读成十六、八或二进制数；文字请加引号，数字请写十进制。",
        "“{given}” is a hexadecimal, octal or binary number to some readers; quote it if it is text, else write it in decimal.",
    ),
    "fault.yaml_date": ("“{given}”会被读成日期；请加引号。", "“{given}” is a date to some readers; put it in quotes."),
    "fault.yaml_number": (
        "“{given}”不同程序读法不同；数字写成 12 或 0.5 这样，文字请加引号。",
        "“{given}” is read differently by different programs; write numbers like 12 or 0.5, and quote text.",
    ),
    "fault.yaml_merge": ("不支持“{given}”；请把内容写全。", "“{given}” is not supported here; write the content out."),
    "fault.yaml_alias": (
        "不支持 YAML 引用“{given}”；请把内容写全，以 & 或 * 开头的文字请加引号。",
        "YAML anchors and aliases (“{given}”) are not supported; write the content out, and quote text that begins with & or *.",
    ),
    "fault.yaml_tag": (
        "不支持 YAML 标签“{given}”；以 ! 开头的文字请加引号。",
        "YAML tags (“{given}”) are not supported; quote text that begins with “!”.",
    ),
    "fault.yaml_key": (
        "这里的名称不是文字；请写名称，或加引号。",
        "This key is not text; write a name, or put it in quotes.",
    ),
    "fault.yaml_second_document": (
        "一个文件里只能有一份内容，这里用“---”开始了第二份。",
        "A file holds one document; “---” begins a second one here.",
    ),
    "fault.yaml_too_much": (
        "文件内容太多或嵌套太深（最多 {depth} 层，{nodes} 项）。",
        "The file is too large or nested too deep (at most {depth} levels, {nodes} values).",
    ),
    "fault.yaml_unseen": (
        "这里有看不见的字符 {given}，可能是复制粘贴带来的；请删掉重新输入。",
        "There is an invisible character {given} here, perhaps pasted; delete it and type the text again.",
    ),
    "fault.yaml_tab": ("这一行用制表符（Tab）缩进；请改成空格。", "This line is indented with a tab; use spaces."),
    "fault.yaml_colon": (
        "这里多了一个冒号，或上一行缩进不对；值里有冒号请加引号。",
        "There is a colon too many here, or the line above is indented wrongly; quote a value that contains “: ”.",
    ),
    "fault.yaml_fullwidth": (
        "冒号用了中文全角“：”；请改成半角的“: ”，后面的空格也要。",
        "The colon here is the full-width “：”; write “:” and a space.",
    ),
    "fault.yaml_wide": (
        "这里的 {given} 是中文全角字符（{code}）；请改成半角的 {wanted} 。",
        "The character {given} ({code}) here is a full-width one; write {wanted} instead.",
    ),
    "fault.yaml_space": (
        "{given} 冒号后面要有一个空格。",
        "{given} a space belongs after the colon.",
    ),
    "fault.yaml_quote": (
        "引号没有成对，或引号里有不认识的反斜杠写法。",
        "A quotation mark is not closed, or holds an unknown backslash escape.",
    ),
    "fault.yaml_bracket": (
        "方括号或花括号没有成对，或里面少了逗号（从第 {first} 行开始）。",
        "A bracket or brace is not closed, or a comma is missing inside (it begins on line {first}).",
    ),
    "fault.yaml_character": (
        "这里的字符不能作开头；文字请加引号。",
        "Text cannot begin with this character; put it in quotes.",
    ),
    "fault.yaml_indent": (
        "缩进没有对齐，或这一行少了冒号。",
        "The indentation does not line up, or a colon is missing on this line.",
    ),
    "fault.yaml_syntax": ("YAML 写法有误（{problem}）。", "The YAML is malformed ({problem})."),
    # Files (gateway/site/files.py)
    "fault.file_missing": ("找不到文件 {given}。", "There is no file {given}."),
    "fault.file_unreadable": ("读不了文件 {given}（{detail}）。", "The file {given} cannot be read ({detail})."),
    "fault.file_too_much": (
        "文件 {given} 太大或文件太多（每个最多 {bytes} 字节，共 {files} 个）。",
        "The file {given} is too large, or there are too many files (at most {bytes} bytes each, {files} files).",
    ),
    "fault.file_not_utf8": (
        "文件不是 UTF-8 编码；请在编辑器里另存为 UTF-8。",
        "The file is not encoded in UTF-8; save it as UTF-8 in your editor.",
    ),
    "fault.include_outside": (
        "include 只能用本目录以内的相对路径，不能是“{given}”。",
        "include takes relative paths within this folder only, not “{given}”.",
    ),
    "fault.include_cycle": (
        "include 绕成了圈：“{given}”正在读。",
        "include goes in a circle: “{given}” is being read already.",
    ),
    "fault.include_twice": ("“{given}”被 include 了两次。", "“{given}” is included twice."),
    # Secrets
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
    "fault.secret_inline": (
        "{name}：密钥、口令不能直接写在 {field} 里；请放进单独的文件，用 {file_field} 写文件名。",
        "{name}: a secret must not be written in {field}; put it in a file of its own and name that file in {file_field}.",
    ),
    "fault.secret_missing": ("找不到密钥或证书文件 {given}。", "There is no secret or certificate file {given}."),
    "fault.secret_absent": (
        "{name}：{field} 写的文件 {given} 不在这里；网关运行时必须有它。",
        "{name}: {field} names {given}, which is not here; it must be there when the gateway runs.",
    ),
    "fault.secrets_absent": (
        "写明的 {count} 个密钥和证书文件都不在这里（{given}）；网关运行时必须有，在别的电脑上检查可以不管。",
        "None of the {count} secrets and certificates named is here ({given}); they must be there when the gateway runs, and need not on another machine.",
    ),
    "fault.secret_open": (
        "密钥文件 {given} 谁都能读（权限 {mode}）；请执行 chmod 0600 {given}。",
        "The secret file {given} is open to every user (mode {mode}); run chmod 0600 {given}.",
    ),
    "fault.secret_shared": (
        "密钥文件 {given} 还有 {others} 能读（同组）；请执行 chmod 0600 {given}。",
        "The secret file {given} can be read by {others} too, who is in its group; run chmod 0600 {given}.",
    ),
    "fault.key_open": (
        "网关自己的密钥文件 {given} 不是只有网关能读，也改不了（{detail}）。请执行 chmod 0600 {given}，并检查它的主人。",
        "The gateway's own key {given} is not for itself alone, and it cannot make it so ({detail}); run chmod 0600 {given} and look at its owner.",
    ),
    "fault.key_was_open": (
        "网关自己的密钥文件 {given} 别人也能读（{detail}），已改为只有网关能读；在此之前谁读过，无从得知。",
        "The gateway's own key {given} could be read by others ({detail}) and was closed; who read it before nobody knows.",
    ),
    "fault.secret_unreadable": (
        "读不了密钥文件 {given}（{detail}）。",
        "The secret file {given} cannot be read ({detail}).",
    ),
    "fault.secret_empty": ("密钥文件 {given} 是空的，或太大。", "The secret file {given} is empty, or too large."),
    "fault.secret_form": (
        "{name}：文件 {given} 里不是有效的密钥（按钮：32 位十六进制；门口机：16 位以上字母数字）。",
        "{name}: the file {given} holds no valid key (button: 32 hexadecimal digits; terminal: 16 or more letters and digits).",
    ),
    "fault.credential_missing": (
        "systemd 没有交来凭据“{given}”；请检查服务单元的 LoadCredential=。",
        "systemd handed over no credential “{given}”; check LoadCredential= in the unit.",
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
}
