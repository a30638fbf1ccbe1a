"""``truez simulate``: the catalogue, what it needs of the machine, and going on after a break."""

import re
from contextlib import contextmanager

import numpy as np
import pytest

from truez.catalogs.catalog import Catalog
from truez.cli.app import main
from truez.experiments import costs
from truez.simulate import Universe
from truez.support import disk, memory

TINY = ("--boxsize", 64, "--num-particles", 20, "--num-steps", 3, "--seed", 3)


def run(*arguments):
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    return int(ended.value.code or 0)


def simulate(out, *arguments):
    assert run("simulate", *TINY, "--out", out, *arguments) == 0
    return Catalog.read(out)


@pytest.fixture(scope="module")
def catalog(tmp_path_factory):
    """A catalogue in Parquet."""
    return simulate(tmp_path_factory.mktemp("simulate") / "cat.parquet")


class TestCatalogue:
    def test_it_is_what_the_universe_makes(self, catalog):
        galaxies = Universe(boxsize=64, num_particles=20, num_steps=3, seed=3).make()
        np.testing.assert_array_equal(catalog.positions(), galaxies.positions)
        np.testing.assert_array_equal(catalog.velocities(), galaxies.velocities)
        np.testing.assert_array_equal(catalog["mass"], galaxies.mass)

    def test_it_says_its_units_and_what_made_it(self, catalog):
        assert dict(catalog.units) == {
            **dict.fromkeys("xyz", "Mpc/h"), **dict.fromkeys(("vx", "vy", "vz"), "km/s")
        }  # fmt: skip
        settings = catalog.metadata
        assert (settings["seed"], settings["num_steps"], settings["redshift"]) == (3, 3, 0.59)
        assert settings["box"]["boxsize"] == [64, 64, 64]
        assert settings["cosmology"]["omega_m"] == 0.268
        assert settings["galaxies"]["density"] == 1.85e-2
        assert {"truez", "torch", "numpy"} <= settings["versions"].keys()

    @pytest.mark.parametrize("suffix", [".fits", ".h5", ".asdf", ".ecsv", ".csv"])
    def test_every_format_holds_the_same(self, catalog, suffix, tmp_path):
        other = simulate(tmp_path / f"cat{suffix}")
        for name, values in catalog.columns.items():
            np.testing.assert_array_equal(other[name].astype(np.float32), values)

    def test_the_same_options_give_the_same_file_byte_by_byte(self, tmp_path):
        files = [tmp_path / f"{name}.parquet" for name in "ab"]
        for file in files:
            simulate(file)
        assert files[0].read_bytes() == files[1].read_bytes()

    def test_every_option_reaches_the_universe(self, tmp_path):
        options = (
            "--boxsize", "64,64,72", "--num-particles", "16,16,18", "--cosmology",
            "h=0.7,omega_m=0.3", "--density", 1e-2, "--start-redshift", 7, "--num-steps", 2,
            "--spacing", "log", "--force-factor", 1, "--fixed", "--flip", "--redshift", 1,
        )  # fmt: skip
        settings = simulate(tmp_path / "cat.parquet", *options).metadata
        expected = {
            "redshift": 1, "start_redshift": 7, "num_steps": 2, "spacing": "log",
            "force_factor": 1, "fixed": True, "flip": True, "seed": 3,
        }  # fmt: skip
        assert {name: settings[name] for name in expected} == expected
        assert settings["box"]["meshsize"] == [16, 16, 18]
        assert (settings["cosmology"]["h"], settings["cosmology"]["omega_m"]) == (0.7, 0.3)
        assert settings["galaxies"]["density"] == 1e-2

    def test_without_a_number_one_particle_every_2_mpc(self, tmp_path):
        out = tmp_path / "cat.parquet"
        assert run("simulate", "--boxsize", 40, "--num-steps", 1, "--out", out) == 0
        assert Catalog.read(out).metadata["box"]["meshsize"] == [20, 20, 20]

    def test_info_says_what_made_it(self, catalog, tmp_path, capsys):
        catalog.write(tmp_path / "cat.h5")
        assert run("info", tmp_path / "cat.h5") == 0
        text = capsys.readouterr().out
        assert f"a catalogue of {len(catalog)} rows" in text
        assert re.search(r"num_steps +3\n", text)


class TestBreaks:
    @pytest.fixture
    def broken(self, tmp_path, monkeypatch):
        """The path of a catalogue whose run was stopped by Ctrl-C after two steps of three."""

        @contextmanager
        def until_the_second_step():
            def progress(task, done, total, note=""):
                if (task, done) == ("N-body", 2):
                    raise KeyboardInterrupt

            yield progress

        out = tmp_path / "cat.parquet"
        with monkeypatch.context() as patch:
            patch.setattr("truez.support.progress_bar.progress_bar", until_the_second_step)
            assert run("simulate", *TINY, "--out", out) == 130
        assert [file.name for file in tmp_path.iterdir()] == ["cat.parquet.checkpoint"]
        return out

    def test_the_same_command_goes_on_to_the_same_catalogue(self, broken, catalog, capsys):
        again = simulate(broken)
        assert "continued from the last step of an earlier run" in capsys.readouterr().err
        for name, values in catalog.columns.items():
            assert again[name].tobytes() == values.tobytes()
        assert [file.name for file in broken.parent.iterdir()] == ["cat.parquet"]

    def test_another_universe_is_not_mixed_with_it(self, broken, capsys):
        assert run("simulate", *TINY, "--seed", 4, "--out", broken) == 2
        assert "cat.parquet.checkpoint has seed = 3, not 4: resume" in capsys.readouterr().err
        assert not broken.exists()

    def test_without_steps_nothing_is_kept(self, tmp_path, monkeypatch):
        seen = []

        def make(self, *, checkpoint, **_):
            seen.append(checkpoint)
            raise KeyboardInterrupt

        monkeypatch.setattr(Universe, "make", make)
        assert run("simulate", *TINY, "--no-checkpoint", "--out", tmp_path / "cat.parquet") == 130
        assert seen == [None]


class TestMachine:
    def test_a_dry_run_writes_nothing_and_says_what_it_takes(self, tmp_path, capsys):
        out = tmp_path / "folder" / "cat.parquet"
        assert run("simulate", *TINY, "--out", out, "--dry-run") == 0
        text = capsys.readouterr().out
        assert f"{out}: a universe of 4850 galaxies" in text
        assert "box      64 x 64 x 64 Mpc/h, 20 x 20 x 20 cells of 3.2 Mpc/h, periodic" in text
        for line in (
            r"memory   [\d.]+ [MG]B of [\d.]+ GB that are free",
            r"disk     136 kB, and 384 kB for checkpoints, of [\d.]+ GB that are free",
            r"time     about \d\.\d seconds, estimated from a small run on this machine",
        ):
            assert re.search(line, text), text
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize(
        ("seconds", "words"),
        [
            (0.001, "0.1 seconds"), (9.94, "9.9 seconds"), (59, "59 seconds"), (60, "1.0 minutes"),
            (3599, "60 minutes"), (5400, "1.5 hours"), (1e6, "278 hours"),
        ],
    )  # fmt: skip
    def test_a_time_in_words(self, seconds, words, tmp_path, monkeypatch, capsys):
        monkeypatch.setattr(costs.SimulationTime, "of", lambda self, universe: seconds)
        assert run("simulate", *TINY, "--out", tmp_path / "cat.parquet", "--dry-run") == 0
        assert f"time     about {words}, estimated" in capsys.readouterr().out

    def test_the_time_grows_with_particles_and_steps(self, monkeypatch):
        monkeypatch.setattr(costs, "TRIAL_PARTICLES", 32)
        universe = Universe(boxsize=64, num_particles=20, num_steps=3)
        larger = Universe(boxsize=512, num_particles=256)
        large, small = (costs.time_simulation(u).of(u) for u in (larger, universe))
        assert large > 100 * small > 0

    def test_an_existing_catalogue_does_not_matter_to_a_dry_run(self, tmp_path):
        out = tmp_path / "cat.parquet"
        out.write_text("here")
        assert run("simulate", *TINY, "--out", out, "--dry-run") == 0
        assert out.read_text() == "here"

    @pytest.mark.parametrize("dry", [(), ("--dry-run",)])
    @pytest.mark.parametrize(
        ("changes", "free", "expected"),
        [
            (
                ("--boxsize", 1000, "--num-particles", 500),
                {"memory": 6e9},
                (
                    "--num-particles 500 takes 12.5 GB of memory, and 6 GB are free: take "
                    "--num-particles 384"
                ),
            ),
            (
                ("--boxsize", "500,500,1000", "--num-particles", "250,250,500"),
                {"memory": 2e9},
                (
                    "--num-particles 250,250,500 takes 3.12 GB of memory, and 2 GB are free: take "
                    "--num-particles 200,200,400"
                ),
            ),
            (
                ("--boxsize", 1000, "--num-particles", 500),
                {"memory": 1.8e9},
                (
                    "--num-particles 500 takes 12.5 GB of memory, and 1.8 GB are free: set "
                    "--boxsize to less"
                ),
            ),
            (
                (),
                {"disk": 1e5},
                (
                    "cat.parquet with its checkpoints takes 384 kB of disk, and 100 kB are free: "
                    "free some or choose another --out, or leave out the checkpoints with "
                    "--no-checkpoint"
                ),
            ),
            (
                ("--no-checkpoint",),
                {"disk": 1e5},
                (
                    "cat.parquet takes 136 kB of disk, and 100 kB are free: free "
                    "some or choose another --out"
                ),
            ),
        ],
        ids=["memory", "cuboid", "density", "disk", "disk without steps"],
    )
    def test_what_cannot_fit_is_refused(
        self, dry, changes, free, expected, tmp_path, monkeypatch, capsys
    ):
        monkeypatch.chdir(tmp_path)
        # So that the numbers do not depend on how the simulation does its work.
        needed = property(lambda universe: 100 * universe.box.num_cells)
        monkeypatch.setattr(Universe, "memory_needed", needed)
        monkeypatch.setattr(memory, "available_memory", lambda: int(free.get("memory", 1e12)))
        monkeypatch.setattr(disk, "free_disk", lambda path: int(free.get("disk", 1e12)))
        options = ("--out", "cat.parquet", "--device", "cpu")
        assert run("simulate", *TINY, *changes, *options, *dry) == 2
        assert capsys.readouterr() == ("", f"truez: {expected}\n")
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize("sides", ["512", "256,256,512"])
    def test_the_number_that_is_named_does_fit(self, sides, monkeypatch, capsys):
        boxsize = [float(side) for side in sides.split(",")] * (1 if "," in sides else 3)
        asked = Universe(boxsize=boxsize, num_particles=[side / 2 for side in boxsize])
        free = asked.memory_needed // 2
        monkeypatch.setattr(memory, "available_memory", lambda: free)
        assert run("simulate", "--boxsize", sides, "--density", 1e-3, "--device", "cpu") == 2
        (named,) = re.findall(r"take --num-particles ([\d,]+)$", capsys.readouterr().err)
        numbers = [int(number) for number in named.split(",")] * (1 if "," in named else 3)
        settings = {"boxsize": boxsize, "density": 1e-3}
        assert Universe(num_particles=numbers, **settings).memory_needed <= free
        more = [1.1 * number // 1 for number in numbers]
        assert Universe(num_particles=more, **settings).memory_needed > free


BROKEN = [
    (("--boxsize", "wide"), "--boxsize must be one positive number or three, X,Y,Z, not 'wide'"),
    (("--boxsize", "64,64"), "--boxsize must be one positive number or three, X,Y,Z, not '64,64'"),
    (("--boxsize", "-64"), "--boxsize must be one positive number or three, X,Y,Z, not '-64'"),
    (("--boxsize", "nan"), "--boxsize must be one positive number or three, X,Y,Z, not 'nan'"),
    (
        ("--boxsize", "12"),
        (
            "--boxsize of 12 Mpc/h is too small, since its largest waves are not linear at "
            "redshift 0.59: take at least 28 Mpc/h"
        ),
    ),
    (
        ("--num-particles", "0"),
        "--num-particles must be one positive number or three, X,Y,Z, not '0'",
    ),
    (("--num-particles", "20.5"), "--num-particles must be whole numbers from 8 to 262144, not "),
    (("--num-particles", "4"), "--num-particles must be whole numbers from 8 to 262144, not "),
    (
        ("--boxsize", "64,64,128"),
        (
            "--num-particles of 20 do not lie equally far apart in a box of 64,64,128 Mpc/h: take "
            "20,20,40"
        ),
    ),
    (("--redshift", "9.5"), "--redshift 9.5 must be below --start-redshift 9: start earlier"),
    (("--redshift", "-0.1"), "--redshift must be a number from 0 to 100, not -0.1"),
    (("--redshift", "nan"), "--redshift must be a number from 0 to 100, not nan"),
    (
        ("--density", "0.1"),
        (
            "--density of 0.1 (h/Mpc)^3 is more galaxies than there are particles, 0.03052: take "
            "--num-particles of at least 30"
        ),
    ),
    (("--density", "-1"), "--density must be a finite number above 0, not -1"),
    (
        ("--cosmology", "flat"),
        "--cosmology must be one of wmap, tng, planck18 or h=...,omega_m=..., not 'flat'",
    ),
    (("--spacing", "even"), "--spacing must be one of linear, log, not 'even'"),
    (
        ("--force-factor", "5"),
        "--force-factor must be one of 1, 2, 3, 4 cells per particle and axis, not 5",
    ),
    (("--num-steps", "0"), "--num-steps must be a whole number from 1 to 100000, not 0"),
    (("--seed", "-1"), "--seed must be at least 0 and below 18446744073709551616, not -1"),
    (("--device", "tpu"), "--device must be auto, cpu or cuda, not 'tpu'"),
    (("--out", "cat.doc"), "--out: the suffix of cat.doc is not that of a catalogue format: "),
    (("--out", "there.csv"), "there.csv is there already: give another --out, or --overwrite"),
]


@pytest.mark.parametrize(
    ("change", "expected"), BROKEN, ids=[" ".join(change) for change, _ in BROKEN]
)
def test_broken_options(change, expected, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there.csv").write_text("x\n1\n")
    assert run("simulate", *TINY, *change) == 2
    out, error = capsys.readouterr()
    assert out == ""
    assert error.startswith(f"truez: {expected}")
    assert error.count("\n") == 1
    assert [file.name for file in tmp_path.iterdir()] == ["there.csv"]


class TestFreeMemory:
    @pytest.fixture
    def root(self, tmp_path):
        """A system with 8000000 kB available."""
        (tmp_path / "proc/self").mkdir(parents=True)
        (tmp_path / "proc/meminfo").write_text("MemTotal: 9000000 kB\nMemAvailable: 8000000 kB\n")
        return tmp_path

    @staticmethod
    def group(folder, **files):
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            (folder / name.replace("__", ".")).write_text(f"{text}\n")

    @pytest.fixture(autouse=True)
    def _much_memory(self, monkeypatch):
        sizes = {"SC_PHYS_PAGES": 10**9, "SC_PAGE_SIZE": 4096}
        monkeypatch.setattr("os.sysconf", sizes.__getitem__)

    def test_what_the_system_has_available(self, root):
        assert memory.available_memory(root) == 8000000 * 1024

    def test_all_there_is_where_the_system_does_not_say(self, tmp_path):
        assert memory.available_memory(tmp_path) == 4096 * 10**9

    @pytest.mark.parametrize("place", ["", "job/step"])
    def test_the_limit_of_a_group_and_what_it_has_taken(self, root, place):
        (root / "proc/self/cgroup").write_text(f"0::/{place}\n")
        self.group(
            root / "sys/fs/cgroup" / place, memory__max=5_000_000_000,
            memory__current=2_000_000_000, memory__stat="anon 1\ninactive_file 500000000",
        )  # fmt: skip
        assert memory.available_memory(root) == 3_500_000_000

    def test_the_limit_of_a_group_around_it(self, root):
        (root / "proc/self/cgroup").write_text("0::/job/step\n")
        self.group(
            root / "sys/fs/cgroup/job/step", memory__max="max", memory__current=10, memory__stat=""
        )
        self.group(
            root / "sys/fs/cgroup/job", memory__max=1000, memory__current=400, memory__stat=""
        )
        assert memory.available_memory(root) == 600

    def test_groups_of_the_first_version(self, root):
        (root / "proc/self/cgroup").write_text("5:cpu:/x\n4:memory:/outside/container\n0::/\n")
        self.group(
            root / "sys/fs/cgroup/memory", memory__limit_in_bytes=1000,
            memory__usage_in_bytes=700, memory__stat="total_inactive_file 50",
        )  # fmt: skip
        assert memory.available_memory(root) == 350

    def test_nothing_left_is_not_less_than_nothing(self, root):
        (root / "proc/self/cgroup").write_text("0::/\n")
        self.group(root / "sys/fs/cgroup", memory__max=10, memory__current=20, memory__stat="")
        assert memory.available_memory(root) == 0
