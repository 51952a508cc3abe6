"""The developers' commands: `nox` runs lint, types and the tests; `nox -l` lists all of them."""

from __future__ import annotations

import nox

nox.needs_version = ">=2024.10.9"
nox.options.sessions = ["lint", "types", "tests"]
nox.options.default_venv_backend = "venv"

PYPROJECT = nox.project.load_toml("pyproject.toml")
PYTHONS = nox.project.python_versions(PYPROJECT)
#: Most tests wait for most of their time: four processes are faster than two also on two cores.
PYTEST = ("-m", "pytest", "-q", "-p", "no:cacheprovider", "-n", "4", "--dist", "worksteal")


def install(session: nox.Session, *groups: str, extras: str = "cli,load,otel,redis") -> None:
    """Install the package in place, with groups of tools."""
    session.install("-q", "-e", f".[{extras}]", *nox.project.dependency_groups(PYPROJECT, *groups))


@nox.session(python=PYTHONS)
def tests(session: nox.Session) -> None:
    """Run the suite. Arguments go to pytest: nox -s tests-3.13 -- -k window."""
    install(session, "test")
    session.run("python", *PYTEST, *session.posargs)


@nox.session
def lint(session: nox.Session) -> None:
    """Check the code's form."""
    session.install("-q", *nox.project.dependency_groups(PYPROJECT, "lint"))
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")


@nox.session
def types(session: nox.Session) -> None:
    """Check types with mypy and pyright, both strict."""
    install(session, "test", "types", "bench", "examples", "docs")
    session.install("-q", "nox")
    session.run("mypy")
    session.run("pyright", "--pythonpath", f"{session.bin}/python")


@nox.session
def examples(session: nox.Session) -> None:
    """Run the programs of examples/, which need packages of their own."""
    install(session, "test", "examples")
    session.run("python", *PYTEST[:5], "tests/e2e/test_examples.py")


@nox.session
def docs(session: nox.Session) -> None:
    """Build the site in docs/_build. Warnings are errors. The build downloads nothing."""
    install(session, "docs")
    session.run("sphinx-build", "-q", "-W", "--keep-going", "-j", "2", "-b", "html", "docs", "docs/_build")


@nox.session(python=PYTHONS)
def coverage(session: nox.Session) -> None:
    """Run the suite without its slow tests, and measure which lines and branches it visits."""
    install(session, "test")
    session.run("coverage", "erase")
    session.run("coverage", "run", *PYTEST, "--timeout=300", "-m", "not slow")
    session.run("coverage", "combine", "-q")
    session.run("coverage", "report", "--fail-under=96")


@nox.session
def bench(session: nox.Session) -> None:
    """Run each benchmark in short. They fail on broken promises, never on a time."""
    install(session, "test", "bench")
    for name in (
        "scheduling",
        "throughput",
        "decode",
        "memory",
        "manifest",
        "startup",
        "layers",
        "tokens",
        "load",
    ):
        session.run("python", "-m", f"benchmarks.{name}", "--quick", "--output", session.create_tmp())
