"""Bytes made smaller, with a dictionary of what alerts and their messages are full of.

Pure. A body of two kilobytes shrinks to a third by itself and to a tenth with the dictionary, for most of it is names of fields
(RFC 1950, 2.2: a stream says by FDICT that it needs one). The dictionary is part of the format of what lies on the disk: it is
never edited once released; another one would be a second constant, chosen by the checksum in the stream.
"""

from __future__ import annotations

import zlib

FIRST = b"\x78"
"""First byte of every stream made here (RFC 1950, 2.2: deflate, 32 KiB window)."""
_FDICT = 0x20
_LEVEL = 6
_MOST = 128 << 20  # twice what memory mode may hold: no body is longer, and a start must not die of one that says it is

# What is met most often stands last, where a reference to it is shortest (zlib.h, deflateSetDictionary).
_DICTIONARY = (
    b'{"event":"press","button":"","kind":"single","key":"c","index":"1","counter":,"packet_id":null,"digest":"","encrypted":true,'
    b'"late":false,"suspect":null,"rssi_dbm":-60}{"event":"entry","terminal":"gate-","type":"access.granted","code":"5/75","door":"1",'
    b'"direction":"in","subject":"known","person":null,"credential":"face","seq":,"prev_seq":null,"live":true,"terminal_time_ms":,'
    b'"time_quality":"received","liveness":"unknown","mask":"unknown","anomalies":[]}{"event":"device_health","device":"","health":"ok",'
    b'"reason":"timeout","detail":""}{"event":"actuated","output":"","wanted":"on","actual":"on","confirmed":true,"reason":""}'
    b'{"event":"receipt","uplink":"street","message_id":"","system":"duty-office","received_at":"2026-"}'
    b'{"event":"command","command_id":"","principal":"local:root","who":"","verb":"shelve","alert":"","reason":"","for_ms":null,'
    b'"on_site":false,"mistaken":false,"button":""}{"event":"reading","device":"air-","point":"temperature","value":,"quality":"good"}'
    b'{"id":"","revision":1,"rule":"gas-high","subject":"gas-","place":"b1/s1/","priority":"critical","grade":"big","occasion":"",'
    b'"opened_at":,"changed_at":,"why":[{"fact":"gas","value":true,"quality":"good","at":,"unit":"%LEL","limit":null,"of":""}],'
    b'"condition":"normal","response":"acknowledged","suppression":"none","latch":true,"momentary":false,"silent":false,"drill":false,'
    b'"occurrences":1,"told":[{"rung":"building","at":,"people":["head-b1"],"because":"raised"},{"rung":"grid","at":,"people":["grid-1"],'
    b'"because":"due"},{"rung":"community","at":,"people":["community"]},{"rung":"street","at":,"people":["street"]},{"rung":"district"}],'
    b'"next_rung":"grid","climb_from":,"climb_due":null,"answer_due":null,"answered_by":null,"answered_at":null,"on_site":false,'
    b'"regrade_due":null,"regrade_step":0,"silenced":false,"worst":null,"shelved_until":null,"shelved_by":null,"reset_by":null,'
    b'"closed_by":null,"closed_as":null,"reason":"","undated":false}'
    b'{"specversion":"1.0","id":"","source":"/loudong/v1/","type":"loudong.alert.raised","subject":"","time":"2026-",'
    b'"datacontenttype":"application/json","sequence":"0000000000000001","lane":"critical","data":{"change":"told","alert":"",'
    b'"revision":2,"rule":"sos","subject":"sos-","place":"b1/s1/","priority":"high","grade":"small","condition":"active",'
    b'"response":"unanswered","suppression":"none","latch":false,"momentary":true,"silent":false,"drill":false,"occurrences":1,'
    b'"told":[{"rung":"building","people":["head-b1"],"because":"raised","at":null,"age_s":0.0},{"rung":"grid","people":["grid-1"],'
    b'"because":"due","at":"2026-","age_s":}],"next_rung":"community","why":[{"fact":"press","value":"single","unit":"","limit":null,'
    b'"quality":"good","at":null,"age_s":0.0}],"who":null,"reason":"","closed_as":null,"occurred_at":"2026-","changed_at":"2026-",'
    b'"age_s":0.0,"clock":"synced","boot_id":"","run":"","durable":true,"texts":{"en":{"title":"[CRITICAL] ","text":"Told: building head, '
    b'grid worker, community, street, district. A big matter. Acknowledged by Closed by "},"zh-CN":{"title":"\xe3\x80\x90\xe7\xb4\xa7\xe6'
    b'\x80\xa5\xe3\x80\x91","text":"\xe5\xb7\xb2\xe9\x80\x9a\xe7\x9f\xa5:\xe6\xa5\xbc\xe6\xa0\x8b\xe9\x95\xbf\xe3\x80\x81\xe7\xbd\x91\xe6'
    b'\xa0\xbc\xe9\x95\xbf\xe3\x80\x82\xe5\xb1\x9e\xe5\xa4\xa7\xe4\xba\x8b\xe3\x80\x82"}}}}'
)


def deflated(plain: bytes) -> bytes:
    """The bytes as a stream."""
    machine = zlib.compressobj(_LEVEL, zdict=_DICTIONARY)
    return machine.compress(plain) + machine.flush()


def inflated(stream: bytes) -> bytes:
    """The bytes again, also of a stream made without the dictionary. Raises zlib.error for anything that is no whole stream, or
    that becomes longer than anything we deflate.
    """
    needs = len(stream) > 1 and stream[1] & _FDICT
    machine = zlib.decompressobj(zdict=_DICTIONARY) if needs else zlib.decompressobj()
    plain = machine.decompress(stream, _MOST)
    if not machine.eof:
        raise zlib.error("the stream ends too early, or too late")
    return plain
