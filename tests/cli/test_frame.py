"""The frame of the command line: speed, errors in one sentence, exit codes."""

import errno
import importlib
import subprocess
import sys

import pytest
import typer
from pydantic import BaseModel, ConfigDict

import truez
from truez.cli import app as frame
from truez.cli.errors import one_sentence, sentence

HEAVY = ("torch", "numpy", "scipy", "astropy", "h5py", "pyarrow", "pydantic", "numba", "matplotlib")


def run(*arguments):
    """The command, in a process of its own, as a user starts it."""
    return subprocess.run(
        [sys.executable, "-m", "truez", *arguments], capture_output=True, text=True, check=False
    )


class TestStart:
    @pytest.mark.parametrize("work", ["import truez", "main(['--help'])", "main(['--version'])"])
    def test_nothing_heavy_is_imported(self, work):
        # Imports, not seconds: those depend on the machine.
        code = (
            f"import sys\nfrom truez.cli.app import main\ntry:\n    {work}\n"
            "except SystemExit as stop:\n    assert not stop.code\n"
            f"print(*({HEAVY!r} & sys.modules.keys()), sep=',')"
        ).replace(repr(HEAVY), repr(set(HEAVY)))
        result = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        )
        assert result.stdout.splitlines()[-1] == ""

    def test_every_public_name_is_there(self):
        for name in truez.__all__:
            assert getattr(truez, name) is not None
            assert name in dir(truez)

    @pytest.mark.parametrize("name", ["reconstruct"])
    def test_a_name_is_its_function_even_when_the_module_is_loaded(self, name):
        module = importlib.import_module(f"truez.{name}")
        assert getattr(truez, name) is getattr(module, name)

    def test_a_name_that_is_not(self):
        with pytest.raises(AttributeError, match=r"^module 'truez' has no attribute 'nothing'$"):
            _ = truez.nothing

    def test_version(self):
        result = run("--version")
        assert (result.returncode, result.stdout) == (0, f"truez {truez.__version__}\n")

    def test_help_names_every_command(self):
        result = run("--help")
        assert result.returncode == 0
        for name in frame.COMMANDS:
            assert f" {name} " in result.stdout

    @pytest.mark.parametrize("name", frame.COMMANDS)
    def test_every_command_has_help(self, name, capsys):
        with pytest.raises(SystemExit) as ended:
            frame.main([name, "--help"])
        assert not ended.value.code
        assert f"truez {name}" in capsys.readouterr().out

    def test_a_command_that_is_not(self):
        result = run("paint-it-black")
        assert result.returncode == 2
        assert result.stderr.startswith("truez: there is no command 'paint-it-black': the commands")
        assert result.stderr.count("\n") == 1
        assert result.stdout == ""

    @pytest.mark.parametrize(
        ("line", "expected"),
        [
            ("mock --cellsiz 3", "mock has no option --cellsiz: did you mean --cellsize?"),
            ("--fast", "truez has no option --fast: truez -h lists the options"),
            ("info", "info needs PATH (A run, mock or training folder; "),
            ("info / b", "info has no use for b: leave it out, or name its option"),
            (
                "mock --redshift",
                "--redshift needs a value after it: truez mock -h lists what it may be",
            ),
            ("reconstruct --redshift 0,59", "--redshift must be a number, not '0,59'"),
            ("reconstruct --tile 1.5", "--tile must be a whole number, not '1.5'"),
            ("simulate --density=", "--density must be a number, not ''"),
            ("benchmark --draws few", "--draws must be a whole number, not 'few'"),
        ],
    )
    def test_a_wrong_option_is_one_sentence(self, line, expected, capsys):
        with pytest.raises(SystemExit) as stop:
            frame.main(line.split())
        assert stop.value.code == 2
        out, err = capsys.readouterr()
        assert err.startswith(f"truez: {expected}")
        assert (out, err.count("\n")) == ("", 1)


class Limits(BaseModel):
    model_config = ConfigDict(extra="forbid")
    steps: int


def validation_error(**values):
    try:
        Limits(**values)
    except ValueError as error:
        return error
    raise AssertionError


SENTENCES = [
    (ValueError("boxsize must be positive,\n  not 0"), "boxsize must be positive, not 0"),
    (ValueError(), "ValueError"),
    (FileNotFoundError("there is no catalogue a.fits"), "there is no catalogue a.fits"),
    (FileNotFoundError(errno.ENOENT, "No such file or directory", "a.h5"),
     "a.h5: no such file or directory"),
    (PermissionError(errno.EACCES, "Permission denied", "/root/a.h5"),
     "/root/a.h5: permission denied"),
    (OSError(errno.ENOSPC, "No space left on device"),
     "the disk is full: free some space and run the command again"),
    (OSError(errno.ENOSPC, "No space left on device", "out.h5"),
     "out.h5: the disk is full: free some space and run the command again"),
    (validation_error(steps="many"),
     "steps must be a whole number, not 'many'"),
    (validation_error(steps=1, stepz=2), "stepz is not a known setting"),
]  # fmt: skip


class TestErrors:
    @pytest.fixture
    def command(self, monkeypatch):
        """Give ``truez fail``, which raises what it is told to."""
        module = type(sys)("truez.cli.fail")
        monkeypatch.setitem(sys.modules, "truez.cli.fail", module)
        monkeypatch.setattr(frame, "COMMANDS", ("fail",))

        def install(error):
            def fail() -> None:
                """Fail."""
                raise error

            module.fail = fail

        return install

    @pytest.mark.parametrize(("error", "expected"), SENTENCES)
    def test_bad_input_is_one_sentence_and_exit_code_2(self, command, capsys, error, expected):
        command(error)
        with pytest.raises(SystemExit) as stop:
            frame.main(["fail"])
        assert stop.value.code == 2
        assert capsys.readouterr() == ("", f"truez: {expected}\n")
        assert sentence(error) == expected

    def test_debug_shows_the_traceback(self, command):
        error = ValueError("bad")
        command(error)
        with pytest.raises(ValueError) as caught:
            frame.main(["--debug", "fail"])
        assert caught.value is error

    def test_a_defect_is_one_sentence_too_and_exit_code_1(self, command, capsys):
        # It kept its traceback once; --debug shows that now.
        command(ZeroDivisionError("our mistake"))
        with pytest.raises(SystemExit) as stop:
            frame.main(["fail"])
        assert stop.value.code == 1
        out, err = capsys.readouterr()
        assert err.startswith("truez: an unexpected ZeroDivisionError in test_frame.py, line ")
        assert "(our mistake)" in err
        assert err.endswith("--debug COMMAND shows the traceback\n")
        assert (out, err.count("\n")) == ("", 1)
        with pytest.raises(ZeroDivisionError):
            frame.main(["--debug", "fail"])

    @pytest.mark.parametrize(
        ("error", "words"),
        [
            (MemoryError("1 TB"), "there is not enough memory: take larger cells, a smaller box"),
            (OSError(errno.ENOMEM, "Cannot allocate memory"), "there is not enough memory: take"),
            (
                RuntimeError("can't allocate memory: you tried to allocate 194400000000 bytes"),
                "there is not enough memory, of which another 194 GB are needed: take larger",
            ),
            (RuntimeError("CUDA out of memory. Tried to allocate"), "there is not enough memory: "),
            (RecursionError("maximum recursion depth exceeded"), "the input is nested too deeply"),
        ],
    )
    def test_what_the_machine_cannot_do_is_bad_input(self, command, capsys, error, words):
        command(error)
        with pytest.raises(SystemExit) as stop:
            frame.main(["fail"])
        assert stop.value.code == 2
        assert capsys.readouterr().err.startswith(f"truez: {words}")

    def test_a_sentence_is_short_and_printable(self, command, capsys):
        command(ValueError(f"column \x1b[31m{'x' * 1000}\a is bad: give another"))
        with pytest.raises(SystemExit):
            frame.main(["fail"])
        err = capsys.readouterr().err.rstrip("\n")
        assert len(err) < 300
        assert err.isprintable()
        assert err.startswith(r"truez: column \x1b[31mxxx")
        assert err.endswith(r"\x07 is bad: give another")

    def test_ctrl_c_is_exit_code_130(self, command, capsys):
        command(KeyboardInterrupt())
        with pytest.raises(SystemExit) as stop:
            frame.main(["fail"])
        assert stop.value.code == 130
        assert capsys.readouterr().err.startswith("truez: interrupted")

    def test_an_unknown_option_is_exit_code_2(self, command, capsys):
        command(ValueError("never raised"))
        with pytest.raises(SystemExit) as stop:
            frame.main(["fail", "--fast"])
        assert stop.value.code == 2
        assert "--fast" in capsys.readouterr().err

    def test_a_reader_that_has_gone_is_not_bad_input(self):
        with pytest.raises(BrokenPipeError), one_sentence():
            raise BrokenPipeError(errno.EPIPE, "Broken pipe")

    def test_exits_pass(self):
        with pytest.raises(typer.Exit), one_sentence():
            raise typer.Exit


@pytest.mark.parametrize(
    ("line", "found"),
    [("truez mo", "mock"), ("truez mock --boxs", "--boxsize"), ("truez train --res", "--resume")],
)
def test_a_shell_completes_commands_and_options(line, found, monkeypatch, capsys):
    monkeypatch.setenv("_TRUEZ_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", line)
    monkeypatch.setenv("COMP_CWORD", str(len(line.split()) - 1))
    with pytest.raises(SystemExit) as ended:
        frame.main([])
    assert not ended.value.code
    assert capsys.readouterr().out.split() == [found]
