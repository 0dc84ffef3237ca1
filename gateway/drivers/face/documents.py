"""A text part becomes documents: characters decoded, JSON or XML read into plain mappings.

Pure; knows no vendor's fields. The text may be as terminals write it: marked UTF-8, GB18030 under any name, tabs inside JSON
strings, NUL padding, several documents in one part. No error carries any of it (see ``bodies.BodyFault``).
"""

from __future__ import annotations

import json
import re
import zlib
from xml.etree import ElementTree as ET

from gateway.drivers.face.bodies import MAX_BODY, MAX_TEXT, TOO_MANY, BodyFault, Text, inflate

Document = dict[str, object]
"""One JSON object, or one XML element as a mapping of its children (namespaces gone, leaves as text)."""

MAX_DEPTH = 32
MAX_DOCUMENTS = 64
"""Of one body: a push has one or two."""

_XML_ENCODING = re.compile(rb"<\?xml[^>]{0,100}?encoding[ \t]*=[ \t]*[\"']([A-Za-z0-9_-]+)", re.IGNORECASE)
_XML_DECLARATION = re.compile(r"<\?xml[^<>]{0,200}\?>")  # bounded: a text of many openings must not cost their square
_BETWEEN = re.compile(r"[ \t\r\n,]*")
_CODECS = {
    "utf-8": "utf-8-sig",
    "utf8": "utf-8-sig",
    "gbk": "gbk",
    "gb2312": "gb18030",  # devices that say GB2312 write GBK and more
    "gb18030": "gb18030",
    "big5": "big5",
    "utf-16": "utf-16",
    "iso-8859-1": "latin-1",
    "us-ascii": "ascii",
}
_XML_SECOND_ELEMENT = 9  # expat: XML_ERROR_JUNK_AFTER_DOC_ELEMENT
_XML_CUT_SHORT = {3, 5}  # expat: XML_ERROR_NO_ELEMENTS, XML_ERROR_UNCLOSED_TOKEN


def read_documents(texts: list[Text]) -> tuple[list[Document], list[BodyFault]]:
    """The documents of one body's text parts in their order, and the faults of the parts that could not be read.

    One broken part does not cost the others: the terminal would resend the same body for ever (facts/face 0.4). Only
    where no part at all can be read does the first fault rise. A body that holds ``too_many`` is refused whole.
    """
    documents: list[Document] = []
    faults: list[BodyFault] = []
    room = MAX_BODY  # parts may be packed, each for itself
    for text in texts:
        try:
            plain = decode_text(text)
            room -= len(plain)
            documents += parse_documents(plain, MAX_DOCUMENTS - len(documents)) if room >= 0 else []
        except BodyFault as fault:
            if fault.reason == TOO_MANY:
                raise
            faults.append(fault)
    if room < 0:
        raise BodyFault("too_large", f"text over {MAX_BODY} characters")
    if faults and not documents:
        raise faults[0]
    return documents, faults


def decode_text(text: Text) -> str:
    """The characters of a part: UTF-8 (with or without mark), else as declared, else GB18030, else with replacements.

    NUL characters are dropped. Raises BodyFault for a gzip part that is broken or too large.
    """
    data = _unzip(text.data)
    declared = text.charset or _xml_encoding(data)
    wide = "utf-16" if data.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8-sig"
    for codec in (wide, _CODECS.get(declared, ""), "gb18030"):
        if codec:
            try:
                return data.decode(codec).replace("\0", "")
            except UnicodeDecodeError:
                continue
    return data.decode("utf-8", "replace").replace("\0", "")


def _unzip(data: bytes) -> bytes:
    if not data.lstrip().startswith(b"\x1f\x8b"):
        return data
    packed = zlib.decompressobj(31)
    plain = b"".join(inflate(packed, data.lstrip(), MAX_TEXT))
    if len(plain) > MAX_TEXT:
        raise BodyFault("too_large", f"packed part over {MAX_TEXT} bytes")
    if not packed.eof:
        raise BodyFault("truncated", "packed part ends early")
    return plain


def _xml_encoding(data: bytes) -> str:
    found = _XML_ENCODING.search(data[:200])
    return found[1].decode("ascii").lower() if found else ""


def parse_documents(text: str, most: int) -> list[Document]:
    """The documents of one text part in their order: one or several JSON values, or XML elements.

    Raises BodyFault; ``too_many`` as soon as there are more than ``most``.
    """
    text = text.lstrip("\ufeff \t\r\n")
    found = _parse_xml(text) if text.startswith("<") else _parse_json(text, most)
    if len(found) > most:
        raise BodyFault(TOO_MANY, f"more than {most} documents")
    return found


def _no_number(_: str) -> None:
    """NaN and Infinity are no JSON; in a field nobody reads they must not cost the event."""


_JSON = json.JSONDecoder(strict=False, parse_constant=_no_number)


def _parse_json(text: str, most: int) -> list[Document]:
    """Stops after ``most`` documents and one."""
    found: list[object] = []
    at = 0
    while at < len(text) and text[at] in "{[" and len(found) <= most:
        value, at = _decode_json(text, at)
        found += _as_list(value)
        between = _BETWEEN.match(text, at)
        at = between.end() if between else at
    if not found and not text.startswith("["):
        raise BodyFault("bad_document", "neither JSON nor XML")
    documents = [item for item in found if isinstance(item, dict)]
    if len(documents) != len(found):
        raise BodyFault("bad_document", "not an object")
    return documents


def _decode_json(text: str, at: int) -> tuple[object, int]:
    # Raised outside the handlers: the parser's own errors carry the whole text, and must not ride along as context.
    fault: BodyFault
    try:
        return _JSON.raw_decode(text, at)
    except json.JSONDecodeError as bad:
        cut = bad.pos >= len(text.rstrip()) or bad.msg.startswith("Unterminated string")
        fault = BodyFault("truncated" if cut else "bad_json", f"character {bad.pos}")
    except RecursionError:
        fault = BodyFault("too_deep")
    except ValueError:  # a number of more digits than Python converts
        fault = BodyFault("bad_json", "number too long")
    raise fault


def _parse_xml(text: str) -> list[Document]:
    lowered = text.lower()
    if "<!doctype" in lowered or "<!entity" in lowered:
        raise BodyFault("doctype", "XML with its own entities is refused")
    # What stands behind the last element is the rest of a boundary, not of the document.
    text = _XML_DECLARATION.sub("", text[: text.rfind(">") + 1])
    fault: BodyFault
    try:
        return [_as_document(ET.fromstring(text))]  # noqa: S314 - DOCTYPE refused above
    except ET.ParseError as bad:
        several = bad.code == _XML_SECOND_ELEMENT
        fault = BodyFault("truncated" if bad.code in _XML_CUT_SHORT else "bad_xml", f"line {bad.position[0]}")
    if several and not text.startswith("<all>"):
        wrapped = _parse_xml(f"<all>{text}</all>")[0]
        return [found for items in wrapped.values() for found in _as_list(items) if isinstance(found, dict)]
    raise fault


def _as_document(element: ET.Element) -> Document:
    value = _from_element(element, MAX_DEPTH)
    return value if isinstance(value, dict) else {}


def _as_list(value: object) -> list[object]:
    return value if isinstance(value, list) else [value]


def _from_element(element: ET.Element, depth: int) -> object:
    if depth == 0:
        raise BodyFault("too_deep")
    if not len(element):
        return (element.text or "").strip()
    found: Document = {}
    for child in element:
        name = child.tag.rpartition("}")[2] if isinstance(child.tag, str) else ""
        value = _from_element(child, depth - 1)
        if name not in found:
            found[name] = value
            continue
        before = found[name]
        if isinstance(before, list):
            before.append(value)
        else:
            found[name] = [before, value]
    return found
