#!/usr/bin/env -S uv run --script
# /// script
# dependencies = ["nox>=2024.10.9"]
# ///
"""What CI does, and what precedes a release: ``nox -l`` lists it, ``nox -s NAME`` runs one.

Each session has an environment of its own, in which torch is installed first and alone, as
``.ci/constraints.txt`` says. ``.ci/run`` stays what decides whether a change goes in.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

import nox

ROOT = Path(__file__).parent
CONSTRAINTS = ROOT / ".ci" / "constraints.txt"
PYTHONS = ["3.11", "3.12", "3.13"]
#: What CI runs: the fast tests, and those that take seconds.
CI_TESTS = ("-m", "not slow")
#: Tests of the main job, without what takes long: of files that are not the source's.
MAIN_TESTS = ("tests/catalogs", "tests/mesh", "tests/reconstruct", "tests/test_public_names.py")

nox.needs_version = ">=2024.10.9"
# pip, whose settings (an index of your own, say) then hold here as elsewhere.
nox.options.default_venv_backend = "virtualenv"
nox.options.error_on_missing_interpreters = "CI" in os.environ
os.environ["PIP_CONSTRAINT"] = str(CONSTRAINTS)


def prepare(session: nox.Session, *what: str) -> None:
    """Install torch, and then ``what``."""
    session.install("torch")
    session.install(*what)


def group(session: nox.Session, *names: str) -> None:
    """Install the requirements of dependency groups."""
    project = nox.project.load_toml(ROOT / "pyproject.toml")
    session.install(*nox.project.dependency_groups(project, *names))


@nox.session(python=PYTHONS, default=False)
def tests(session: nox.Session) -> None:
    """The tests that are not slow, against the installed package; arguments are pytest's."""
    prepare(session, ".[test]")
    session.run("pytest", *CI_TESTS, *session.posargs)


@nox.session(python="3.11", default=False)
def lowest(session: nox.Session) -> None:
    """The tests that are not slow, with the lowest versions that pyproject.toml admits.

    torch alone is the one of ``.ci/constraints.txt``.
    """
    session.install("uv", "torch")
    folder = Path(session.create_tmp())
    without_torch = folder / "without-torch.txt"
    without_torch.write_text("torch ; python_version < '3'\n", encoding="utf-8")
    session.run(
        "uv", "pip", "compile", "--quiet", "pyproject.toml", "--extra", "test",
        "--resolution", "lowest-direct", "--only-binary", ":all:", "--no-header",
        "--python-version", "3.11", "--override", str(without_torch),
        "--output-file", str(folder / "lowest.txt"),
    )  # fmt: skip
    session.install("--no-deps", "-r", str(folder / "lowest.txt"))
    session.install("--no-deps", ".")
    session.run("python", "-m", "pip", "check")
    session.run("pytest", *CI_TESTS, *session.posargs)


@nox.session(python="3.11", default=False)
def coverage(session: nox.Session) -> None:
    """Lines that the tests run, without the slow ones, room by room: coverage-by-room.md."""
    prepare(session, ".[test]")
    group(session, "coverage")
    session.run("pytest", *CI_TESTS, "--cov", "--cov-report=json", *session.posargs)
    session.run("python", ".ci/rooms.py", "coverage.json", "coverage-by-room.md")


@nox.session(python="3.11")
def lint(session: nox.Session) -> None:
    """Style, types, layers, spelling, the metadata of the package, and repo-review."""
    prepare(session, ".[test]")
    group(session, "lint", "review", "workflows")
    session.run("ruff", "check")
    session.run("ruff", "format", "--check")
    session.run("mypy")
    session.run("lint-imports", "--no-logo")
    session.run("codespell")
    session.run("validate-pyproject", "pyproject.toml")
    session.run("repo-review", ".")
    session.run("zizmor", "--offline", ".github")


@nox.session(python="3.11", default=False)
def docs(session: nox.Session) -> None:
    """What the documentation has a reader type, and the site, with warnings as errors."""
    prepare(session, ".[test,docs]")
    session.run(
        "pytest",
        *CI_TESTS,
        "tests/docs",
        "tests/test_docs.py",
        "tests/test_public_names.py",
        *session.posargs,
    )
    session.run("sphinx-build", "-W", "-n", "-q", "--keep-going", "docs", session.create_tmp())


@nox.session(python="3.11", default=False)
def benchmarks(session: nox.Session) -> None:
    """The benchmarks among the tests; ``benchmarks/README.md`` lists those beside other codes."""
    prepare(session, ".[test]")
    session.run(
        "pytest", "tests", "-n", "0", "-m", "", "--benchmark-only", *session.posargs
    )  # fmt: skip


@nox.session(python="3.11", default=False)
def wheel(session: nox.Session) -> None:
    """The sdist and the wheel, installed and tested where the source is not: dist/."""
    group(session, "build")
    shutil.rmtree(ROOT / "dist", ignore_errors=True)
    session.run("python", "-m", "build")
    (made,) = (ROOT / "dist").glob("*.whl")
    (source,) = (ROOT / "dist").glob("*.tar.gz")
    if made.stat().st_size > 12e6:
        session.error(f"{made.name} has {made.stat().st_size / 1e6:.1f} MB, more than 12")
    session.install("torch")
    session.install(f"truez[test] @ {made.as_uri()}")
    with tempfile.TemporaryDirectory() as elsewhere:
        shutil.unpack_archive(source, elsewhere, filter="data")
        (unpacked,) = Path(elsewhere).iterdir()
        shutil.rmtree(unpacked / "src")
        with session.chdir(unpacked):
            session.run("truez", "demo", "--out", "demo", silent=True)
            session.run("pytest", *(session.posargs or MAIN_TESTS))


@nox.session(python="3.11", default=False)
def rail(session: nox.Session) -> None:
    """The RAIL stages against the released pz-rail-base."""
    prepare(session, ".")
    session.install("./packages/pz-rail-truez[test]")
    session.run("pytest", "-c", "packages/pz-rail-truez/pyproject.toml",
                "packages/pz-rail-truez/tests", *session.posargs)  # fmt: skip


@nox.session(python="3.11", default=False)
def plugins(session: nox.Session) -> None:
    """The example of a plug-in, installed as a user would."""
    prepare(session, ".[test]")
    session.install("./examples/truez-plugin-example")
    session.run("pytest", "-n", "0", *CI_TESTS, "tests/support/test_plugins.py", *session.posargs)


if __name__ == "__main__":
    nox.main()
