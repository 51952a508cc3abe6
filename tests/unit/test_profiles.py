"""Profiles: what a settings file may contain, and which value wins.

Errors name the file and the line, but no value.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from katapult_async.cli.profiles import ProfileError, read_profile
from katapult_async.cli.settings import (
    BASE_URL,
    BUDGET,
    CONCURRENCY,
    MAX_PER_SECOND,
    ORGANIZATION,
    SETTINGS,
    TOKEN_FILE,
    Level,
    Setting,
    Sources,
    config_path,
    named_base_url,
    remember,
    repeated_options,
    without_password,
)

SECRET = "s3cret-token-9f8e7d"


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the settings file goes; it is not there yet."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    for setting in SETTINGS.values():
        monkeypatch.delenv(setting.variable or "KATAPULT_PROFILE", raising=False)
    monkeypatch.delenv("KATAPULT_PROFILE", raising=False)
    path = config_path()
    path.parent.mkdir()
    return path


def write(path: Path, text: str | bytes, mode: int = 0o600) -> None:
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    path.chmod(mode)


WRONG: list[tuple[str | bytes, str]] = [
    ("[default]\nbase_url = \n", ":2: this is not TOML"),
    ("[default]\nconcurrency = 1\nconcurrency = 2\n", ":3: this is not TOML"),
    ("[default\n", ":1: this is not TOML"),
    ('[default]\n\nbase_url = "https://a.example', ":3: this is not TOML"),
    ("x = " + "[" * 100_000, "nested too deeply"),
    (b"[default]\nbase_url = '\xff'\n", ":2: this is not text in UTF-8"),
    ("[default]\nbase_uri = 'x'\n", ":2: base_uri is not a setting. Did you mean base_url?"),
    ("[other]\n# a comment\nzzz = 1\n", ":3: zzz is not a setting. Settings are base_url, "),
    ("base_url = 'x'\n", ":1: base_url is not in a profile"),
    ("[default]\nconcurrency = 0\n", ":2: concurrency: expected a whole number of at least 1"),
    ("[default]\nconcurrency = 1.5\n", ":2: concurrency must be a whole number"),
    ("[default]\nconcurrency = true\n", ":2: concurrency must be a whole number"),
    ("[default]\ntotal_permitted = '100'\n", ":2: total_permitted must be a whole number"),
    ("[default]\nmax_per_second = inf\n", ":2: max_per_second: expected a number from"),
    ("[default]\nmax_per_second = nan\n", ":2: max_per_second: expected a number from"),
    ("[default]\nper_virtual_machine = -1\n", ":2: per_virtual_machine: expected"),
    ("[default]\norganization = ' '\n", ":2: organization is empty"),
    ("[default]\norganization = ['acme']\n", ":2: organization must be text in quotes"),
    ("[default]\nbudget = 'memcached://host'\n", ":2: budget: expected file, none, or the URL"),
    ("[default]\ntoken_file = 'a'\ntoken_command = 'b'\n", ":3: token_file and token_command exclude"),
    (f"[default]\ntoken = '{SECRET}'\n", ":2: token must not be in this file"),
    (f"[other]\n'api-key' = '{SECRET}'\n", ":2: api-key must not be in this file"),
    (f"token = '{SECRET}'\n", ":1: token must not be in this file"),
    (f"[default]\nconcurrency = '{SECRET}'\n", ":2: concurrency must be"),
    (f"[default]\nbudget = '{SECRET}'\n", ":2: budget: expected"),
    (b"#" * (1 << 20) + b"#", "more than 1024 KiB"),
]


@pytest.mark.parametrize("number", range(len(WRONG)), ids=[words[:40] for _, words in WRONG])
def test_a_wrong_file_is_refused_with_file_and_line(file: Path, number: int) -> None:
    text, words = WRONG[number]
    write(file, text)
    with pytest.raises(ProfileError) as raised:
        read_profile(file, None)
    message = str(raised.value)
    assert str(file) in message
    assert words in message
    assert SECRET not in message
    assert "\n" not in message


def test_a_file_that_others_can_change_is_refused(file: Path) -> None:
    for mode in (0o620, 0o602, 0o666):
        write(file, "[default]\nconcurrency = 4\n", mode)
        with pytest.raises(ProfileError, match=r"can be changed by other users.*chmod 600"):
            read_profile(file, None)
    write(file, "[default]\nconcurrency = 4\n", 0o644)
    assert read_profile(file, None) is not None


@pytest.mark.parametrize("url", ["redis://:pa55word@host", "rediss://host/0?password=pa55word"])
def test_a_password_that_others_can_read_is_refused(file: Path, url: str) -> None:
    write(file, f"[default]\nbudget = '{url}'\n", 0o644)
    with pytest.raises(ProfileError, match=r":2: budget has a password, but other users can read") as raised:
        read_profile(file, None)
    assert "pa55word" not in str(raised.value)
    write(file, f"[default]\nbudget = '{url}'\n")
    assert read_profile(file, None) is not None


def test_a_file_that_cannot_be_read_is_refused(file: Path) -> None:
    file.mkdir()
    with pytest.raises(ProfileError, match=r"cannot read the settings in .*: Is a directory"):
        read_profile(file, None)


def test_no_file_is_needed_unless_a_profile_is_named(file: Path) -> None:
    assert read_profile(file, None) is None
    with pytest.raises(ProfileError, match="--profile names the profile prod, but there is no file"):
        read_profile(file, "prod")
    write(file, "[staging]\n[other]\n")
    assert read_profile(file, None) is None
    with pytest.raises(ProfileError, match=r"KATAPULT_PROFILE names .* prod, .* It has staging, other"):
        read_profile(file, "prod", named_by="KATAPULT_PROFILE")
    with pytest.raises(ProfileError, match="names the profile default, which is not in"):
        read_profile(file, "default")
    write(file, "")
    assert read_profile(file, None) is None
    with pytest.raises(ProfileError, match="It is empty"):
        read_profile(file, "prod")


def test_a_profile_stands_alone(file: Path) -> None:
    write(file, "[default]\nconcurrency = 4\n[staging]\nbase_url = 'https://staging.example'\n")
    profile = read_profile(file, "staging")
    assert profile is not None
    assert list(profile.entries) == ["base_url"]
    assert profile.entries["base_url"].source == f"profile staging, {file}:4"


def test_a_token_file_is_found_beside_the_settings_or_in_the_home_folder(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", "/home/somebody")
    for given, expected in (
        ("token", f"{file.parent}/token"),
        ("~/token", "/home/somebody/token"),
        ("/run/token", "/run/token"),
    ):
        write(file, f"[default]\ntoken_file = '{given}'\n")
        profile = read_profile(file, None)
        assert profile is not None
        assert profile.entries["token_file"].value == expected


ROUNDS: list[tuple[Setting[str | None], str, str, str]] = [
    (BASE_URL, "https://option.example", "https://variable.example", "https://profile.example"),
    (ORGANIZATION, "one", "two", "three"),
    (TOKEN_FILE, "/one", "/two", "/three"),
]


@pytest.mark.parametrize("number", range(len(ROUNDS)), ids=[setting.name for setting, *_ in ROUNDS])
def test_an_option_wins_over_a_variable_over_the_profile(
    file: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    setting, option, variable, in_profile = ROUNDS[number]
    assert setting.variable is not None

    def found(given: str | None = None) -> tuple[str | None, Level, str]:
        value = Sources.open({setting.name: given}, None).find(setting)
        return value.value, value.level, value.source

    assert found() == (None, Level.DEFAULT, "")
    write(file, f"[default]\n{setting.name} = '{in_profile}'\n")
    assert found() == (in_profile, Level.PROFILE, f"profile default, {file}:2")
    monkeypatch.setenv(setting.variable, variable)
    assert found() == (variable, Level.VARIABLE, setting.variable)
    assert found(option) == (option, Level.OPTION, setting.option)


def test_numbers_and_the_budget_have_defaults(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sources = Sources.open({}, None)
    assert sources.find(CONCURRENCY).value == 32
    assert sources.find(MAX_PER_SECOND).value is None
    assert sources.find(BUDGET).value == "file"
    write(file, "[slow]\nconcurrency = 2\nmax_per_second = 3\nbudget = 'none'\n")
    monkeypatch.setenv("KATAPULT_PROFILE", "slow")
    sources = Sources.open({"concurrency": 8}, None)
    assert sources.find(CONCURRENCY).value == 8
    assert sources.find(MAX_PER_SECOND).value == 3.0
    assert sources.find(BUDGET).value == "none"


def test_a_wrong_variable_is_refused_without_its_value(
    file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("KATAPULT_BUDGET", f"redis//:{SECRET}@host")
    with pytest.raises(SystemExit) as raised:
        Sources.open({}, None).find(BUDGET)
    assert raised.value.code == 2
    err = capsys.readouterr().err
    assert "KATAPULT_BUDGET: expected file, none, or the URL of a Redis server" in err
    assert SECRET not in err
    monkeypatch.setenv("KATAPULT_PROFILE", "")
    with pytest.raises(SystemExit):
        Sources.open({}, None)
    assert "the environment variable KATAPULT_PROFILE is empty" in capsys.readouterr().err


def test_the_place_of_the_file_is_the_platform_s(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/somebody")
    tail = Path("katapult-async", "config.toml")
    for given, platform, expected in (
        ("/etc/xdg", "linux", Path("/etc/xdg", tail)),
        ("relative", "linux", Path("/home/somebody/.config", tail)),
        ("", "linux", Path("/home/somebody/.config", tail)),
        ("", "darwin", Path("/home/somebody/Library/Application Support", tail)),
        ("/etc/xdg", "darwin", Path("/etc/xdg", tail)),
    ):
        monkeypatch.setenv("XDG_CONFIG_HOME", given)
        monkeypatch.setattr("sys.platform", platform)
        assert config_path() == expected


def test_the_next_command_repeats_what_chooses_the_token(file: Path) -> None:
    write(file, "[default]\nbase_url = 'https://d.example'\n[p]\nbase_url = 'https://p.example'\n")
    remember({})
    assert repeated_options() == ""
    assert named_base_url() == "https://d.example"
    remember({"profile": "p", "token_file": "my token", "budget": "redis://user:pw@host", "yes": True})
    assert repeated_options() == " --profile p --token-file 'my token'"  # no password
    assert named_base_url() == "https://p.example"
    remember({"window": 20.0})
    assert repeated_options() == " --window 20"
    write(file, "[default")
    assert named_base_url() is None  # a command for a run is shown all the same
    remember({})


def test_a_url_is_shown_without_its_password() -> None:
    assert without_password("rediss://user:pa@55@host:6380/1?password=x") == "rediss://host:6380/1"
    assert without_password("file") == "file"
