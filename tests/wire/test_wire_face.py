"""Transcripts of what terminals and we say to each other besides pushes: logs, streams, settings, logins; and `loudong decode`.

Written from descriptions of captures (facts/face 1.1, 1.4, 2); every name, number and picture in them is a canary.
"""

from __future__ import annotations

import base64
import json
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from wire.face_bodies import CANARIES, CARD, EMPLOYEE, ID_CARD, JPEG, NAME

from gateway.drivers.face import pages
from gateway.drivers.face.digest import DigestGate, Verdict
from gateway.drivers.face.framing import Framer
from gateway.drivers.face.history import read_page
from gateway.drivers.face.isapi import decode_texts
from gateway.drivers.face.lines import decode_line
from gateway.drivers.face.persons import sealer
from gateway.drivers.face.terminal import Terminal

GATE = Terminal("gate-1", sealer(b"k" * 32), enrolment="compound", zone=ZoneInfo("Asia/Shanghai"))

VIDEOLOSS = (
    '<?xml version="1.0" encoding="UTF-8"?>\n<EventNotificationAlert version="2.0" xmlns="http://www.hikvision.com/ver20/XMLSchema">\n'
    "<ipAddress>192.0.2.64</ipAddress>\n<portNo>80</portNo>\n<dateTime>2026-10-06T17:05:30+08:00</dateTime>\n"
    "<activePostCount>0</activePostCount>\n<eventType>videoloss</eventType>\n<eventState>inactive</eventState>\n"
    "<eventDescription>videoloss alarm</eventDescription>\n</EventNotificationAlert>\n"
)
PASS = (
    '{\n\t"ipAddress":\t"192.0.2.64",\n\t"portNo":\t80,\n\t"protocol":\t"HTTP",\n\t"macAddress":\t"88:de:39:00:00:01",\n'
    '\t"channelID":\t1,\n\t"dateTime":\t"2026-10-06T17:05:35+08:00",\n\t"activePostCount":\t1,\n'
    '\t"eventType":\t"AccessControllerEvent",\n\t"eventState":\t"active",\n\t"AccessControllerEvent":\t{\n'
    f'\t\t"majorEventType":\t5,\n\t\t"subEventType":\t75,\n\t\t"name":\t"{NAME}",\n\t\t"employeeNoString":\t"{EMPLOYEE}",\n'
    '\t\t"doorNo":\t1,\n\t\t"serialNo":\t218,\n\t\t"frontSerialNo":\t217,\n\t\t"currentEvent":\ttrue\n\t}\n}'
)


def stream_part(kind: str, body: bytes) -> bytes:
    return f"--MIME_boundary\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body + b"\r\n"


STREAM = (
    stream_part('application/xml; charset="UTF-8"', VIDEOLOSS.encode()),
    stream_part('application/json; charset="UTF-8"', PASS.encode()),
    stream_part("image/jpeg", JPEG),
    stream_part('application/xml; charset="UTF-8"', VIDEOLOSS.encode()),
)


@pytest.mark.parametrize("chunk", [1, 100, 1_460, 1_000_000])
def test_a_stream_as_it_is_heard(chunk: int) -> None:
    """Each part is handed out in the pause behind it, never later; the picture never."""
    framer, told = Framer("multipart/mixed; boundary=MIME_boundary"), []
    for piece in STREAM:
        texts = [text for at in range(0, len(piece), chunk) for text in framer.feed(piece[at : at + chunk])]
        decoded = [decode_texts([text], GATE, None) for text in [*texts, *framer.pause()]]
        told.append([(d.outcome, [entry.seq for entry in d.entries]) for d in decoded])
        assert not [canary for canary in CANARIES if canary in repr(decoded)]
    assert told == [[("heartbeat", [])], [("events", [218])], [], [("heartbeat", [])]]


LOG = json.dumps(
    {
        "AcsEvent": {
            "searchID": "2f9c7d0e-58f4-4f6c-9b8e-0c1d2e3f4a5b", "totalMatches": 95, "responseStatusStrg": "MORE", "numOfMatches": 3,
            "InfoList": [
                {"major": 5, "minor": 75, "time": "2026-10-06T17:05:35+08:00", "cardNo": CARD, "cardType": 1, "name": NAME,
                 "cardReaderNo": 1, "doorNo": 1, "employeeNoString": EMPLOYEE, "serialNo": 218, "userType": "normal",
                 "currentVerifyMode": "cardOrfaceOrPw", "mask": "no", "pictureURL": "http://192.0.2.64/LOCALS/pic/a.jpeg@WEB1",
                 "picturesNumber": 1, "FaceRect": {"height": 0.288, "width": 0.513, "x": 0.168, "y": 0.349}},
                {"major": 5, "minor": 21, "time": "2026-10-06T17:05:35+08:00", "doorNo": 1, "serialNo": 219, "currentVerifyMode": "invalid"},
                {"major": 3, "minor": 112, "time": "2026-10-06T17:06:01+08:00", "netUser": "admin-canary", "remoteHostAddr": "192.0.2.2",
                 "serialNo": 220, "currentVerifyMode": "invalid"},
            ],
        }
    }, ensure_ascii=False, indent="\t",
).encode()  # fmt: skip


def test_a_page_of_a_log() -> None:
    page = read_page(LOG, GATE)
    assert [(e.seq, e.type, e.live) for e in page.entries] == [
        (218, "access.granted", False),
        (219, "door.unlocked", False),
        (220, "device.other", False),
    ]
    assert page.more
    assert not [canary for canary in CANARIES if canary in repr(page)]


def test_a_pass_pushed_and_a_pass_read_from_the_log_are_one() -> None:
    framer = Framer()
    framer.feed(STREAM[1])
    (pushed,) = decode_texts(framer.pause(), GATE, None).entries
    assert pushed.key == read_page(LOG, GATE).entries[0].key


def test_settings_as_a_terminal_tells_them() -> None:
    hosts = (
        b'<?xml version="1.0" encoding="UTF-8"?>\n<HttpHostNotificationList version="2.0" xmlns="http://www.isapi.org/ver20/XMLSchema">\n'
        b"<HttpHostNotification>\n<id>1</id>\n<url>/hikvision/gate-1/secret</url>\n<protocolType>HTTP</protocolType>\n"
        b"<parameterFormatType>JSON</parameterFormatType>\n<addressingFormatType>ipaddress</addressingFormatType>\n"
        b"<ipAddress>192.0.2.2</ipAddress>\n<portNo>8099</portNo>\n<userName>loudong</userName>\n"
        b"<httpAuthenticationMethod>MD5digest</httpAuthenticationMethod>\n<SubscribeEvent>\n<heartbeat>30</heartbeat>\n"
        b"<eventMode>all</eventMode>\n<EventList>\n<Event>\n<type>AccessControllerEvent</type>\n<pictureURLType>binary</pictureURLType>\n"
        b"</Event>\n</EventList>\n</SubscribeEvent>\n</HttpHostNotification>\n</HttpHostNotificationList>\n"
    )
    (host,) = pages.push_hosts(hosts)
    assert (host.path, host.address, host.port, host.digest) == ("/hikvision/gate-1/secret", "192.0.2.2", 8099, True)
    clock = b'<Time version="2.0"><timeMode>NTP</timeMode><localTime>2026-10-06T17:05:35+08:00</localTime><timeZone>CST-8:00:00</timeZone></Time>'
    assert pages.clock_ms(clock, None) == 1_791_277_535_000


def test_a_login_as_curl_gives_it() -> None:
    """`curl --digest -u loudong:secret`, once recorded: the fields in its order, its quotes, its count without quotes."""
    gate = DigestGate(b"k" * 32, lambda: 1_000)
    nonce = gate.challenge().split('nonce="')[1].split('"')[0]
    header = (
        f'Digest username="loudong", realm="loudong", nonce="{nonce}", uri="/hikvision/gate-1/secret", '
        'cnonce="MGI3ZmQ1YzYwZTQ4", nc=00000001, qop=auth, response="{}", algorithm=MD5'
    )
    told = header.format(_response(nonce, "secret", "MGI3ZmQ1YzYwZTQ4"))
    assert gate.judge(told, "POST", "/hikvision/gate-1/secret", "loudong", "secret") is Verdict.GRANTED


def _response(nonce: str, password: str, cnonce: str) -> str:
    import hashlib

    def md5(text: str) -> str:
        return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()

    secret, asked = md5(f"loudong:loudong:{password}"), md5("POST:/hikvision/gate-1/secret")
    return md5(f"{secret}:{nonce}:00000001:{cnonce}:auth:{asked}")


def line(body: bytes, content_type: str = "application/json", **more: Any) -> dict[str, Any]:
    packed = base64.b64encode(body).decode()
    return {
        "kind": "face",
        "vendor": "hikvision",
        "content_type": content_type,
        "body_base64": packed,
        "terminal": "g",
        **more,
    }


UFACE = {"deviceKey": "84E0F42086C00001", "personId": EMPLOYEE, "time": "1791277535000", "type": "face_0", "name": NAME,
         "imgBase64": "/9j/4AAQ", "idcardNum": ID_CARD}  # fmt: skip
UFACE_MAPPING = {
    "type": {"from": "type", "values": {"face_0": "access.granted", "face_1": "access.denied", "card_0": "access.granted"}},
    "person": "personId", "nobody": ["STRANGERBABY", "-1"], "time": {"from": "time", "as": "epoch_ms"}, "device": "deviceKey",
}  # fmt: skip
DECODED = {
    "a push": (line(PASS.encode()), [("access.granted", 218, True)], None),
    "a page of a log": (line(LOG), [("access.granted", 218, False), ("door.unlocked", 219, False), ("device.other", 220, False)], None),
    "a heartbeat": (line(VIDEOLOSS.encode(), "application/xml"), [], "heartbeat"),
    "a whole stream": (line(b"".join(STREAM), "multipart/mixed; boundary=MIME_boundary"), [("access.granted", 218, True)], None),
    "a picture alone": (line(JPEG, "image/jpeg"), [], "picture_only"),
    "UFACE, by a mapping": (
        line(json.dumps(UFACE).encode(), vendor="generic", mapping=UFACE_MAPPING), [("access.granted", None, False)], None,
    ),
    "UFACE, a type nobody mapped": (
        line(json.dumps(UFACE | {"type": "face_2"}).encode(), vendor="generic", mapping=UFACE_MAPPING),
        [("access.unknown", None, False)], None,
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", DECODED)
def test_decode(what: str) -> None:
    asked, events, outcome = DECODED[what]
    answer = decode_line(asked)
    assert [(event["type"], event["seq"], event["live"]) for event in answer["events"]] == events, answer
    assert (answer["reply"], answer.get("outcome")) == ({"status": 200}, outcome)
    assert not [canary for canary in (*CANARIES, EMPLOYEE) if canary in json.dumps(answer, ensure_ascii=False)]
