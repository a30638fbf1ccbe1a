"""Bad values of options, usage errors, and settings of recipes: one sentence names them."""

import re
import shlex

import numpy as np
import pytest
from tests.evaluate.sharpened_catalog import sharpened_catalog
from tests.sky.sky_fields import sky_field

from truez import Box
from truez.catalogs.catalog import Catalog
from truez.cli import app as frame
from truez.cli import options
from truez.cli.mock_sky_options import SkyMockOptions
from truez.cli.parameters import option_names
from truez.cli.sky_options import SkyOptions, SkyRedshiftOptions
from truez.cosmology import HIGHEST_REDSHIFT
from truez.sky.distributed.driver import prepare
from truez.sky.distributed.run_plan import GivenSurveys
from truez.sky.partition.patch_plan import PatchPlan
from truez.sky.partition.sky_input import SkyInput
from truez.sky.partition.stored import Partition
from truez.sky.patches import PatchSettings
from truez.surveys.footprint import Rectangle
from truez.surveys.mock import MockConfig
from truez.surveys.observe import make_mock
from truez.surveys.pdfs import write_pdfs
from truez.surveys.photoz import LARGEST_SIGMA_Z

#: Words of libraries and of Python that no sentence of the command line has.
FOREIGN = re.compile(
    r"Input should|Field required|Extra inputs|validation error|\{'|\bdict\b|\btuple\b|\bNone\b|"
    r"Traceback|Usage:|Try '|Errno|unexpected"
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with a catalogue of 400 galaxies, a second one of other ids, and a mock."""
    folder = tmp_path_factory.mktemp("values")
    rng = np.random.default_rng(7)
    positions, mass = rng.uniform(0, 64, (400, 3)), rng.uniform(1, 2, 400)
    columns = dict(zip("xyz", positions.T, strict=True)) | {"mass": mass}
    Catalog(columns | {"id": np.arange(400)}).write(folder / "cat.parquet")
    Catalog(columns | {"id": np.arange(1000, 1400)}).write(folder / "others.parquet")
    Catalog(columns).write(folder / "cat.h5")
    sky = {
        "ra": rng.uniform(1, 9, 400), "dec": rng.uniform(1, 9, 400),
        "z": rng.uniform(0.1, 0.4, 400), "mag": 18 + mass, "id": np.arange(400),
    }  # fmt: skip
    Catalog(sky).write(folder / "sky.parquet")
    error = 0.02 * (1 + sky["z"])
    write_pdfs(folder / "pz.hdf5", "norm", {"loc": sky["z"], "scale": error})
    Catalog(sharpened_catalog(200)).write(folder / "z.fits")
    sky_field("350,10,-6,6", np.zeros, cellsize=16).write(folder / "map.h5")
    config = MockConfig(
        redshift=0.6, cosmology="wmap", sigma_z=0.005, rank_by="mass", spec={"density": 1e-4},
        redshift_space=False, gap=4,
    )  # fmt: skip
    make_mock(positions, Box(64, cellsize=8), config, columns={"mass": mass}).write(folder / "mock")
    plan = PatchPlan(
        Rectangle(0, 10, 0, 10), "planck18", (0.1, 0.4), 0.02,
        settings=PatchSettings(cellsize=15, halo=20),
    )  # fmt: skip
    given = SkyInput(folder / "sky.parquet", ("ra", "dec", "z"))
    Partition.make(folder / "divided", plan, photo=given, spec=given)
    prepare(folder / "divided", GivenSurveys(0.02, "id"), "redistribution")
    (folder / "words.toml").write_text(
        'universe = [1, 2]\nboxes = "x"\nnetwork = 3\ntraining = 4\n'
    )
    (folder / "empty.toml").write_text("")
    return folder


@pytest.fixture
def refused(folder, monkeypatch, capsys):
    """The sentence that a command line is refused with, after what every refusal has is checked."""

    def run(words):
        monkeypatch.chdir(folder)
        before = sorted(folder.rglob("*"))
        with pytest.raises(SystemExit) as ended:
            frame.main(words)
        out, error = capsys.readouterr()
        assert ended.value.code == 2, error
        assert out == ""
        assert error.startswith("truez: ")
        assert error.endswith("\n")
        sentence = error[len("truez: ") : -1]
        assert sentence.isprintable(), "one line that a terminal only shows"
        assert len(error) <= 300
        assert not FOREIGN.search(sentence), sentence
        assert sorted(folder.rglob("*")) == before
        return sentence

    return run


def changed(base, *more):
    """The words of a command line with the values of options replaced, or added."""
    words = shlex.split(base)
    for option, value in zip(more[::2], more[1::2], strict=True):
        if option in words and option != "--set":
            words[words.index(option) + 1] = value
        else:
            words += [option, value]
    return words


MOCK = (
    "mock cat.parquet --boxsize 64 --cellsize 4 --redshift 0.59 --cosmology wmap --rank-by mass "
    "--spec-density 5e-4 --sigma-z 0.02 --out out"
)
TWO = (
    "reconstruct --spec cat.parquet --photo cat.parquet --boxsize 64 --cellsize 8 --redshift 0.59 "
    "--sigma-z 0.02 --cosmology wmap --match-id id --method wiener --out out.h5"
)
SHARPEN = TWO.replace("reconstruct", "redshifts").replace("wiener", "redistribution").replace(
    "out.h5", "out.fits"
)  # fmt: skip
UNIVERSE = (
    "simulate --boxsize 64 --num-particles 16 --num-steps 2 --density 1e-3 --seed 1 "
    "--out out.parquet"
)
BENCHMARK = (
    "benchmark --boxsize 96 --num-particles 40 --setting fiducial --seeds 1 --draws 0 "
    "--no-controls --out out"
)
SPECTRUM = "spectrum cat.parquet --boxsize 64 --cellsize 8 --out out.ecsv"
TRAIN = "train small --mock mock --out out --set training.steps=2 --set training.crop=[4,4,8]"
PAPER = (
    "paper --recipe paper-small --out out --until paint --set universe.boxsize=96 --set "
    "universe.num_particles=28 --set universe.num_steps=2 --set universe.density=1e-2 --set "
    "boxes.cellsize=4 --set boxes.cells=12 --set boxes.corrections=[] --set training.crop=[8,8,8]"
)
#: A command line that works, or would take long, by command.
BASES = {
    "mock": MOCK, "reconstruct": TWO, "redshifts": SHARPEN, "simulate": UNIVERSE,
    "benchmark": BENCHMARK, "spectrum": SPECTRUM, "train": TRAIN, "paper": PAPER, "demo": "demo",
    "map": "map map.h5 --zbins 0.12,0.2 --nside 32 --out out.fits",
    "evaluate": "evaluate mock", "info": "info mock", "report": "report mock",
    "views": "views . --out out",
    "photoz": "photoz z.fits --truth Z_SPEC --photo-z Z_PHOT --out out",
    "partition": "partition --photo sky.parquet --spec sky.parquet --sky ra,dec,z --sigma-z 0.02 "
    "--footprint 0,10,0,10 --redshift-range 0.1,0.4 --cellsize 15 --halo 20 --out out",
    "run": "run divided --sigma-z 0.02 --match-id id --method redistribution --out out",
    "run-patch": "run-patch divided 0",
    "join": "join divided --field out.h5",
}  # fmt: skip

#: The base, the option, its value, and the sentence or its beginning.
VALUES = [
    (UNIVERSE, "--cosmology", "h=0.7,h=0.6,omega_m=0.3",
     "--cosmology 'h=0.7,h=0.6,omega_m=0.3' says 'h' twice: leave one out"),
    (UNIVERSE, "--cosmology", "h=0.7,omega_m=0.04,omega_b=0.05",
     "--cosmology 'h=0.7,omega_m=0.04,omega_b=0.05': omega_b of 0.05 must be below omega_m of 0.0"),
    (UNIVERSE, "--cosmology", "h=0.7", "--cosmology 'h=0.7': omega_m is missing: add it"),
    (UNIVERSE, "--cosmology", "h=0.7,omega=0.3",
     "--cosmology 'h=0.7,omega=0.3': omega is not a known setting: did you mean omega_m?"),
    (UNIVERSE, "--cosmology", "h=0.7,omega_m=0.3,sigma_8=-1",
     "--cosmology 'h=0.7,omega_m=0.3,sigma_8=-1': sigma_8 must be above 0 and below 3, not -1"),
    (TWO, "--cosmology", "h=70,omega_m=0.3",
     "--cosmology 'h=70,omega_m=0.3': h must be above 0.1 and below 2, not 70"),
    (TWO, "--cosmology", "h=a,omega_m=0.3",
     "--cosmology 'h=a,omega_m=0.3': h must be a number, not 'a'"),
    (TWO, "--cosmology", "planck", "--cosmology must be one of wmap, tng, planck18 or h=..."),
    (UNIVERSE, "--boxsize", "1e300", "--boxsize must be from 0.001 to 100000 Mpc/h, not [1e300,"),
    (UNIVERSE, "--boxsize", "1e-300", "--boxsize must be from 0.001 to 100000 Mpc/h, not [1e-300,"),
    (UNIVERSE, "--num-particles", "7",
     "--num-particles must be whole numbers from 8 to 262144, not [7, 7, 7]"),
    (UNIVERSE, "--num-particles", "1e300",
     "--num-particles must be whole numbers from 8 to 262144, not [1e300, 1e300, 1e300]"),
    (UNIVERSE, "--num-steps", "1.5", "--num-steps must be a whole number, not '1.5'"),
    (UNIVERSE, "--num-steps", "99999999999999999999",
     "--num-steps must be a whole number from 1 to 100000, not 99999999999999999999"),
    (UNIVERSE, "--start-redshift", "0.1", "--redshift 0.59 must be below --start-redshift 0.1"),
    (UNIVERSE, "--start-redshift", "1e300",
     "--start-redshift must be at least 0 and at most 1000, not 1e300"),
    (UNIVERSE, "--density", "5", "--density of 5 (h/Mpc)^3 is more galaxies than there are part"),
    (UNIVERSE, "--density", "1e300", "--density of 1e300 (h/Mpc)^3 is more galaxies than can be"),
    (UNIVERSE, "--force-factor", "two", "--force-factor must be a whole number, not 'two'"),
    (UNIVERSE, "--seed", "-1", "--seed must be at least 0 and below 18446744073709551616, not -1"),
    (MOCK, "--seed", "-3", "--seed must be at least 0, not -3"),
    (MOCK, "--redshift", "5000", "--redshift must be a number from 0 to 100, not 5000"),
    (TWO, "--redshift", "1e300", "--redshift must be a number from 0 to 100, not 1e300"),
    (BENCHMARK, "--redshift", "5000", "--redshift must be a number from 0 to 100, not 5000"),
    *[(MOCK, "--redshift", value, f"--redshift must be a number, not '{value}'")
      for value in ("abc", "0,59", "½")],
    *[(base, "--sigma-z", "0.9", "--sigma-z must be a number from 0 to 0.3, not 0.9")
      for base in (MOCK, TWO, SHARPEN)],
    (TWO, "--sigma-z", "-1", "--sigma-z must be a number from 0 to 0.3, not -1"),
    (MOCK, "--sigma-z", "2%", "--sigma-z must be a number, not '2%'"),
    *[(base, "--cellsize", "1e-300", "--cellsize 1e-300 Mpc/h divides a side of 64 Mpc/h into more")
      for base in (MOCK, TWO, SPECTRUM)],
    (MOCK, "--cellsize", "1000", "--boxsize '64' is a side of 64 Mpc/h (its unit is Mpc/h), and a"),
    (MOCK, "--length-unit", "kpc/h", "--boxsize '64' is a side of 0.064 Mpc/h (its unit is kpc/h)"),
    (MOCK, "--length-unit", "furlong", "--length-unit must be one of Mpc/h, kpc/h, Gpc/h, Mpc"),
    (TWO, "--length-unit", "Mpc", "lengths in Mpc need --hubble, the h that converts them"),
    (MOCK, "--boxsize", "-128", "--boxsize must be one positive number or three, X,Y,Z, not '-128"),
    (MOCK, "--boxsize", "1e300", "--boxsize must be at most 1e6 Mpc/h, not 1e300, which is '1e300"),
    (MOCK, "--boxsize", "1e-300", "--boxsize '1e-300' is a side of 1e-300 Mpc/h (its unit is"),
    (TWO, "--boxcenter", "1e308", "--boxcenter must be at most 1e6 Mpc/h, not 1e308, which is"),
    (MOCK, "--spec-density", "inf", "--spec-density must be a finite number above 0, not inf"),
    (MOCK, "--spec-density", "1e300", "--spec-density 1e300 (h/Mpc)^3 is 2.62e305 galaxies of thi"),
    (MOCK, "--photo-density", "1e-9", "--photo-density 1e-09 (h/Mpc)^3 is 0 galaxies of this box,"),
    (MOCK, "--spec-cut", "mass", "--spec-cut must read like mass>3.68e12 or mr<=-21, not 'mass'"),
    (MOCK, "--photo-cut", "mass>nan", "--photo-cut must read like mass>3.68e12 or mr<=-21, not"),
    (MOCK, "--spec-cut", "mas>1", "cat.parquet has no column 'mas' (--spec-cut 'mas>1') (did you"),
    (MOCK, "--rank-by", "masss", "cat.parquet has no column 'masss' (--rank-by) (did you mean"),
    (MOCK, "--velocities", "x,y,vz", "cat.parquet has no column 'vz' (--velocities 'x,y,vz')"),
    (SPECTRUM, "--weights", "w", "cat.parquet has no column 'w' (--weights), only x, y, z, mass"),
    (MOCK, "--photo-cut", "mass>9", "no galaxy passes --photo-cut mass>9"),
    (f"{MOCK} --not-periodic --drop-outside", "--boxcenter", "5000",
     "400 of 400 galaxies lie outside the closed box from (4968, 4968, 4968) to (5032, 5032, "),
    (MOCK, "--rank", "middle", "--rank must be highest or lowest, not 'middle'"),
    (TWO, "--photo", "others.parquet", "no galaxy is named in both surveys by --match-id 'id'"),
    (BENCHMARK, "--seeds", "4-1", "--seeds must be numbers or ranges that rise, by less than 1000"),
    (BENCHMARK, "--seeds", "9" * 5000, "--seeds must be numbers or ranges such as 901-904, not '9"),
    (PAPER, "--until", "paintt", "--until must be a stage, or the first word of one, not 'paintt'"),
    ("spectrum cat.h5", "--out", "a.ecsv",
     "cat.h5 is not a field that truez wrote: give --boxsize, which a catalogue needs"),
    ("spectrum cat.parquet", "--out", "a.ecsv", "cat.parquet is not a field that truez wrote: giv"),
    (TWO, "--photo-bounds", "a\x1b[31mb\nc", "--photo-bounds must be truth or photo-z, not 'a\\x1"),
    (TWO, "--method", "x" * 3000, "--method must be one of columns, columns-median, redistributio"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("base", "option", "value", "sentence"), VALUES,
    ids=[f"{base.split()[0]} {option} {value[:30]!r}" for base, option, value, _ in VALUES],
)  # fmt: skip
def test_a_bad_value_is_refused_with_its_option_and_a_remedy(
    base, option, value, sentence, refused
):
    assert refused(changed(base, option, value)).startswith(sentence)


USAGE = [
    ("Mock", "there is no command 'Mock': did you mean mock? The commands are reconstruct, "),
    ("fit --help", "there is no command 'fit': the commands are reconstruct, redshifts, "),
    ("''", "there is no command '': the commands are reconstruct, redshifts, partition, run, "),
    ("simulate --out", "--out needs a value after it: truez simulate -h lists what it may be"),
    ("report", "report needs RUN (Folder of truez paper, truez demo or truez evaluate): truez "),
    ("info mock mock", "info has no use for mock: leave it out, or name its option"),
    ("info mock 'a b'", "info has no use for 'a b': leave it out, or name its option"),
    ("mock cat.parquet --out out", "mock needs --sigma-z (Photo-z error divided by 1 + z; 0.02 in"),
    (f"{MOCK} --sigmaz 3", "mock has no option --sigmaz: did you mean --sigma-z?"),
    (f"{MOCK} --disjoint=yes", "--disjoint takes no value: give it alone, or leave it out"),
    (f"{MOCK} -- a b", "mock has no use for 'a b': leave it out, or name its option"),
    ("--nonsense", "truez has no option --nonsense: truez -h lists the options"),
    (MOCK.replace("--rank-by mass ", ""), "a selection by density needs --rank-by, the column to"),
    (MOCK.replace("--spec-density 5e-4 ", ""), "the spectroscopic sample needs --spec-density or "),
]


@pytest.mark.parametrize(("line", "sentence"), USAGE, ids=[line[-50:] for line, _ in USAGE])
def test_a_usage_error_is_one_sentence(line, sentence, refused):
    assert refused(shlex.split(line)).startswith(sentence)


@pytest.mark.parametrize("name", frame.COMMANDS)
def test_an_unknown_option_is_named_with_the_help_of_its_command(name, refused):
    assert refused([name, "--nonsense", "3"]) == (
        f"{name} has no option --nonsense: truez {name} -h lists the options"
    )


SETTINGS = [
    *[(TRAIN, f"training.{setting}", sentence) for setting, sentence in [
        ("stepz=3", "training.stepz is not a known setting: did you mean steps?"),
        ("steps=many", "training.steps must be a whole number, not 'many'"),
        ("steps=nan", "training.steps must be a finite number, not nan"),
        ("steps=1.5", "training.steps must be a whole number, not 1.5"),
        ("epochs=3", "training.steps = 2 and epochs = 3 cannot be the length of a run: set one of"),
        ("crop=[8,16]", "training.crop must be a list of 3 values, not [8, 16]"),
        ("crop=[-8,16,32]", "training.crop must hold numbers of at least 0, not [-8, 16, 32]"),
        ("crop=[99,4,8]", "training.crop of (99, 4, 8) cells does not fit in a region of"),
        ("learning_rate=nan", "training.learning_rate must be a finite number, not nan"),
        ("learning_rate=inf", "training.learning_rate must be a finite number, not inf"),
        ("learning_rate=-1", "training.learning_rate must be above 0 and at most 10, not -1"),
        ("max_minutes=nan", "training.max_minutes must be a finite number, not nan"),
        ("ema=1", "training.ema must be at least 0 and below 1, not 1"),
        ("seed=-1", "training.seed must be at least 0 and below 2147483648, not -1"),
        ("bf16=maybe", "training.bf16 must be true or false or everywhere, not 'maybe'"),
        ("margin=99", "training.margin of 99 cells leaves nothing of a crop of 4 x 4 x 8 cells: "),
    ]],
    (TRAIN, "network.spec_width=0", "network.spec_width must be at least 1 and at most 1048576"),
    (TRAIN, "network.spec_widht=4", "network.spec_widht is not a known setting: did you mean spec"),
    (TRAIN, "network.architecture=unet", "network.architecture must be one of column-net, dual-un"),
    (TRAIN, "traning.steps=3", "--set 'traning.steps=3' names no section of the recipe: it has ne"),
    (TRAIN, "training.steps", "--set has the form section.setting=value, not 'training.steps'"),
    (TRAIN, "boxes.cellsize=0", "--set 'boxes.cellsize=0' changes nothing with --mock, which "),
    ("train small --out out", "surveys.sigma_z=0.9", "surveys.sigma_z must be at most 0.3, not 0."),
    ("train small --out out", "boxes.resampler=pcs", "boxes.resampler must be one of ngp, cic, ts"),
    ("train small --out out", "universe.boxsize=-3", "universe.boxsize must be one positive numbe"),
    *[(PAPER, setting, sentence) for setting, sentence in [
        ("boxes.seeds=[1,2,3]", "boxes.seeds must be from 2000 to 2147483647 for train, not 1"),
        ("boxes.seeds=[2000,1000]", "boxes.seeds must be a list of 3 values, not [2000, 1000]"),
        ("boxes.cellsize=0", "boxes.cellsize must be above 0, not 0"),
        ("boxes.cellsize=nan", "boxes.cellsize must be a finite number, not nan"),
        ("boxes.cellsize=1e300", "boxes.cellsize of 1e300 Mpc/h is larger than the box of 96 Mpc/"),
        ('boxes.corrections=["all"]', "boxes.corrections must hold per-box, constant or normalise"),
        ("boxes.resampler=pcs", "boxes.resampler must be one of ngp, cic, tsc, not 'pcs'"),
        ("boxes.sigma_z=0.9", "boxes.sigma_z must be at least 0 and at most 0.3, not 0.9"),
        ("boxes.photo_density=1e-9", "boxes.spec_density up to 0.001 (h/Mpc)^3 does not fit in a"),
        ("boxes.catalogue.length_unit=ly", "boxes.catalogue.length_unit must be one of Mpc/h, kpc"),
        ("boxes.catalogue=3", "boxes.catalogue must be a section of settings, not 3"),
        ("universe.boxsize=1e6", "universe.boxsize must be from 0.001 to 100000 Mpc/h, not 100000"),
        ("universe.cosmology={h=0.7}", "universe.cosmology.omega_m is missing: add it"),
        ("universe.redshift=5000", "universe.redshift must be at least 0 and at most 100, not 500"),
        ("network.spec_width=2000000", "network.spec_width must be at least 1 and at most 1048576"),
        ("network.architecture={a=1}", "network.architecture must be one of column-net, dual-unet"),
    ]],
    ("demo --out out", "surveys.sigmaz=1", "surveys.sigmaz is not a known setting: did you mean s"),
    ("demo --out out", "surveys.sigma_z=[0.01,0.02]", "surveys.sigma_z = [0.01, 0.02] is not for "),
    ("demo --out out", 'reconstruct.methods=["magic"]', "reconstruct.methods must hold columns, r"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("base", "setting", "sentence"), SETTINGS,
    ids=[f"{base.split()[0]} {setting}" for base, setting, _ in SETTINGS],
)  # fmt: skip
def test_a_bad_setting_is_named_with_its_section(base, setting, sentence, refused):
    assert refused(changed(base, "--set", setting)).startswith(sentence)


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("paper --recipe empty.toml", "universe is missing: add the section"),
        ("paper --recipe words.toml", "universe must be a section of settings, not [1, 2]"),
        (
            "train empty.toml --mock mock --out out",
            "a recipe for training on a mock has the section",
        ),
        ("train words.toml --mock mock --out out", "network must be a section of settings in the"),
    ],
)
def test_a_recipe_without_its_sections(line, sentence, refused):
    assert refused(shlex.split(line)).startswith(sentence)


#: The same on the sky; options of the sky begin from here.
TWO_SKY = (
    "reconstruct --spec sky.parquet --photo sky.parquet --sky ra,dec,z --footprint 0,10,0,10 "
    "--sigma-z 0.02 --match-id id --method redistribution --out out.h5"
)
SKY_BASES = {
    "reconstruct": TWO_SKY,
    "redshifts": TWO_SKY.replace("reconstruct", "redshifts").replace(".h5", ".fits"),
    "mock": (
        "mock sky.parquet --sky ra,dec,z --from-spec --footprint 0,10,0,10 --sigma-z 0.02 "
        "--redshift-range 0.05,0.5 --spec-fraction 0.5 --out out"
    ),
}


SKY_OPTIONS = {
    "reconstruct": option_names(SkyOptions),
    "redshifts": (*option_names(SkyOptions), *option_names(SkyRedshiftOptions)),
    "mock": option_names(SkyMockOptions),
}
#: What options of photoz need.
PHOTOZ_NEEDS = {
    "--match-id": " --truth-catalog sky.parquet", "--pdf-id": " --pdf pz.hdf5",
    "--sky": " --footprint 0,10,0,10", "--cosmology": " --footprint 0,10,0,10 --sky RA,DEC",
}  # fmt: skip
#: Of light cones of boxes, refused with --from-spec.
CONES = ("--observer", "--direction")


def changed_words(base, option):
    """The base without what an option takes the place of, and with what it needs."""
    if option in ("--sigma-z-column", "--z-err-column"):
        return base.replace("--sigma-z 0.02 ", "")
    if option in ("--pdf-prior", "--pdf-id"):
        return base.replace("--sigma-z 0.02 ", "--pdf pz.hdf5 --pdf-prior flat ")
    if option == "--spec-z-column":
        return base.replace("--spec sky.parquet ", "").replace("--match-id id ", "")
    return f"{base} --outlier-fraction 0.1" if option == "--outlier-range" else base


def walk():
    """Every option of every command that takes a value, but for the names of outputs."""
    group = frame.LazyGroup(name="truez")
    for name in frame.COMMANDS:
        for parameter in group.get_command(None, name).params:
            option = parameter.opts[0]
            takes_text = option.startswith("-") and not getattr(parameter, "is_flag", False)
            outputs = ("--out", "--pdf-out", "--clustering", "--plan", "--redshifts")
            if takes_text and option not in (*outputs, *CONES):
                yield name, option


@pytest.mark.parametrize(("name", "option"), list(walk()))
def test_no_option_takes_nonsense(name, option, refused):
    base = BASES[name]
    if option.removeprefix("--").replace("-", "_") in SKY_OPTIONS.get(name, ()):
        base = changed_words(SKY_BASES[name], option)
    if option == "--overlap":
        base = base.replace("--match-id id", "")
    if name == "run" and option == "--pdf-prior":
        base = base.replace("--sigma-z 0.02", "--pdf-column z")
    if name == "photoz":
        base += PHOTOZ_NEEDS.get(option, "")
    if option in ("--sigma-z-column", "--z-err-column"):
        base = base.replace("--sigma-z 0.02 ", "")
    if option in ("--floor", "--tile", "--symmetries", "--draws", "--seed") and base == TWO:
        base = base.replace("wiener", "columns-median")
    assert option in refused(changed(base, option, "")), "empty"
    assert option in refused(changed(base, option, "\x1b[31ma\nb")), "a terminal's controls"
    sentence = refused(changed(base, option, "x" * 2000))
    assert option in sentence, "long"
    assert "x" * 20 in sentence


def test_the_bounds_of_the_command_line_are_those_of_the_library():
    assert options.HIGHEST_REDSHIFT == HIGHEST_REDSHIFT
    assert options.LARGEST_SIGMA_Z == LARGEST_SIGMA_Z
