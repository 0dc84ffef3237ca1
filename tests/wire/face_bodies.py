"""Push bodies as Hikvision terminals send them, written from descriptions of captures (facts/face 0.4, 1.1, 1.2).

Each names what is odd about it. All hold at least one event with employee number 00017 unless they say otherwise.
"""

from __future__ import annotations

import base64
import gzip
import json
import zlib
from dataclasses import dataclass, field

NAME, EMPLOYEE, CARD, ID_CARD = "王金丝雀", "00017", "7159064823", "110101190001010017"
CANARIES = (NAME, EMPLOYEE, CARD, ID_CARD, "SECRET-FEATURE", "/9j/", "admin-canary", "wang jin")
JPEG = (
    b"\xff\xd8\xff\xe0"
    + b'SECRET-FEATURE\r\n--\r\n{"name":"x"}\n\r\n--no\n' * 50
    + bytes(range(256)) * 100
    + b"\xff\xd9"
)


def envelope(kind: str = "AccessControllerEvent", **event: object) -> dict[str, object]:
    whole: dict[str, object] = {
        "ipAddress": "192.0.2.64",
        "portNo": 80,
        "protocol": "HTTP",
        "macAddress": "88:de:39:00:00:01",
        "channelID": 1,
        "dateTime": "2026-10-06T17:05:35+08:00",
        "activePostCount": 1,
        "eventType": kind,
        "eventState": "active",
        "eventDescription": "Access Controller Event",
    }
    if kind == "AccessControllerEvent":
        whole[kind] = {
            "deviceName": "Access Controller",
            "majorEventType": 5,
            "subEventType": 75,
            "name": NAME,
            "employeeNoString": EMPLOYEE,
            "cardNo": CARD,
            "IDCardNo": ID_CARD,
            "netUser": "admin-canary",
            "cardReaderNo": 1,
            "doorNo": 1,
            "serialNo": 218,
            "frontSerialNo": 217,
            "userType": "normal",
            "currentVerifyMode": "cardOrfaceOrPw",
            "currentEvent": True,
            "attendanceStatus": "undefined",
            "mask": "no",
            "picturesNumber": 1,
            "FaceRect": {"height": 0.288, "width": 0.513, "x": 0.168, "y": 0.349},
            **event,
        }
    return whole


def as_json(whole: object, indent: str | None = "\t") -> bytes:
    return json.dumps(whole, ensure_ascii=False, indent=indent).encode()


def as_xml(
    whole: dict[str, object], head: str = '<?xml version="1.0" encoding="UTF-8"?>\n', codec: str = "utf-8"
) -> bytes:
    def elements(fields: dict[str, object]) -> str:
        return "".join(
            f"<{name}>{elements(value) if isinstance(value, dict) else str(value).lower() if isinstance(value, bool) else value}</{name}>\n"
            for name, value in fields.items()
        )

    root = '<EventNotificationAlert version="2.0" xmlns="http://www.isapi.org/ver20/XMLSchema">'
    return f"{head}{root}\n{elements(whole)}</EventNotificationAlert>\n".encode(codec)


def part(data: bytes, headers: str = "", boundary: str = "MIME_boundary", eol: str = "\r\n") -> bytes:
    lines = [f"--{boundary}", *headers.splitlines(), "", ""]
    return eol.join(lines).encode() + data + eol.encode()


EVENT_PART = 'Content-Disposition: form-data; name="AccessControllerEvent"\nContent-Type: application/json'
LOG_PART = 'Content-Disposition: form-data; name="event_log"\nContent-Type: application/json; charset="UTF-8"\nContent-Length: 17'
PICTURE_PART = 'Content-Disposition: form-data; name="Picture"; filename="Picture.jpg"\nContent-Type: image/jpeg\nContent-ID: pictureImage'
END = b"--MIME_boundary--\r\n"
MULTIPART = "multipart/form-data; boundary=MIME_boundary"


@dataclass(frozen=True)
class Push:
    content_type: str
    body: bytes
    headers: dict[str, str] = field(default_factory=dict)
    codes: tuple[str, ...] = ("5/75",)


_EVENT = as_json(envelope())

BODIES: dict[str, Push] = {
    "K1T323: part AccessControllerEvent and a picture": Push(
        MULTIPART, part(_EVENT, EVENT_PART) + part(JPEG, PICTURE_PART) + END
    ),
    "K1T342: part event_log with a wrong length": Push(
        MULTIPART, part(_EVENT, LOG_PART) + part(JPEG, PICTURE_PART) + END
    ),
    "picture before the event": Push(MULTIPART, part(JPEG, PICTURE_PART) + part(_EVENT, EVENT_PART) + END),
    "no final boundary": Push(MULTIPART, part(_EVENT, EVENT_PART) + part(JPEG, PICTURE_PART)),
    "no final boundary, no line break, event last": Push(
        MULTIPART, part(JPEG, PICTURE_PART) + part(_EVENT, EVENT_PART).rstrip()
    ),
    "LF only": Push(
        MULTIPART, part(_EVENT, EVENT_PART, eol="\n") + part(JPEG, PICTURE_PART, eol="\n") + b"--MIME_boundary--\n"
    ),
    "boundary in the header differs from that in the body": Push(
        "multipart/form-data; boundary=boundary", part(_EVENT, EVENT_PART) + part(JPEG, PICTURE_PART) + END
    ),
    "no boundary in the header": Push("multipart/form-data", part(_EVENT, EVENT_PART) + END),
    "multipart called JSON": Push("application/json", part(_EVENT, EVENT_PART) + END),
    "no line break before the boundaries": Push(
        MULTIPART, part(_EVENT, EVENT_PART).rstrip() + part(JPEG, PICTURE_PART)[:-2] + END
    ),
    "first boundary missing": Push(MULTIPART, part(_EVENT, EVENT_PART).split(b"\r\n", 1)[1] + END),
    "blank lines before the first boundary": Push(MULTIPART, b"\r\n\r\n" + part(_EVENT, EVENT_PART) + END),
    "parts without headers": Push(MULTIPART, part(_EVENT) + part(JPEG) + END),
    "no blank line behind the headers": Push(
        MULTIPART, b"--MIME_boundary\r\nContent-Type: application/json\r\n" + _EVENT + b"\r\n" + END
    ),
    "event called a picture": Push(MULTIPART, part(_EVENT, PICTURE_PART) + END),
    "one part gzipped": Push(
        MULTIPART, part(gzip.compress(_EVENT), EVENT_PART + "\nContent-Encoding: gzip") + part(JPEG, PICTURE_PART) + END
    ),
    "whole body gzipped": Push("application/json", gzip.compress(_EVENT), {"Content-Encoding": "gzip"}),
    "whole body gzipped and nothing said": Push(MULTIPART, gzip.compress(part(_EVENT, EVENT_PART) + part(JPEG) + END)),
    "called deflate, is zlib": Push("application/json", zlib.compress(_EVENT), {"Content-Encoding": "deflate"}),
    "called deflate, is raw": Push(
        "application/json", zlib.compress(_EVENT, wbits=-15), {"Content-Encoding": "deflate"}
    ),
    "called deflate, is not packed": Push("application/json", _EVENT, {"Content-Encoding": "deflate"}),
    "bare JSON": Push("application/json", _EVENT),
    "bare JSON called multipart": Push(MULTIPART, _EVENT),
    "bare JSON without a type": Push("", _EVENT),
    "JSON with byte order mark": Push('application/json; charset="UTF-8"', b"\xef\xbb\xbf" + _EVENT),
    "JSON in GB18030, called UTF-8": Push(
        'application/json; charset="UTF-8"', json.dumps(envelope(), ensure_ascii=False).encode("gb18030")
    ),
    "JSON called GB2312": Push(
        "application/json; charset=gb2312", json.dumps(envelope(), ensure_ascii=False).encode("gb18030")
    ),
    "JSON in no charset at all": Push("application/json", _EVENT.replace(NAME.encode(), b"\xff\xfe\x80\x80wang jin")),
    "JSON padded with NUL": Push("application/json", _EVENT + b"\0\0\0\0"),
    "JSON with tabs and line breaks in a string": Push(
        "application/json", _EVENT.replace(b"Access Controller Event", b"a\tb\nc")
    ),
    "JSON with NaN": Push("application/json", _EVENT.replace(b"0.288", b"NaN")),
    "JSON wrapped once more": Push("application/json", as_json({"EventNotificationAlert": envelope()})),
    "codes as hexadecimal strings": Push(
        "application/json", as_json(envelope(majorEventType="0x5", subEventType="0x4b"))
    ),
    "XML with namespace": Push('application/xml; charset="UTF-8"', as_xml(envelope())),
    "XML part with a picture": Push(
        MULTIPART, part(as_xml(envelope()), "Content-Type: text/xml") + part(JPEG, PICTURE_PART) + END
    ),
    "XML in GB2312": Push(
        "application/xml", as_xml(envelope(), '<?xml version="1.0" encoding="GB2312"?>\n', "gb18030")
    ),
    "XML that says UTF-8 and is GBK": Push("application/xml", as_xml(envelope(), codec="gbk")),
    "two XML documents": Push(
        "application/xml", as_xml(envelope()) + as_xml(envelope(subEventType=21, serialNo=219)), codes=("5/75", "5/21")
    ),
    "picture of 3 MiB": Push(
        MULTIPART,
        part(_EVENT, EVENT_PART) + part(b"\xff\xd8\xff" + JPEG * (3 * 1024 * 1024 // len(JPEG)), PICTURE_PART) + END,
    ),
    "picture inline as base64": Push("application/json", as_json(envelope(picture=base64.b64encode(JPEG).decode()))),
    "several events, a part each": Push(
        MULTIPART,
        part(as_json(envelope(subEventType=21, serialNo=217)), EVENT_PART)
        + part(_EVENT, EVENT_PART)
        + part(as_json(envelope(subEventType=25, serialNo=219)), EVENT_PART)
        + END,
        codes=("5/21", "5/75", "5/25"),
    ),
    "several events in an array": Push(
        "application/json", as_json([envelope(subEventType=22), envelope()]), codes=("5/22", "5/75")
    ),
    "several documents one behind the other": Push(
        "application/json", as_json(envelope(subEventType=23)) + b"\n" + _EVENT, codes=("5/23", "5/75")
    ),
    "nested multipart, as in an alert stream": Push(
        'multipart/mixed; boundary="outer"',
        part(part(_EVENT, EVENT_PART) + END, "Content-Type: multipart/form-data; boundary=MIME_boundary", "outer")
        + b"--outer--",
    ),
    "heartbeat beside an event": Push(
        MULTIPART, part(as_json(envelope("heartBeat")), EVENT_PART) + part(_EVENT, EVENT_PART) + END
    ),
    "history page": Push(
        "application/json",
        as_json(
            {
                "AcsEvent": {
                    "searchID": "1",
                    "InfoList": [
                        {
                            "major": 5,
                            "minor": 75,
                            "time": "2026-10-06T17:05:35+08:00",
                            "serialNo": 218,
                            "doorNo": 1,
                            "employeeNoString": EMPLOYEE,
                            "name": NAME,
                        },
                    ],
                }
            }
        ),
    ),
}
"""What is odd about it -> the push."""

UNREADABLE: dict[str, tuple[str, bytes, str]] = {
    "nothing": ("", b"", "empty"),
    "blanks": ("application/json", b" \r\n ", "empty"),
    "text": ("text/plain", b"hello", "no_text"),
    "cut in the JSON": ("application/json", _EVENT[:200], "truncated"),
    "cut in a JSON string": ("application/json", _EVENT[: _EVENT.index(NAME.encode()) + 3], "truncated"),
    "cut in a part": (MULTIPART, part(_EVENT, EVENT_PART)[:300], "truncated"),
    "cut in the XML": ("application/xml", as_xml(envelope())[:300], "truncated"),
    "cut in gzip": ("application/json", gzip.compress(_EVENT)[:120], "truncated"),
    "cut in a gzip part": (MULTIPART, part(gzip.compress(_EVENT)[:120], EVENT_PART) + END, "truncated"),
    "broken gzip": ("application/json", b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03" + b"\xff" * 50, "bad_gzip"),
    "broken JSON": ("application/json", b'{"a": nonsense ' + NAME.encode() + b"}", "bad_json"),
    "number without end": ("application/json", b'{"serialNo": ' + b"9" * 5000 + b"}", "bad_json"),
    "array of numbers": ("application/json", b"[1, 2]", "bad_document"),
    "deep JSON": ("application/json", b"[" * 200_000, "too_deep"),
    "deep XML": ("application/xml", b"<a>" * 100_000 + b"</a>" * 100_000, "too_deep"),
    "broken XML": ("application/xml", b"<a><b></a></b>", "bad_xml"),
    "doctype": ("application/xml", b'<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>', "doctype"),
    "hidden doctype": ("application/xml", b'<?xml version="1.0"?><!-- --><!dOcTyPe a><a/>', "doctype"),
    "gzip bomb": ("application/json", gzip.compress(b"{" + b" " * 50_000_000), "too_large"),
    "gzip bomb in a part": (MULTIPART, part(gzip.compress(b"{" + b" " * 50_000_000), EVENT_PART), "too_large"),
    "text without end": ("application/json", b'{"a":"' + b"x" * 2_000_000, "too_large"),
    "parts without end": (MULTIPART, part(b"{}") * 200, "too_many"),
    "boundaries without end": (MULTIPART, b"--b\n\n" * 1000, "too_many"),
    "documents without end": ("application/json", b"{}" * 400_000, "too_many"),
    "a list without end": ("application/json", b"[" + b"{}," * 65 + b"{}]", "too_many"),
    "events without end": ("application/json", b'{"AccessControllerEvent":[' + b"{}," * 256 + b"{}]}", "too_many"),
    "events in a string": ("application/json", b'{"AccessControllerEvent":"' + b"{}" * 257 + b'"}', "too_many"),
    "too many beside a good part": (MULTIPART, part(_EVENT, EVENT_PART) + part(b"{}" * 64) + END, "too_many"),
    "much in many packed parts": (
        MULTIPART,
        part(gzip.compress(b'{"a":"' + b"x" * 1_000_000 + b'"}')) * 5 + END,
        "too_large",
    ),
    "headers without end": (MULTIPART, b"--b\r\n" + b"Content-X: y\r\n" * 5000, "bad_part"),
}
"""What is wrong with it -> content type, body, reason."""
