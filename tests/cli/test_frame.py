"""The frame of the command line: speed, errors in one sentence, exit codes, progress."""

import errno
import importlib
import io
import subprocess
import sys

import pytest
import typer
from pydantic import BaseModel, ConfigDict
from rich.console import Console

import truez
from truez.cli import app as frame
from truez.cli.errors import one_sentence, sentence
from truez.cli.progress import BarProgress, progress_bar
from truez.support.progress import Progress

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
    def test_every_command_has_help(self, name):
        result = run(name, "--help")
        assert result.returncode == 0
        assert f"truez {name}" in result.stdout

    def test_a_command_that_is_not(self):
        result = run("paint-it-black")
        assert result.returncode == 2
        assert "there is no command 'paint-it-black'" in " ".join(
            result.stderr.replace("│", " ").split()
        )
        assert result.stdout == ""


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
     "steps: Input should be a valid integer, unable to parse string as an integer, not 'many'"),
    (validation_error(steps=1, stepz=2), "stepz: Extra inputs are not permitted, not 2"),
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

    def test_a_defect_keeps_its_traceback(self, command):
        command(ZeroDivisionError("our mistake"))
        with pytest.raises(ZeroDivisionError, match="our mistake"):
            frame.main(["fail"])

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


class Screen:
    """A `BarProgress` on a terminal in memory, with a clock that is set by hand."""

    def __init__(self, *, terminal):
        self.stream = io.StringIO()
        self.now = 0.0
        console = Console(file=self.stream, force_terminal=terminal, width=120, color_system=None)
        self.progress = BarProgress(console, clock=lambda: self.now)

    def at(self, seconds, *state):
        self.now = seconds
        self.progress(*state)
        return self.stream.getvalue()

    def close(self):
        self.progress.close()
        return self.stream.getvalue()


class TestProgress:
    def test_it_is_a_progress(self):
        with progress_bar() as progress:
            callback: Progress = progress
            callback("painting", 0, 3)

    def test_short_work_shows_nothing(self):
        screen = Screen(terminal=True)
        screen.at(0.0, "painting", 0, 10)
        screen.at(1.9, "painting", 9, 10)
        screen.at(2.5, "painting", 10, 10)
        assert screen.close() == ""

    def test_long_work_shows_its_state_and_the_time_left(self):
        screen = Screen(terminal=True)
        screen.at(0, "training", 0, 100)
        screen.at(30, "training", 10, 100, "loss 0.5")
        text = screen.close()
        for part in ("training", "10/100", "4:30 left", "loss 0.5"):
            assert part in text

    def test_resumed_work_counts_the_speed_since_it_was_resumed(self):
        screen = Screen(terminal=True)
        screen.at(0, "training", 90, 100)
        screen.at(36, "training", 91, 100)
        assert "5:24 left" in screen.close()

    def test_more_than_an_hour(self):
        screen = Screen(terminal=True)
        screen.at(0, "training", 0, 1000)
        screen.at(10, "training", 1, 1000)
        assert "2:46:30 left" in screen.close()

    def test_work_of_unknown_length(self):
        screen = Screen(terminal=True)
        screen.at(0, "reading", 0, None)
        screen.at(5, "reading", 7, None)
        text = screen.close()
        assert "reading" in text
        assert "left" not in text

    def test_the_same_work_again_starts_afresh(self):
        screen = Screen(terminal=False)
        screen.at(0, "painting", 0, 10)
        screen.at(100, "painting", 10, 10)
        screen.at(100, "painting", 0, 10)
        screen.at(101, "painting", 5, 10)
        assert screen.close() == ""

    def test_a_log_file_gets_a_line_a_minute(self):
        screen = Screen(terminal=False)
        for second in range(0, 200, 10):
            screen.at(second, "training", second, 200, "loss 1")
        assert screen.close().splitlines() == [
            "training  60/200  2:20 left  loss 1",
            "training  120/200  1:20 left  loss 1",
            "training  180/200  0:20 left  loss 1",
        ]
