"""Where the token comes from: a variable, a private file, or a command.

The command cannot hang, flood or reveal the token.
"""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path

import pytest

from katapult_async.cli import token_source
from katapult_async.cli.profiles import Entry, Profile
from katapult_async.cli.settings import Sources
from katapult_async.cli.token_source import find_token, read_file, run_command

TOKEN = "s3cret-token-9f8e7d"


def python(code: str) -> str:
    return shlex.join([sys.executable, "-c", code])


def refused(capsys: pytest.CaptureFixture[str], raised: pytest.ExceptionInfo[SystemExit]) -> str:
    """The one sentence of a refusal."""
    assert raised.value.code == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert TOKEN not in err
    return err


@pytest.mark.parametrize("content", [TOKEN, f"{TOKEN}\n", f"{TOKEN}\r\n"])
def test_a_private_file_holds_the_token(tmp_path: Path, content: str) -> None:
    file = tmp_path / "token"
    file.write_bytes(content.encode())
    file.chmod(0o600)
    assert read_file(str(file), "--token-file") == TOKEN


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o620, 0o610])
def test_a_file_that_others_can_use_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], mode: int
) -> None:
    file = tmp_path / "token"
    file.write_text(TOKEN)
    file.chmod(mode)
    with pytest.raises(SystemExit) as raised:
        read_file(str(file), "--token-file")
    err = refused(capsys, raised)
    assert f"other users can use the token file {file} (mode {mode:03o}). chmod 600 {file}" in err


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "is empty"),
        ("\n", "is empty"),
        (f"{TOKEN}\nmore\n", "must have one line"),
        (f"\n{TOKEN}\n", "must have one line"),
    ],
)
def test_a_file_without_one_token_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str, words: str
) -> None:
    file = tmp_path / "token"
    file.write_text(content)
    file.chmod(0o600)
    with pytest.raises(SystemExit) as raised:
        read_file(str(file), "--token-file")
    assert words in refused(capsys, raised)


def test_a_token_in_the_place_of_a_file_or_a_command_is_not_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as raised:
        read_file(TOKEN, "--token-file")
    assert "cannot read the token file s3c…: No such file" in refused(capsys, raised)
    with pytest.raises(SystemExit) as raised:
        run_command(TOKEN, "--token-command")
    assert "cannot run the token command s3c…: No such file" in refused(capsys, raised)


def test_a_folder_is_no_token_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tmp_path.chmod(0o700)
    for name in (str(tmp_path), "a\0b"):
        with pytest.raises(SystemExit) as raised:
            read_file(name, "--token-file")
        assert "cannot read the token file" in refused(capsys, raised)


def test_a_command_writes_the_token_into_its_first_line() -> None:
    assert run_command(python(f"print('{TOKEN}'); print('user: somebody')"), "--token-command") == TOKEN


def test_no_shell_reads_the_command(tmp_path: Path) -> None:
    flag = tmp_path / "flag"
    found = run_command(f"echo '$HOME;' ; touch {shlex.quote(str(flag))}", "--token-command")
    assert found == f"$HOME; ; touch {flag}"
    assert not flag.exists()


def test_a_command_cannot_read_standard_input() -> None:
    # It may be the manifest.
    assert run_command(python("import sys; print(repr(sys.stdin.read()))"), "--token-command") == "''"


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("raise SystemExit(3)", "the token command failed with exit code 3"),
        (
            "import sys; print('x', file=sys.stderr); sys.exit('the vault is locked')",
            "failed with exit code 1: the vault is locked",
        ),
        (f"import sys; print('{TOKEN}'); sys.exit('no: {TOKEN}')", "exit code 1: no: <token>"),
        ("import os; os.kill(os.getpid(), 9)", "failed with signal 9"),
        ("pass", "the token command wrote nothing"),
        ("print(); print('x')", "the token command wrote nothing"),
        ("import sys; print('nothing found', file=sys.stderr)", "wrote nothing: nothing found"),
    ],
)
def test_a_command_that_fails_is_refused_with_its_reason(
    capsys: pytest.CaptureFixture[str], code: str, words: str
) -> None:
    with pytest.raises(SystemExit) as raised:
        run_command(python(code), "--token-command")
    assert words in refused(capsys, raised)


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("'open", "No closing quotation"),
        ("  ", "is empty"),
        ("/nowhere/at/all", "cannot run the token command /nowhere/at/all: No such file"),
        ("/", "cannot run the token command /: Permission denied"),
        ("a\0b", "an invalid character"),
    ],
)
def test_a_command_that_cannot_be_run_is_refused(
    capsys: pytest.CaptureFixture[str], command: str, words: str
) -> None:
    with pytest.raises(SystemExit) as raised:
        run_command(command, "--token-command")
    assert words in refused(capsys, raised)


def test_a_command_that_hangs_is_stopped(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pid = tmp_path / "pid"
    monkeypatch.setattr(token_source, "PATIENCE", 1.0)
    code = f"import os, time; open({str(pid)!r}, 'w').write(str(os.getpid())); time.sleep(600)"
    with pytest.raises(SystemExit) as raised:
        run_command(python(code), "--token-command")
    assert "did not end within 1 s, and was stopped" in refused(capsys, raised)
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid.read_text()), 0)


def test_a_command_that_writes_for_ever_ends(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as raised:
        run_command("yes", "--token-command")
    assert "the token command failed with" in refused(capsys, raised)


def test_a_descendant_that_keeps_the_output_open_is_not_waited_for(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    waits = f"open({str(pipe)!r}).read()"
    code = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {waits!r}]); print('{TOKEN}')"
    assert run_command(python(code), "--token-command") == TOKEN
    pipe.write_text("it may end now")  # if it had been waited for, nobody would get here


def sources(**options: str) -> Sources:
    entries = {"token_command": Entry("from-profile", "profile default, file:2")}
    return Sources(options, Profile("default", Path("file"), entries))


def test_an_option_wins_over_a_variable_over_the_profile(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KATAPULT_API_KEY", raising=False)
    monkeypatch.delenv("KATAPULT_TOKEN_FILE", raising=False)
    assert find_token(Sources({})) is None
    assert find_token(sources()) == ("command", "from-profile", "profile default, file:2")
    monkeypatch.setenv("KATAPULT_TOKEN_FILE", "/token")
    assert find_token(sources()) == ("file", "/token", "KATAPULT_TOKEN_FILE")
    monkeypatch.delenv("KATAPULT_TOKEN_FILE")
    monkeypatch.setenv("KATAPULT_API_KEY", TOKEN)
    assert find_token(sources()) == ("variable", "KATAPULT_API_KEY", "KATAPULT_API_KEY")
    assert find_token(sources(token_command="cmd")) == ("command", "cmd", "--token-command")
    assert find_token(sources(token_file="file")) == ("file", "file", "--token-file")


def test_two_sources_of_one_rank_contradict_each_other(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as raised:
        find_token(sources(token_file="file", token_command="cmd"))
    assert "--token-file and --token-command exclude each other" in refused(capsys, raised)
    monkeypatch.setenv("KATAPULT_API_KEY", TOKEN)
    monkeypatch.setenv("KATAPULT_TOKEN_FILE", "/token")
    with pytest.raises(SystemExit) as raised:
        find_token(sources())
    assert "KATAPULT_API_KEY and KATAPULT_TOKEN_FILE are both set" in refused(capsys, raised)
