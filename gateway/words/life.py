"""Words for the gateway's own life (``reload``, ``backup``, ``restore``) and for what the system refuses: key -> (zh-CN, en)."""

from __future__ import annotations

SENTENCES: dict[str, tuple[str, str]] = {
    "reload.done": (
        "已改用新的小区文件；停止：{ended}；启动：{begun}；撤销告警 {withdrawn} 条",
        "the new site file is in force; ended: {ended}; begun: {begun}; alerts withdrawn: {withdrawn}",
    ),
    "reload.same": (
        "{file} 和已生效的一样，没有改动；停止：{ended}；启动：{begun}；撤销告警 {withdrawn} 条",
        "nothing new in {file}, it is the one in force; ended: {ended}; begun: {begun}; alerts withdrawn: {withdrawn}",
    ),
    "reload.outlived": (
        "求救告警 {n} 条仍在，但它的按钮、门或规则已不在小区文件里：由人来关闭（loudong alerts）",
        "{n} calls for help stand whose button, door or rule the file has no more: a person closes them (loudong alerts)",
    ),
    "reload.refused": (
        "未改用：小区文件有错，网关照旧运行",
        "refused: the site file has faults; the gateway runs on as before",
    ),
    "errno.SQLITE_NOTADB": ("不是网关的数据库", "it is no database of a gateway"),
    "errno.SQLITE_CORRUPT": ("数据库已损坏", "the database is damaged"),
    "errno.EACCES": ("没有权限", "permission denied"),
    "errno.EDQUOT": ("配额已满", "quota exceeded"),
    "errno.EEXIST": ("已有同名文件", "it exists already"),
    "errno.EFBIG": ("文件太大", "the file is too large"),
    "errno.EIO": ("磁盘读写出错", "input/output error"),
    "errno.EISDIR": ("是一个目录", "it is a folder"),
    "errno.ENOENT": ("没有这个文件或目录", "no such file or folder"),
    "errno.ENOSPC": ("磁盘已满", "no space left on the disk"),
    "errno.ENOTDIR": ("不是目录", "it is no folder"),
    "errno.EPERM": ("系统不允许", "not permitted"),
    "errno.EROFS": ("磁盘只读", "the disk is read-only"),
    "backup.made": (
        "备份已写入 {file}（含 {files}）；里面有密钥，请像钥匙一样保管",
        "backup written to {file} ({files}); it holds keys, keep it like one",
    ),
    "backup.not_made": ("备份失败：{detail}", "no backup was made: {detail}"),
    "backup.in_the_way": (
        "{file} 已存在，而且不是备份文件，不会覆盖；请换一个文件名",
        "{file} is there already and is no backup: it is not written over; choose another name",
    ),
    "restore.done": (
        "已恢复到 {folder}：未关闭告警 {alerts} 条（由 {loudong} 版备份）；原有文件：{aside}",
        "restored to {folder}: {alerts} open alerts (made by version {loudong}); set aside: {aside}",
    ),
    "restore.not_a_backup": ("{file} 不是备份文件", "{file} is no backup"),
    "restore.damaged": ("备份文件 {file} 已损坏", "the backup {file} is damaged"),
    "restore.newer": (
        "备份 {file} 由更新的版本（{detail}）制作；请先升级",
        "the backup {file} was made by a newer version ({detail}); upgrade first",
    ),
    "restore.occupied": (
        "目录里已有网关状态（{detail}）；确要替换请加 --force",
        "a gateway lives here already ({detail}); --force replaces it",
    ),
    "restore.running": ("{folder} 上的网关正在运行；请先停止", "a gateway runs on {folder}; stop it first"),
    "restore.failed": ("恢复失败：{detail}", "nothing was restored: {detail}"),
}
