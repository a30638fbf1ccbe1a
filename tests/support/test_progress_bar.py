"""The progress bar: when it appears, what it says, and what a log file gets."""

import io
import subprocess
import sys

from rich.console import Console

from truez.support.progress import Progress
from truez.support.progress_bar import BarProgress, progress_bar


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
    def test_rich_is_imported_with_the_first_bar_only(self):
        code = "import sys, truez.support.progress_bar; print('rich' in sys.modules)"
        result = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        )
        assert result.stdout == "False\n"

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
