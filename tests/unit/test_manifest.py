"""A plan is right as a whole, or each bad line is named with its reason."""

from __future__ import annotations

import codecs
import errno
import io
import os
import sys
import threading
import tracemalloc
from pathlib import Path

import pytest

from katapult_async import Assignment
from katapult_async.jobs import Manifest, ManifestError, ManifestLine
from katapult_async.jobs.manifest.reader import Source
from katapult_async.jobs.manifest.rows import AssignmentRows

GOOD = [
    ManifestLine(number=2, disk="disk_1", virtual_machine="vm_1"),
    ManifestLine(number=3, disk="disk_2", virtual_machine="web.example.com"),
]


def lines_of(text: str | bytes) -> list[ManifestLine]:
    data = text.encode() if isinstance(text, str) else text
    with Manifest.open("-", stdin=io.BytesIO(data)) as manifest:
        assert manifest.check().ok, manifest.check().complaints
        return list(manifest)


@pytest.mark.parametrize(
    "text",
    [
        "disk,virtual_machine\ndisk_1,vm_1\ndisk_2,web.example.com\n",
        "\ufeffdisk,virtual_machine\r\ndisk_1,vm_1\r\ndisk_2,web.example.com\r\n",
        ' Disk ; VIRTUAL_MACHINE \n"disk_1";"vm_1"\n disk_2 ; web.example.com\n',
        "virtual_machine\tdisk\nvm_1\tdisk_1\nweb.example.com\tdisk_2",
        "disk,virtual_machine\ndisk_1,vm_1\ndisk_2,WEB.Example.com.\n",
    ],
)
def test_csv_as_spreadsheets_write_it(text: str) -> None:
    assert lines_of(text) == GOOD


def test_json_lines() -> None:
    text = '\n{"disk":"disk_1","virtual_machine":"vm_1"}\n\n{"disk":"disk_2","virtual_machine":"web.example.com","attach":true}'
    assert [(line.number, line.disk, line.attach) for line in lines_of(text)] == [
        (2, "disk_1", None),
        (4, "disk_2", True),
    ]


def test_optional_columns_blank_lines_and_quotes() -> None:
    text = 'note,disk,virtual_machine,attach\n"a, b",disk_1,vm_1,yes\n\n,disk_2,vm_2,\n'
    assert [(line.number, line.note, line.attach) for line in lines_of(text)] == [
        (2, "a, b", True),
        (4, None, None),
    ]


@pytest.mark.parametrize("blank", ["\n", "\r\n\r\n", " \n\n\n", ";;\n", '"";""\n'])
def test_blank_lines_before_the_header_are_counted_and_skipped(blank: str) -> None:
    before = blank.count("\n")
    assert [(line.number, line.disk) for line in lines_of(f"{blank}disk;virtual_machine\ndisk_1;vm_1\n")] == [
        (before + 2, "disk_1")
    ]


def test_a_record_is_numbered_by_the_line_on_which_it_starts() -> None:
    text = 'note,disk,virtual_machine\n"a\nb\n",disk_1,vm_1\n\n"c\r\nd",disk_2,vm_2\ne,disk_3,vm_3\n'
    assert [(line.number, line.note) for line in lines_of(text)] == [(2, "a\nb"), (6, "c\r\nd"), (8, "e")]


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("", 1, "the manifest is empty"),
        ("disk,virtual_machine\n", 1, "the manifest is empty"),
        (
            "Volume,server,Ticket\ndisk_1,vm_1,7\n",
            1,
            "columns disk and virtual_machine (attach and note are optional). Found 'Volume, server, Ticket'",
        ),
        ("disk,machine\ndisk_1,vm_1\n", 1, "the column virtual_machine is missing"),
        ("disk,disk,virtual_machine\ndisk_1,disk_1,vm_1\n", 1, "the column 'disk' occurs twice: remove one"),
        ("disk,Disk,virtual_machine\ndisk_1,disk_1,vm_1\n", 1, "the column 'Disk' occurs twice"),
        (
            "disk,virtual_machine,Ticket\ndisk_1,vm_1,7\n",
            1,
            "unknown column 'Ticket'. Columns are disk, virtual_machine, attach and note: rename or remove it",
        ),
        (
            "disk,virtual_machine,Ticket,Who\ndisk_1,vm_1,7,me\n",
            1,
            "unknown columns 'Ticket' and 'Who'. Columns are disk, virtual_machine, attach and note: rename or",
        ),
        ("disk_1,vm_1\ndisk_2,vm_2\n", 1, "It seems to be data: 'disk_1, vm_1'"),
        ("disk_XiGOvrbcQIaabbCC,vm_a\n", 1, "It seems to be data: 'disk_XiGOvrbcQIaabbCC, vm_a'"),
        ("disk_id,vm\ndisk_2,vm_2\n", 1, "(attach and note are optional). Found 'disk_id, vm'"),
        ("disk,virtual_machine\nvm_1,disk_1\n", 2, "swapped"),
        ("disk,virtual_machine\ndisk-1,vm_1\n", 2, "is not a disk ID"),
        ("disk,virtual_machine\n,vm_1\n", 2, "the disk is missing"),
        ("disk,virtual_machine\ndisk_1,\n", 2, "the virtual machine is missing"),
        ("disk,virtual_machine\ndisk_1,web\n", 2, "is not a virtual machine"),
        ("disk,virtual_machine\ndisk_1,vm_1,x\n", 2, "expected 2 fields, found 3"),
        ("disk,virtual_machine\ndisk_1,vm_1\ndisk_1,vm_1\n", 3, "listed twice, first on line 2"),
        (
            "disk,virtual_machine\ndisk_1,vm_1\ndisk_1,vm_2\n",
            3,
            "listed twice: for vm_1 on line 2, and for vm_2 here",
        ),
        ("disk,virtual_machine,attach\ndisk_1,vm_1,maybe\n", 2, "true or false"),
        ('disk,virtual_machine\n"disk_1,vm_1\n', 2, "as CSV"),
        ('note,disk,virtual_machine\n"a\nb",disk_1,vm_1\n\n"c,disk_2,vm_2\nd,disk_3,vm_3\n', 5, "as CSV"),
        ('note,disk,virtual_machine\n"a\nb",disk_1,vm_1\n"a\nb",disk_1,vm_1\n', 4, "first on line 2"),
        ('note,disk,virtual_machine\n"a\nb",disk_1,vm_1\n"a\nb",disk_2\n', 4, "expected 3 fields, found 2"),
        ("\n\ndisk,virtual_machine\n\ndisk_1,vm\n", 5, "is not a virtual machine"),
        ("\n\ndisk,machine\ndisk_1,vm_1\n", 3, "virtual_machine is missing"),
        ("\n\n\n", 1, "the manifest is empty"),
        (
            "disk,virtual_machine\ndisk_1,Web.example.com\ndisk_1,web.example.com.\n",
            3,
            "listed twice, first on line 2",
        ),
        ('{"disk":"disk_1"}\n', 1, "the virtual machine is missing"),
        ('{"disk":"disk_1","virtual_machine":"vm_1"}\nnonsense\n', 2, "a JSON object"),
        ('{"disk":1,"virtual_machine":"vm_1"}\n', 1, "must be text"),
        ('{"disk":"disk_1","virtual_machine":"vm_1","vm":"x"}\n', 1, "unknown field 'vm'"),
        ('{"disk":null,"virtual_machine":"vm_1"}\n', 1, "the disk is missing"),
        ('{"disk":"disk_1","virtual_machine":"vm_1","note":"\\ud800"}\n', 1, "a JSON object"),
        ('{"disk":"disk_1","virtual_machine":"vm_1","note":["x"]}\n', 1, "note must be text"),
        ('{"disk":"disk_1","virtual_machine":"vm_1","note":{}}\n', 1, "note must be text"),
        (b"disk,virtual_machine\n\xff\xfe,vm_1\n", 2, "UTF-8"),
        (
            "disk,virtual_machine\ndisk_1,vm_1\n".encode("utf-16"),
            1,
            "the file is UTF-16 text. Save it as UTF-8",
        ),
        (codecs.BOM_UTF16_BE + "disk,virtual_machine\n".encode("utf-16-be"), 1, "the file is UTF-16 text"),
    ],
)
def test_complaints_name_the_line_and_the_reason(text: str | bytes, line: int, words: str) -> None:
    data = text.encode() if isinstance(text, str) else text
    with Manifest.open("-", stdin=io.BytesIO(data)) as manifest:
        check = manifest.check()
        assert not check.ok
        assert check.complaints[0].line == line
        assert words in check.complaints[0].reason
        assert str(check.complaints[0]).startswith(f"<standard input>:{line}: ")


@pytest.mark.parametrize("bad", [1, 2, 300, 1500])
@pytest.mark.parametrize("form", ["disk_{n},vm_1", '{{"disk":"disk_{n}","virtual_machine":"vm_1"}}'])
def test_a_byte_that_is_no_utf_8_is_complained_about_where_it_stands(bad: int, form: str) -> None:
    lines = [form.format(n=n).encode() for n in range(1, 2001)]
    if form.startswith("disk"):
        lines[0] = b"disk,virtual_machine"
    lines[bad - 1] += b"\xe9"
    with Manifest.open("-", stdin=io.BytesIO(b"\n".join(lines))) as manifest:
        assert [complaint.line for complaint in manifest.check().complaints] == [bad]
        with pytest.raises(ManifestError, match=f"<standard input>:{bad}: the file is not UTF-8 text"):
            list(manifest)


def test_reading_an_unchecked_manifest_stops_at_a_bad_line() -> None:
    data = b"disk,virtual_machine\ndisk_1,vm_1\nbad,vm_1\n"
    with Manifest.open("-", stdin=io.BytesIO(data)) as manifest:
        items = iter(manifest)
        assert next(items).disk == "disk_1"
        with pytest.raises(ManifestError, match="<standard input>:3: 'bad' is not a disk ID"):
            next(items)
        assert "standard input" in repr(manifest)


def test_twenty_complaints_are_kept_and_all_are_counted() -> None:
    data = "disk,virtual_machine\n" + "nonsense,vm_1\n" * 50
    with Manifest.open("-", stdin=io.BytesIO(data.encode())) as manifest:
        check = manifest.check()
    assert (len(check.complaints), check.complaint_count, check.lines) == (20, 50, 50)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="No such file"):
        Manifest.open(tmp_path / "missing.csv")
    with pytest.raises(ManifestError, match="directory"):
        Manifest.open(tmp_path)
    with pytest.raises(ManifestError, match="from standard input"):
        Manifest.open("-")
    plan = tmp_path / "plan.csv"
    plan.write_text("disk,virtual_machine\ndisk_1,vm_1\n")
    with Manifest.open(plan) as manifest:
        assert manifest.check().ok
        assert [line.disk for line in manifest] == ["disk_1"]


class Worn(io.RawIOBase):
    """A disk that cannot read behind the first bytes."""

    def __init__(self, start: bytes) -> None:
        self._start = io.BytesIO(start)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        return self._start.seek(offset, whence)

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        count = self._start.readinto(buffer)
        if not count:
            raise OSError(errno.EIO, "Input/output error")
        return count


def test_a_disk_that_cannot_be_read_is_said_in_a_sentence() -> None:
    worn = io.BufferedReader(Worn(b"disk,virtual_machine\ndisk_1,vm_1\n"))
    with Manifest("plan.csv", Source.of(worn), AssignmentRows()) as manifest:
        for read in (manifest.check, lambda: list(manifest)):
            with pytest.raises(
                ManifestError, match=r"^cannot read the manifest plan\.csv: Input/output error$"
            ):
                read()


@pytest.mark.skipif(sys.platform == "win32", reason="there are no such files")
def test_a_file_that_can_be_read_only_once_is_spooled(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "plan")
    text = "disk,virtual_machine\ndisk_1,vm_1\ndisk_2,web.example.com\n"
    writer = threading.Thread(target=(tmp_path / "plan").write_text, args=(text,))
    writer.start()
    with Manifest.open(tmp_path / "plan") as manifest:
        writer.join()
        assert manifest.check().ok
        assert list(manifest) == list(manifest) == GOOD


def test_each_bad_item_is_a_complaint_with_its_position() -> None:
    class Word(str):
        __slots__ = ()

    items: list[object] = [
        (Word("disk_1"), "Web.Example.com."),
        Assignment("disk_2", "vm_1"),
        ManifestLine(number=99, disk="disk_3", virtual_machine="vm_1", note="n"),
        ("disk_4", "vm_1", "x"),
        "disk_5",
        None,
        ("disk_\ud800", "vm_1"),
        ManifestLine(number=1, disk="disk_8", virtual_machine="vm_1", note="\ud800"),
        Assignment("disk_9"),
        ("disk_10", None),
        (11, "vm_1"),
        ManifestLine(number=1, disk="disk_12", virtual_machine="vm_1", note=object()),  # type: ignore[arg-type]
        {"disk": "disk_13", "virtual_machine": "vm_1"},
        ("disk_1", "web.example.com"),
    ]
    with Manifest.from_items(items, name="items") as manifest:
        check = manifest.check()
        assert check.lines == 14
        assert [(complaint.line, complaint.reason) for complaint in check.complaints] == [
            (4, "expected a pair of disk and virtual machine, found 3 values"),
            (5, "expected an Assignment, a ManifestLine or a pair (disk, virtual machine), found str"),
            (6, "expected an Assignment, a ManifestLine or a pair (disk, virtual machine), found NoneType"),
            (7, "it contains half a character (a lone surrogate)"),
            (8, "it contains half a character (a lone surrogate)"),
            (9, "the virtual machine is missing"),
            (10, "the virtual machine is missing"),
            (11, "disk must be text"),
            (12, "a value has the wrong type: attach must be true or false, the others must be text"),
            (13, "expected an Assignment, a ManifestLine or a pair (disk, virtual machine), found dict"),
            (14, "disk_1 is listed twice, first on line 1"),
        ]
        with pytest.raises(ManifestError, match=r"^items:4: expected a pair"):
            list(manifest)
    with Manifest.from_items([]) as manifest:
        assert manifest.check().complaints[0].reason == "the manifest is empty"


# -- JSON that says a thing twice, and lines without an end ----------------------------------------


@pytest.mark.parametrize(
    ("line", "field"),
    [
        ('{"disk":"disk_1","virtual_machine":"vm_1","disk":"disk_2"}', "disk"),
        ('{"disk":"disk_1","virtual_machine":"vm_1","virtual_machine" : "vm_1"}', "virtual_machine"),
        ('{"disk":"disk_1","virtual_machine":"vm_1","note":"a: b","n\\u006fte":"c"}', "note"),
    ],
)
def test_a_json_object_that_names_a_field_twice_is_refused(line: str, field: str) -> None:
    with Manifest.open("-", stdin=io.BytesIO(line.encode())) as manifest:
        (complaint,) = manifest.check().complaints
    assert str(complaint) == f"<standard input>:1: the field {field!r} occurs twice"


def test_colons_in_the_text_of_a_json_object_are_no_fields() -> None:
    (line,) = lines_of('{"disk":"disk_1","virtual_machine":"vm_1","note":"at 10:30:00"}')
    assert line.note == "at 10:30:00"


@pytest.mark.parametrize("value", ["9" * 5000, "1" + "0" * 5000 + ".5", "[" * 3000 + "]" * 3000])
def test_numbers_and_nests_that_python_refuses_are_complaints(value: str) -> None:
    text = f'{{"disk":{value},"virtual_machine":"vm_1","disk":"a:b"}}'
    with Manifest.open("-", stdin=io.BytesIO(text.encode())) as manifest:
        assert not manifest.check().ok


class Endless(io.RawIOBase):
    """A line that does not end."""

    def __init__(self, start: bytes, most: int) -> None:
        self._start, self.read_so_far, self._most = start, 0, most

    def read(self, size: int = -1) -> bytes:
        assert self.read_so_far < self._most, "it is read on and on"
        start, self._start = self._start, b""
        self.read_so_far += size
        return (start + b"x" * size)[:size]


def test_a_line_without_an_end_is_refused_without_being_read_whole() -> None:
    endless = Endless(b"disk,virtual_machine\ndisk_1,", 1 << 20)
    with Manifest.open("-", stdin=endless) as manifest:  # type: ignore[arg-type]
        (complaint,) = manifest.check().complaints
    assert str(complaint) == (
        "<standard input>:2: the line is longer than 64 KiB. Check that this file is a manifest"
    )


@pytest.mark.skipif(sys.platform == "win32", reason="there is no resource module")
@pytest.mark.parametrize("start", [b"disk,virtual_machine\ndisk_1,vm_1,", b'{"disk":"', b"\n"])
def test_a_long_line_of_a_file_takes_no_memory(tmp_path: Path, start: bytes) -> None:
    with (tmp_path / "plan.csv").open("wb") as file:
        file.write(start)
        file.truncate(200 << 20)  # a line of zeros: it takes no room on the disk
    tracemalloc.start()
    try:
        with Manifest.open(tmp_path / "plan.csv") as manifest:
            assert not manifest.check().ok
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 4 << 20


def test_a_line_of_64_kib_is_read() -> None:
    start = '{"disk":"disk_1","virtual_machine":"vm_1","note":"'
    text = start + "x" * ((1 << 16) - len(start) - 3) + '"}\n'
    assert len(text) == 1 << 16
    assert len(lines_of(text)) == 1


def test_items_of_a_program_may_be_long() -> None:
    note = "x" * (1 << 17)
    items = [ManifestLine(number=1, disk="disk_1", virtual_machine="vm_1", note=note)]
    with Manifest.from_items(items) as manifest:
        assert [line.note for line in manifest] == [note]


def test_the_names_of_columns_may_be_upper_case() -> None:
    (line,) = lines_of("Virtual_Machine,DISK\nvm_1,disk_1\n")
    assert (line.disk, line.virtual_machine) == ("disk_1", "vm_1")
