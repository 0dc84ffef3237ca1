"""Words for how the site file is written: YAML, files, secrets: key -> (zh-CN, en)."""

from __future__ import annotations

SENTENCES: dict[str, tuple[str, str]] = {
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
    "fault.yaml_blank": (
        "这里的空格是全角或特殊的（{given}）；请删掉，换成普通的半角空格。",
        "The space here is a special one ({given}); delete it and type a plain one.",
    ),
    "fault.yaml_dash": (
        "列表项的“-”后面要有一个空格。",
        "In a list a space belongs after the “-”.",
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
        "这一行或上一行的缩进没有对齐，或少了冒号。",
        "The indentation of this line or of the one above does not line up, or a colon is missing.",
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
}
