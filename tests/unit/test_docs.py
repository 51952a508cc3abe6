"""What the README shows runs."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()


def blocks(language: str) -> list[str]:
    return [
        textwrap.dedent(text)
        for text in re.findall(rf"^ *```{language}\n(.*?)^ *```$", README, re.MULTILINE | re.DOTALL)
    ]


def test_the_python_in_the_readme_is_python_with_real_names() -> None:
    import katapult_async
    import katapult_async.otel

    examples = blocks("python")
    assert len(examples) == 4
    for example in examples:
        compile(example, "README.md", "exec", flags=0x2000)  # ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
        for names in re.findall(r"from katapult_async import (.+)", example):
            assert {name.strip() for name in names.split(",")} <= set(katapult_async.__all__)
        for name in re.findall(r"from katapult_async\.otel import (\w+)", example):
            assert name in katapult_async.otel.__all__
    for name in re.findall(r"client\.disks\.(\w+)", README):
        from katapult_async.resources import Disks

        assert hasattr(Disks, name)


def test_the_readme_has_the_two_commands() -> None:
    commands = blocks("sh")
    assert "katapult-async demo" in commands[0]
    assert "pytest" in commands[1]
    assert all("venv" in command for command in commands[:2])


def test_the_changelog_names_the_version_in_the_works() -> None:
    assert "## [Unreleased]" in (ROOT / "CHANGELOG.md").read_text()
