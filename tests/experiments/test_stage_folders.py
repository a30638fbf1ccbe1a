"""The folder of a run in stages: its mark, files of others, and what is moved aside."""

import json
from dataclasses import replace

import pytest

from truez.experiments.stages import MARK, Stage, check_stages, run_stages
from truez.support.files import write_text


class Work:
    """A stage with a file, and one with a folder in which it leaves more than it makes."""

    def __init__(self, folder):
        self.folder, self.moved = folder, []

    def data(self, progress):
        (self.folder / "data.txt").write_text("data")

    def train(self, progress):
        (self.folder / "training").mkdir(exist_ok=True)
        for name in ("weights", "checkpoint"):
            (self.folder / "training" / name).write_text("of days")

    def stages(self, **settings):
        return [
            Stage("data", self.data, ("data.txt",)),
            Stage("train", self.train, ("training/weights",), ("data",), settings, ("training",)),
        ]

    def run(self, **settings):
        def kept(before, after):
            self.moved.append((before.name, after.name))

        return run_stages(self.folder, self.stages(**settings), kept=kept, maker="truez x")


@pytest.fixture
def work(tmp_path):
    return Work(tmp_path / "run")


def names(folder):
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_the_mark_says_which_command_wrote_the_folder(work):
    work.run()
    assert json.loads((work.folder / MARK).read_text())["maker"] == "truez x"
    with pytest.raises(ValueError, match="is the folder of truez x, not of truez y: choose"):
        check_stages(work.folder, work.stages(), maker="truez y")


def test_a_training_whose_settings_change_is_moved_aside(work):
    work.run(steps=1)
    (work.folder / "training/notes.txt").write_text("mine")
    work.run(steps=1)
    assert work.moved == []
    work.run(steps=2)
    work.run(steps=3)
    assert work.moved == [("training", "training-1"), ("training", "training-2")]
    assert (work.folder / "training-1/notes.txt").read_text() == "mine"
    made = {f"{place}/{name}" for place in ("training", "training-1", "training-2")
            for name in ("weights", "checkpoint")}  # fmt: skip
    assert names(work.folder) == {
        "data.txt", "stages.json", MARK, "training-1/notes.txt", *made,
    }  # fmt: skip


def test_a_training_whose_data_change_is_moved_aside(work):
    work.run()
    work.data = lambda progress: (work.folder / "data.txt").write_text("other data")
    first, second = work.stages()
    run_stages(work.folder, [replace(first, settings={"n": 1}), second], maker="truez x")
    assert (work.folder / "training-1/weights").exists()


@pytest.mark.parametrize("name", ["data.txt", "training/notes.txt", "training/weights"])
def test_files_of_others_are_refused_and_left_as_they_were(work, name):
    path = work.folder / name
    path.parent.mkdir(parents=True)
    path.write_text("mine")
    with pytest.raises(ValueError, match="was not written by truez x and would be replaced"):
        work.run()
    assert names(work.folder) == {name}
    assert path.read_text() == "mine"


def test_a_file_of_the_user_with_the_name_of_the_mark_is_no_mark(work):
    work.folder.mkdir()
    (work.folder / MARK).write_text("mine")
    with pytest.raises(ValueError, match="was not written by truez x and would be replaced"):
        check_stages(work.folder, work.stages(), maker="truez x")


def test_the_folder_of_an_earlier_version_has_no_mark_and_is_known(work):
    work.run()
    (work.folder / MARK).unlink()
    (work.folder / "data.txt").unlink()
    work.run()
    assert (work.folder / MARK).exists()


def test_without_its_records_a_marked_folder_runs_again(work):
    work.run()
    (work.folder / "stages.json").unlink()
    work.run()
    assert (work.folder / "training-1/weights").exists()


def test_files_with_other_names_are_kept(work):
    work.folder.mkdir()
    (work.folder / "notes.txt").write_text("mine")
    work.run()
    assert "notes.txt" in names(work.folder)


def test_an_output_that_was_changed_by_others_is_moved_aside(work):
    work.run()
    (work.folder / "data.txt").write_text("mine, and longer")
    work.run()
    assert ("data.txt", "data-1.txt") in work.moved
    assert (work.folder / "data-1.txt").read_text() == "mine, and longer"
    assert (work.folder / "data.txt").read_text() == "data"


def test_an_output_that_is_removed_while_the_run_goes_on_is_an_error(work):
    work.train = lambda progress: (work.folder / "data.txt").unlink()
    with pytest.raises(FileNotFoundError):
        work.run()

    def remove(progress):
        Work.train(work, progress)
        (work.folder / "data.txt").unlink()

    work.train = remove
    with pytest.raises(ValueError, match=r"data\.txt was removed or changed while the run went on"):
        work.run()


@pytest.mark.parametrize("changed", [False, True])
def test_of_an_interrupted_stage_only_what_it_did_not_write_is_moved_aside(tmp_path, changed):
    moved = []

    def run(fails, settings):
        def work(progress):
            for name in ("a.txt", "b.txt"):
                write_text(tmp_path / name, "of the stage")
                if fails:
                    raise KeyboardInterrupt

        stages = [Stage("both", work, ("a.txt", "b.txt"), settings=settings)]
        run_stages(tmp_path, stages, kept=lambda before, after: moved.append(after.name))

    with pytest.raises(KeyboardInterrupt):
        run(True, {})
    (tmp_path / "b.txt").write_text("mine")
    run(False, {"steps": 2} if changed else {})
    assert (tmp_path / "b-1.txt").read_text() == "mine"
    assert moved == ["b-1.txt"]
    assert (tmp_path / "b.txt").read_text() == "of the stage"
