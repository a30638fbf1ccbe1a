"""Make the spectra fixtures: multipoles of one catalogue as other codes measure them.

    python3 -m venv peers && peers/bin/pip install abacusutils Triumvirate
    peers/bin/python tests/reference/make_spectra.py

The peers are GPL codes; only their numbers are kept here, never their text, and truez does not
import them. `spectra_abacusutils.npz` and `spectra_triumvirate.npz` hold them with the versions.
The tests regenerate the catalogue from its seed; a checksum in the files tells that it is the same.
"""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

import numpy as np

BOXSIZE = 500.0
MESHSIZE = 64
NUM_BINS = 30
ELLS = (0, 2, 4)
FUNDAMENTAL = 2 * np.pi / BOXSIZE
#: No mode lies on these: their squares are no whole numbers of fundamentals squared.
EDGES = (np.arange(NUM_BINS + 1) + 0.5) * FUNDAMENTAL
MU_EDGES = (0.0, 0.31, 0.62, 1.0)
CASES = [
    ("cic", False, False),
    ("tsc", False, False),
    ("cic", True, True),
    ("tsc", True, True),
]


def clustered_catalog() -> np.ndarray:
    """40000 points in 800 clumps that are drawn out along z, (n, 3) in [0, BOXSIZE)."""
    # RandomState: its stream never changes from one numpy to the next.
    random = np.random.RandomState(20250406)
    parents = random.uniform(0, BOXSIZE, (800, 3))
    members = random.standard_normal((800, 50, 3)) * (3.0, 3.0, 9.0)
    positions = (parents[:, None] + members).reshape(-1, 3) % BOXSIZE
    return np.where(positions >= BOXSIZE, 0.0, positions)


def from_abacusutils(positions: np.ndarray) -> dict:
    from abacusnbody.analysis.power_spectrum import calc_power

    found = {}
    for resampler, interlacing, compensated in CASES:
        table = calc_power(
            positions.astype(np.float32),
            BOXSIZE,
            kbins=EDGES,
            paste=resampler.upper(),
            nmesh=MESHSIZE,
            compensated=compensated,
            interlaced=interlacing,
            poles=list(ELLS),
            nthread=2,
        )
        name = f"{resampler}_{'interlaced' if interlacing else 'plain'}"
        found[name] = np.asarray(table["poles"])
        found[f"{name}_k"] = np.asarray(table["k_avg"])
        found[f"{name}_nmodes"] = np.asarray(table["N_mode_poles"])
    mu = calc_power(
        positions.astype(np.float32),
        BOXSIZE,
        kbins=EDGES,
        mubins=np.array(MU_EDGES),
        nmesh=MESHSIZE,
        compensated=False,
        interlaced=False,
        nthread=2,
    )
    found["wedges"], found["wedges_nmodes"] = np.asarray(mu["power"]), np.asarray(mu["N_mode"])
    return found


def from_triumvirate(positions: np.ndarray) -> dict:
    from triumvirate.catalogue import ParticleCatalogue
    from triumvirate.dataobjs import Binning
    from triumvirate.twopt import compute_powspec_in_gpp_box

    catalog = ParticleCatalogue(*positions.T, nz=len(positions) / BOXSIZE**3)
    binning = Binning("fourier", "lin", EDGES[0], EDGES[-1], NUM_BINS)
    # Without interlacing it divides by an aliased window, which is another definition; interlaced
    # TSC of this version differs from abacusutils (and us) by 0.2% at the largest scales.
    found = {}
    poles = []
    for ell in ELLS:
        result = compute_powspec_in_gpp_box(
            catalog,
            degree=ell,
            binning=binning,
            sampling_params={
                "alignment": "centre",
                "boxsize": [BOXSIZE] * 3,
                "ngrid": [MESHSIZE] * 3,
                "assignment": "cic",
                "interlace": True,
            },
        )
        poles.append(result["pk_raw"].real)
    found["cic_interlaced"] = np.stack(poles, axis=1)
    found["cic_interlaced_k"], found["cic_interlaced_nmodes"] = result["keff"], result["nmodes"]
    return found


def main() -> None:
    positions = clustered_catalog()
    for package, measure in (("abacusutils", from_abacusutils), ("Triumvirate", from_triumvirate)):
        found = measure(positions)
        path = Path(__file__).parent / f"spectra_{package.lower()}.npz"
        np.savez_compressed(
            path, checksum=positions.sum(axis=0), version=f"{package} {version(package)}", **found
        )
        print(path.name, f"{package} {version(package)}", *found)


if __name__ == "__main__":
    main()
