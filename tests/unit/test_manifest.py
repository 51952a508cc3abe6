"""A plan is right as a whole, or each bad line is named with its reason."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from katapult_async.jobs import Manifest, ManifestError, ManifestLine

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


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("", 1, "nothing in it"),
        ("disk,virtual_machine\n", 1, "nothing in it"),
        ("disk,machine\ndisk_1,vm_1\n", 1, "must name the columns"),
        ("disk,disk,virtual_machine\ndisk_1,disk_1,vm_1\n", 1, "each once"),
        ("disk,virtual_machine\nvm_1,disk_1\n", 2, "swapped"),
        ("disk,virtual_machine\ndisk-1,vm_1\n", 2, "no id of a disk"),
        ("disk,virtual_machine\n,vm_1\n", 2, "no disk is given"),
        ("disk,virtual_machine\ndisk_1,\n", 2, "no virtual machine is given"),
        ("disk,virtual_machine\ndisk_1,web\n", 2, "neither the id"),
        ("disk,virtual_machine\ndisk_1,vm_1,x\n", 2, "3 fields instead of 2"),
        ("disk,virtual_machine\ndisk_1,vm_1\ndisk_1,vm_1\n", 3, "listed twice: first on line 2"),
        ("disk,virtual_machine\ndisk_1,vm_1\ndisk_1,vm_2\n", 3, "wanted on vm_1 on line 2 and on vm_2 here"),
        ("disk,virtual_machine,attach\ndisk_1,vm_1,maybe\n", 2, "true or false"),
        ('disk,virtual_machine\n"disk_1,vm_1\n', 1, "no CSV"),
        ('{"disk":"disk_1"}\n', 1, "no virtual machine is given"),
        ('{"disk":"disk_1","virtual_machine":"vm_1"}\nnonsense\n', 2, "no JSON object"),
        ('{"disk":1,"virtual_machine":"vm_1"}\n', 1, "must be text"),
        ('{"disk":"disk_1","virtual_machine":"vm_1","vm":"x"}\n', 1, "unknown field 'vm'"),
        (b"disk,virtual_machine\n\xff\xfe,vm_1\n", 1, "UTF-8"),
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


def test_reading_an_unchecked_manifest_stops_at_a_bad_line() -> None:
    data = b"disk,virtual_machine\ndisk_1,vm_1\nbad,vm_1\n"
    with Manifest.open("-", stdin=io.BytesIO(data)) as manifest:
        items = iter(manifest)
        assert next(items).disk == "disk_1"
        with pytest.raises(ManifestError, match="<standard input>:3: 'bad' is no id"):
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
    with pytest.raises(ManifestError, match="no standard input"):
        Manifest.open("-")
    plan = tmp_path / "plan.csv"
    plan.write_text("disk,virtual_machine\ndisk_1,vm_1\n")
    with Manifest.open(plan) as manifest:
        assert manifest.check().ok
        assert [line.disk for line in manifest] == ["disk_1"]
