"""Lines as records, without I/O: found wherever the pieces are cut, read by their form, broken ones told apart."""

import gzip
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.errors import Permanent
from worker.gzip import Inflater
from worker.lines import LONGEST, BrokenLine, Form, Line, Reading, Splitter, Writing

FORMS: tuple[Form, ...] = ("jsonl", "csv")

TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\r"), max_size=12)
RECORDS = st.lists(st.fixed_dictionaries({"id": TEXTS, "na,me": TEXTS}), max_size=8)


def lines_of(
    data: bytes, form: Form, cut: int, after: Line | None = None, reading: Reading | None = None
) -> list[Line]:
    """Read lines from pieces of such a length, behind a line."""
    reading = reading or Reading(form)
    number, start = (after.number, after.end) if after else (0, 0)
    splitter = Splitter(quoted=form == "csv", number=number, start=start)
    rows = [row for at in range(start, len(data), cut) for row in splitter.feed(data[at : at + cut])]
    return [line for row in (*rows, *splitter.finish()) if (line := reading(row)) is not None]


@given(RECORDS, st.sampled_from(FORMS), st.integers(1, 20), st.booleans())
def test_lines_are_what_was_written(records: list[dict[str, Any]], form: Form, cut: int, ended: bool) -> None:
    """Whatever is in them and wherever the pieces end, and whether the last one has an end."""
    data = b"".join(map(Writing(form), records))
    data = data if ended or form == "csv" else data.removesuffix(b"\n")
    assert [dict(line) for line in lines_of(data, form, cut)] == records


@given(RECORDS.filter(bool), st.sampled_from(FORMS), st.integers(1, 20))
def test_lines_go_on_behind_any_of_them(records: list[dict[str, Any]], form: Form, cut: int) -> None:
    """The position of a line is where the rest begins, with the same positions; its bytes are the line."""
    data, reading = b"".join(map(Writing(form), records)), Reading(form)
    lines = lines_of(data, form, 1_000, reading=reading)
    for place, line in enumerate(lines):
        rest = lines_of(data, form, cut, line, reading)
        assert [each.key for each in rest] == [each.key for each in lines[place + 1 :]]
        assert [dict(each) for each in rest] == records[place + 1 :]


@pytest.mark.parametrize(
    ("form", "data", "said"),
    [
        ("jsonl", b'{"id": 1}\n{"id"\n{"id": 3}\n', "line 2 (bytes 10-16): is no jsonl"),
        ("jsonl", b'{"id": 1}\n[2]\n{"id": 3}\n', "it is a list, not an object"),
        ("jsonl", b'{"id": 1}\n\xff\n{"id": 3}\n', "line 2"),
        ("csv", b"id,name\n1,a\n2\n3,c\n", "it has 1 fields, the header has 2"),
        ("csv", b'id,name\n1,a\n2,"b"x\n3,c\n', "is no csv"),
        ("text", b"a\n\xff\nc\n", "is no text"),
    ],
)
def test_lines_that_are_broken_fail_as_records(form: Form, data: bytes, said: str) -> None:
    """A broken line raises with its position whenever it is looked into; its neighbours are as they are."""
    lines = lines_of(data, form, 7)
    assert [type(line) for line in lines] == [Line, BrokenLine, Line]
    for look in (lambda line: line["id"], dict, len, list, lambda line: line.get("id"), lambda line: "id" in line):
        with pytest.raises(Permanent) as broken:
            look(lines[1])
        assert said in str(broken.value)
        assert broken.value.type == "broken line"


def test_lines_that_are_too_long_are_broken() -> None:
    """A line that would not fit into memory is passed over; so is what an open quote would swallow."""
    data = b'{"id": 1}\n' + b"x" * (LONGEST + 1) + b'\n{"id": 3}\n'
    assert [type(line) for line in lines_of(data, "jsonl", 65_536)] == [Line, BrokenLine, Line]
    csv = b'id,name\n1,"a\n' + b"2,b\n" * (LONGEST // 4) + b"3,c\n" * 3
    lines = lines_of(csv, "csv", 65_536)
    assert isinstance(lines[0], BrokenLine)
    assert dict(lines[-1]) == {"id": "3", "name": "c"}


def test_lines_may_be_blank_marked_and_of_windows() -> None:
    """Blank lines are none, but count; a byte-order mark and carriage returns are not part of a line; blank texts are texts."""
    data = b'\xef\xbb\xbf{"id": 1}\r\n\r\n\n{"id": 2}\r\n'
    assert [(line.number, dict(line)) for line in lines_of(data, "jsonl", 3)] == [(1, {"id": 1}), (4, {"id": 2})]
    assert [dict(line) for line in lines_of(b"\xef\xbb\xbfid\r\n1\r\n\r\n2", "csv", 3)] == [{"id": "1"}, {"id": "2"}]
    assert [line["text"] for line in lines_of(b"a\n\nb", "text", 3)] == ["a", "", "b"]


@pytest.mark.parametrize("header", [b"id,id\n", b"\n", b'"id\n', b"\xff\n"])
def test_lines_need_a_header_that_names_each_field_once(header: bytes) -> None:
    """A CSV file without one cannot be read at all."""
    with pytest.raises(ValueError, match="header"):
        lines_of(header + b"1,2\n", "csv", 100)


@given(st.lists(st.binary(max_size=300), min_size=1, max_size=3), st.integers(1, 50))
def test_gzip_of_several_members_is_unpacked(parts: list[bytes], cut: int) -> None:
    """Members and padding one after the other, wherever the pieces are cut."""
    packed = b"".join(map(gzip.compress, parts)) + b"\0" * 7
    inflater = Inflater()
    pieces = [piece for at in range(0, len(packed), cut) for piece in inflater.feed(packed[at : at + cut])]
    inflater.finish()
    assert b"".join(pieces) == b"".join(parts)


def test_gzip_that_expands_a_thousandfold_comes_in_small_pieces() -> None:
    """What is packed to nothing is not unpacked all at once."""
    pieces = list(Inflater().feed(gzip.compress(b"\0" * 50_000_000)))
    assert max(map(len, pieces)) <= 262_144


@pytest.mark.parametrize(("damage", "said"), [(-1, "cut short"), (100, "damaged"), (0, "is no gzip")])
def test_gzip_that_is_damaged_is_told(damage: int, said: str) -> None:
    """Cut short by one byte, changed in the middle, or none at all."""
    packed = bytearray(gzip.compress(json.dumps(list(range(1_000))).encode()))
    if damage < 0:
        del packed[damage:]
    else:
        packed[damage] ^= 0xFF
    inflater = Inflater()
    with pytest.raises(ValueError, match=said):
        unpack_whole(inflater, bytes(packed))


def unpack_whole(inflater: Inflater, packed: bytes) -> None:
    """Unpack all of it."""
    for _ in inflater.feed(packed):
        pass
    inflater.finish()
