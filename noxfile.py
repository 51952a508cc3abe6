"""The developers' commands: `nox` runs lint, types and the tests; `nox -l` lists all of them."""

from __future__ import annotations

import os
import re
import shutil
import tarfile
import zipfile
from pathlib import Path

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
    # -E reads every page again: generated parts depend on the code, and Sphinx does not know it.
    session.run(
        "sphinx-build", "-E", "-q", "-W", "--keep-going", "-j", "2", "-b", "html", "docs", "docs/_build"
    )


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


@nox.session(python=PYTHONS)
def lowest(session: nox.Session) -> None:
    """Run quick tests with the lowest versions that pyproject.toml permits."""
    extras = PYPROJECT["project"]["optional-dependencies"]
    direct = [*PYPROJECT["project"]["dependencies"], *(line for lines in extras.values() for line in lines)]
    constraints = Path(session.create_tmp(), "lowest.txt")
    constraints.write_text("".join(f"{re.sub('>=', '==', line, count=1)}\n" for line in direct))
    groups = nox.project.dependency_groups(PYPROJECT, "test")
    session.install("-q", "-c", str(constraints), "-e", f".[{','.join(extras)}]", *groups)
    files = (f"tests/e2e/test_{name}.py" for name in ("bulk", "cli_bad_input", "fast_path", "wire"))
    session.run("python", *PYTEST, "-m", "not slow", "tests/unit", *files, *session.posargs)


#: The tests that run on an installed package: some of each kind, a few seconds in all.
INSTALLED = ("unit/test_cli_golden.py", "unit/test_errors.py", "e2e/test_resources.py", "e2e/test_wire.py")


@nox.session
def package(session: nox.Session) -> None:
    """Build wheel and sdist, check them, and use each as a user would.

    With an argument, copy them into this folder at the end: nox -s package -- dist.
    """
    session.install("-q", "--no-compile", *nox.project.dependency_groups(PYPROJECT, "package", "types"))
    tmp = Path(session.create_tmp()).resolve()
    shutil.rmtree(tmp)
    session.run("python", "-m", "build", "--outdir", str(tmp / "dist"), silent=True)
    (wheel,) = (tmp / "dist").glob("*.whl")
    (sdist,) = (tmp / "dist").glob("*.tar.gz")
    session.run("twine", "check", "--strict", str(wheel), str(sdist))
    with zipfile.ZipFile(wheel) as built:
        (metadata,) = (name for name in built.namelist() if name.endswith(".dist-info/METADATA"))
        if relative := re.findall(rb"\]\((?!https?:)[^)]*\)", built.read(metadata)):
            session.error(f"links that a package index cannot follow: {relative}")
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp, filter="data")
    source = tmp / sdist.name.removesuffix(".tar.gz")
    # So that the installed package is tested.
    shutil.rmtree(source / "katapult_async")

    def in_an_empty_environment(distribution: Path, *groups: str) -> str:
        environment = tmp / distribution.suffix.strip(".")
        session.run("python", "-m", "venv", str(environment))
        python = str(environment / ("Scripts" if os.name == "nt" else "bin") / "python")
        session.run(
            *(python, "-m", "pip", "install", "-q", "--no-compile", f"{distribution}[cli,load,otel,redis]"),
            *nox.project.dependency_groups(PYPROJECT, *groups),
            external=True,
        )
        with session.chdir(tmp):
            session.run(python, "-m", "katapult_async", "--version", external=True)
        return python

    python = in_an_empty_environment(wheel)
    consumer = (source / "tests" / "typing" / "api.py").read_text("utf-8")
    (tmp / "consumer.py").write_text(f"# pyright: strict\n{consumer}", "utf-8")
    with session.chdir(tmp):
        session.run("mypy", "--config-file=", "--strict", "--python-executable", python, "consumer.py")
        session.run("pyright", "--pythonpath", python, "consumer.py")

    python = in_an_empty_environment(sdist, "test")
    with session.chdir(source):
        session.run(python, *PYTEST, *(f"tests/{name}" for name in INSTALLED), external=True)
    for folder in session.posargs:
        shutil.copytree(tmp / "dist", folder, dirs_exist_ok=True)
