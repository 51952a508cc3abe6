"""Settings for users: profiles, token files, token commands, and what `config` prints of them."""

from __future__ import annotations

import re
import shlex
import stat
import sys
from collections.abc import Mapping
from pathlib import Path

import msgspec
import pytest

from katapult_async.jobs.report.command_documents import ConfigDocument
from tests.command_line import TOKEN, emulator_with, on_terminal, plan, run

#: Writes the token, as a password manager does.
PASSWORD_MANAGER = shlex.join([sys.executable, "-c", f"print('{TOKEN}'); print('user: somebody')"])


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Journals go to the current folder, and settings beside them."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    (tmp_path / "config" / "katapult-async").mkdir(parents=True)
    return tmp_path


def settings_file() -> Path:
    return Path("config", "katapult-async", "config.toml").absolute()


def write_settings(text: str, mode: int = 0o600) -> Path:
    file = settings_file()
    file.write_text(text)
    file.chmod(mode)
    return file


def write_token(mode: int = 0o600) -> Path:
    file = Path("config", "katapult-async", "token").absolute()
    file.write_text(f"{TOKEN}\n")
    file.chmod(mode)
    return file


async def config(*arguments: str, env: Mapping[str, str] | None = None) -> ConfigDocument:
    code, out, err = await run("config", "--json", *arguments, env=env or {})
    assert (code, err) == (0, "")
    return msgspec.json.decode(out, type=ConfigDocument)


async def test_config_shows_each_setting_with_its_source() -> None:
    file = write_settings(
        "[default]\nbase_url = 'https://profile.example/core/v1'\norganization = 'acme'\nconcurrency = 4\n"
        "budget = 'redis://user:pa55word@host/0'\n"
    )
    env = {"KATAPULT_ORGANIZATION": "other", "KATAPULT_API_KEY": TOKEN}
    code, out, err = await run("config", "--max-per-second", "2.5", env=env)
    assert (code, err) == (0, "")
    assert "pa55word" not in out
    rows = {line.split()[0]: " ".join(line.split()[1:]) for line in out.splitlines() if line}
    assert rows == {
        "settings": f"file: {file}",
        "profile:": "default",
        "setting": "value source",
        "token": "set from KATAPULT_API_KEY",
        "base_url": f"https://profile.example/core/v1 from profile default, {file}:2",
        "organization": "other from KATAPULT_ORGANIZATION",
        "total_permitted": "not set",
        "max_per_second": "2.5 from --max-per-second",
        "concurrency": f"4 from profile default, {file}:4",
        "per_virtual_machine": "1 default",
        "budget": f"redis://host/0 from profile default, {file}:5",
    }
    document = await config("--max-per-second", "2.5", env=env)
    assert (document.path, document.exists, document.profile) == (str(file), True, "default")
    assert (document.token.set, document.token.kind, document.token.source) == (
        True,
        "variable",
        "KATAPULT_API_KEY",
    )
    assert [(one.name, one.value, one.level) for one in document.settings] == [
        ("base_url", "https://profile.example/core/v1", "profile"),
        ("organization", "other", "variable"),
        ("total_permitted", None, "default"),
        ("max_per_second", 2.5, "option"),
        ("concurrency", 4, "profile"),
        ("per_virtual_machine", 1, "default"),
        ("budget", "redis://host/0", "profile"),
    ]


async def test_config_without_anything() -> None:
    code, out, err = await run("config", env={})
    assert (code, err) == (0, "")
    assert f"settings file: {settings_file()} (not there)" in out
    assert "profile: none" in out
    document = await config()
    assert not document.token.set
    assert {one.level for one in document.settings} == {"default"}
    assert document.settings[0].value == "https://api.katapult.io/core/v1"
    code, out, _ = await run("config", "--path", env={})
    assert (code, out) == (0, f"{settings_file()}\n")


async def test_config_runs_no_token_command() -> None:
    write_settings("[default]\ntoken_command = 'touch flag'\n")
    document = await config()
    assert document.token.kind == "command"
    assert not Path("flag").exists()


@pytest.mark.parametrize(
    ("text", "arguments", "words"),
    [
        ("[default]\nbase_url = 1\n", (), ":2: base_url must be text in quotes"),
        ("[default]\nbase_url = 'nonsense'\n", (), ":2: the base URL must look like"),
        ("[default\n", (), ":1: this is not TOML"),
        ("[default]\n", ("--profile", "prod"), "--profile names the profile prod, which is not in"),
        ("[default]\n", ("--profile", ""), "--profile is empty"),
        (f"[default]\ntoken = '{TOKEN}'\n", (), ":2: token must not be in this file"),
    ],
)
async def test_wrong_settings_are_one_sentence_everywhere(
    text: str, arguments: tuple[str, ...], words: str
) -> None:
    write_settings(text)
    Path("plan.csv").write_text("disk,virtual_machine\ndisk_1,vm_1\n")
    env = {"KATAPULT_API_KEY": TOKEN}
    for command in (("config",), ("assign", "plan.csv", "--no-preflight", "--yes"), ("budget",)):
        code, out, err = await run(*command, *arguments, env=env)
        assert (code, out) == (2, ""), err
        assert words in err
        assert err.startswith("katapult-async: ")
        assert err.count("\n") == 1
    assert not Path("plan.csv.run").exists()


async def test_a_profile_is_all_that_a_run_needs() -> None:
    async with emulator_with(disks=5) as emulator:
        write_token()
        write_settings(
            f"[default]\nbase_url = '{emulator.url}'\norganization = 'acme'\ntoken_file = 'token'\n"
            f"[vault]\nbase_url = '{emulator.url}'\ntoken_command = {msgspec.json.encode(PASSWORD_MANAGER).decode()}\n"
        )
        Path("plan.csv").write_text(plan(emulator))
        code, out, err = await run("assign", "plan.csv", "--yes", env={})
        assert code == 0, err
        assert "Assigned 5 of 5 disks" in out
        code, _, err = await run("rollback", "plan.csv.run", "--yes", "--profile", "vault", env={})
        assert code == 0, err
        assert emulator.ledger.applied_total["unassign"] == 5
        code, out, _ = await run("status", "plan.csv.run", env={})
        assert "--base-url" not in out  # the profile names it


async def test_the_resume_command_repeats_the_profile() -> None:
    async with emulator_with(disks=3) as emulator:
        write_token()
        write_settings(f"[p]\nbase_url = '{emulator.url}'\ntoken_file = 'token'\nconcurrency = 1\n")
        first, *rest = plan(emulator).splitlines()
        bad = f"disk_nowhere,{emulator.virtual_machine_ids[0]}"
        Path("plan.csv").write_text("\n".join([first, bad, *rest]) + "\n")
        code, out, err = await run(
            *("assign", "plan.csv", "--no-preflight", "--yes", "--max-failures", "0", "--profile", "p"),
            env={},
        )
        assert code == 1
        command = re.search(r"Resume: (.*)", out + err)
        assert command is not None
        assert command[1] == "katapult-async resume plan.csv.run --profile p"
        code, _, err = await run(*shlex.split(command[1])[1:], "--yes", env={})
        assert code == 1, err  # of the line that names no disk
        assert emulator.ledger.applied_total["assign"] == 3


@pytest.mark.parametrize("by", ["option", "variable", "profile"])
async def test_a_token_file_that_others_can_read_sends_nothing(by: str) -> None:
    async with emulator_with(disks=2) as emulator:
        Path("plan.csv").write_text(plan(emulator))
        file = write_token(0o640)
        env = {"KATAPULT_BASE_URL": emulator.url}
        options: tuple[str, ...] = ()
        if by == "option":
            options, source = ("--token-file", str(file)), "--token-file"
        elif by == "variable":
            env["KATAPULT_TOKEN_FILE"] = str(file)
            source = "KATAPULT_TOKEN_FILE"
        else:
            settings = write_settings("[default]\ntoken_file = 'token'\n")
            source = f"profile default, {settings}:2"
        for command in (("assign", "plan.csv", "--no-preflight", "--yes"), ("config",)):
            code, out, err = await run(*command, *options, env=env)
            assert (code, out) == (2, "")
            assert err == (
                f"katapult-async: {source}: other users can use the token file {file} (mode 640). chmod 600 {file}\n"
            )
        assert emulator.ledger.by_path.total() == 0
        assert stat.S_IMODE(file.stat().st_mode) == 0o640


async def test_a_token_of_a_file_is_hidden_where_it_was_pasted() -> None:
    write_token()
    Path("plan.csv").write_text(f"disk,virtual_machine\n{TOKEN},vm_1\n")
    code, _, err = await run(
        *("assign", "plan.csv", "--no-preflight", "--yes", "--token-file"),
        str(Path("config", "katapult-async", "token")),
        env={},
    )
    assert code == 2
    assert "plan.csv:2: '<token>' is " in err


async def test_a_variable_wins_over_the_token_of_a_named_profile_and_it_is_mentioned() -> None:
    async with emulator_with(disks=1) as emulator:
        Path("plan.csv").write_text(plan(emulator))
        write_settings(f"[p]\nbase_url = '{emulator.url}'\ntoken_command = 'false'\n")
        code, _, err = await run(
            *("assign", "plan.csv", "--no-preflight", "--yes", "--profile", "p"),
            env={"KATAPULT_API_KEY": TOKEN},
        )
        assert code == 0
        assert "the API token of KATAPULT_API_KEY is used, not the one of the profile" in err


async def test_a_token_command_leaves_the_manifest_on_standard_input() -> None:
    async with emulator_with(disks=2) as emulator:
        command = shlex.join([sys.executable, "-c", f"import sys; print(sys.stdin.read() or '{TOKEN}')"])
        code, _, err = await run(
            *("assign", "-", "--no-preflight", "--yes", "--base-url", emulator.url),
            *("--run", "a.run", "--token-command", command),
            stdin=plan(emulator),
            env={},
        )
        assert code == 0, err
        assert emulator.ledger.applied_total["assign"] == 2


async def test_ctrl_c_ends_a_token_command() -> None:
    Path("plan.csv").write_text("disk,virtual_machine\ndisk_1,vm_1\n")
    code = "import sys, time; print('Passphrase?', file=open('/dev/tty', 'w')); time.sleep(600)"
    command = shlex.join([sys.executable, "-c", code])
    arguments = ("plan", "plan.csv", "--organization", "acme", "--token-command", command)
    async with on_terminal(*arguments) as terminal:
        await terminal.sees("Passphrase?")
        terminal.types("\x03")
        assert await terminal.ends() == 130
