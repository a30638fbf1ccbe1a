"""The linear model of surveys with uneven expected counts, from FKP-weighted observed spectra.

Counts c per cell with n expected make the field

    F = w (c - n) / A,    w = 1 / (1 + n P_0 / v),    A^2 = mean of (w n)^2,

with v the volume of a cell and P_0 a power (Feldman, Kaiser & Peacock 1994). Its spectrum is that
of the overdensity, convolved with the window of w n, plus the shot noise ``v mean(w^2 n) / A^2``.
The convolution is left out: holes move a share of the power as large as theirs from large scales to
small ones. Where they are 7% of the sky, 16 Mpc/h wide, in a volume of (256 Mpc/h)^2 x 384 Mpc/h
where n falls by 20, the model is 10%, 5%, -1% and -2% below the truth at k = 0.06, 0.1, 0.2 and 0.4
h/Mpc. A mode of the box counts as ``mean(w n)^2 / mean((w n)^2)`` modes, the share of the box that
the survey fills where counts are even in it.

The spectra are those of a **comoving, Cartesian** box whose last axis is the line of sight; where
the box of the estimate has stretched coordinates, such as a sky box, they are measured in another.
The likelihood and the parameters are those of `truez.linear.fit`. The photometric survey enters as
there, with phi of one mean photo-z error; without it P_x and P_p are P_s. The fields of both may be
weighted in different places: their cross spectrum is then lower by ``mean(w_s n_s w_p n_p) /
(A_s A_p)``, and so is that of the model. Several patches are fitted together.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from truez.cosmology import Cosmology
from truez.linear.likelihood import Noise, Problem, Setting, fisher_scoring, with_anisotropy
from truez.linear.model import LinearModel
from truez.linear.observed import ObservedSpectra, observe
from truez.mesh.box import Box
from truez.mesh.field import Field
from truez.surveys.photoz import PhotozError

#: P_0 of the weights [(Mpc/h)^3]. The filter depends on P where n P is about 1, at the power 1 / n:
#: on larger scales it follows the data whatever P is. 1 / n is some hundred where most galaxies of
#: a dense survey are. Higher weights P_0 fit the clustering of the far and luminous galaxies, P_0 =
#: 0 a smaller volume. On light cones of the simulator 300 gained most:
#: see docs/results/sky-measured.md.
FKP_POWER = 300.0


@dataclass(frozen=True, eq=False, repr=False)
class PatchSpectra:
    """Weighted auto and cross spectra of the surveys in one box, and their shot noise.

    Parameters
    ----------
    box : Box
    observed : ObservedSpectra
        ``num_modes`` are effective numbers.
    noise : truez.linear.likelihood.Noise
        The densities of even surveys with the same noise.
    with_photo : bool
        Whether there is a photometric field.
    """

    box: Box
    observed: ObservedSpectra
    noise: Noise
    with_photo: bool


def observe_uneven(
    *,
    spec: Field,
    spec_expected: Tensor,
    photo: Field | None = None,
    photo_expected: Tensor | None = None,
    common: float = 1.0,
    resampler: str = "cic",
    fkp_power: float = FKP_POWER,
) -> PatchSpectra:
    """Measure the FKP-weighted spectra of uneven surveys in a comoving box.

    Parameters
    ----------
    spec, photo : Field
        Galaxies per cell, kind "counts": at their true place and at their photo-z.
    spec_expected, photo_expected : Tensor, broadcastable to (nx, ny, nz)
        Expected galaxies per cell, at the same places; spread over neighbours as the resampler
        spreads galaxies, for CIC by 1/8, 3/4 and 1/8 along each axis.
    common : float
        Share of the spectroscopic galaxies that are in ``photo``.
    resampler : {"ngp", "cic", "tsc"}
        How the fields were painted.
    fkp_power : float
        P_0 of the weights [(Mpc/h)^3].

    Raises
    ------
    ValueError
        If a field is not of counts, boxes differ, expected counts are negative, not finite or all
        zero, or one of ``photo`` and ``photo_expected`` is missing.
    """
    if (photo is None) != (photo_expected is None):
        raise ValueError("photo and photo_expected belong together: give both or neither")
    if not 0 <= common <= 1:
        raise ValueError(f"common must be a share from 0 to 1, not {common!r}")
    if not (math.isfinite(fkp_power) and fkp_power >= 0):
        raise ValueError(f"fkp_power must be a power >= 0 (Mpc/h)^3, not {fkp_power!r}")
    box = spec.box
    one = _Weighted("spec", spec, spec_expected, fkp_power)
    if photo is None or photo_expected is None:
        data = observe(one.field, Field(torch.zeros(1).expand(box.meshsize), box), resampler)
        noise = Noise(1 / one.shot, 1 / one.shot, 1 / one.shot, one.shot)
        return PatchSpectra(box, _effective(data, one.share), noise, with_photo=False)
    if photo.box != box:
        raise ValueError(f"spec and photo are on different boxes: {box} and {photo.box}")
    two = _Weighted("photo", photo, photo_expected, fkp_power)
    both = one.weights * two.weights
    overlap = _mean(both * one.expected * two.expected) / (one.level * two.level)
    cross = one.cell * common * _mean(both * one.expected) / (one.level * two.level)
    if overlap == 0:
        raise ValueError(
            "spec and photo are expected in no common cell, so that they have no cross spectrum: "
            "check their footprints and N(z)"
        )
    n_both = cross / overlap / (one.shot * two.shot)
    noise = Noise(1 / one.shot, 1 / two.shot, n_both, two.shot, overlap)
    data = observe(one.field, two.field, resampler)
    share = math.sqrt(one.share * two.share)
    return PatchSpectra(box, _effective(data, share), noise, with_photo=True)


def fit_uneven_model(
    patches: Sequence[PatchSpectra],
    *,
    error: PhotozError,
    cosmology: Cosmology,
    redshift: float,
    redshift_space: bool = True,
    resampler: str = "cic",
    fit_sigma: bool = False,
    fog_photo: float | None = None,
) -> LinearModel:
    """Fit the linear model to the weighted spectra of one or several patches.

    Parameters
    ----------
    patches : sequence of PatchSpectra
        All with a photometric field or all without.
    error : PhotozError
        The mean photo-z error [Mpc/h] at the effective redshift; it is that of the model.
    cosmology : Cosmology
    redshift : float
        Effective redshift.
    redshift_space : bool
        Whether the true positions carry peculiar velocities.
    resampler, fit_sigma, fog_photo
        As in `truez.linear.fit.fit_linear_model`.

    Returns
    -------
    LinearModel
        Its densities and noise are those of even surveys with the noise of the weighted spectra.

    Raises
    ------
    truez.linear.likelihood.NoFitError
        If no set of positive spectra describes the data.
    ValueError
        If there are no patches, some have a photometric field and some have none, or ``fit_sigma``
        has nothing to fit or to begin with.
    """
    if not patches:
        raise ValueError("patches must hold the spectra of at least one patch")
    with_photo = {patch.with_photo for patch in patches}
    if len(with_photo) > 1:
        raise ValueError("some patches have a photometric field and some have none")
    use_photo = with_photo.pop()
    if fit_sigma and not (use_photo and error.sigma > 0):
        raise ValueError(
            "fit_sigma needs the photometric spectra and a photo-z error above 0 to begin with"
        )
    problem = Problem(
        _joined([patch.observed for patch in patches]),
        Setting(error, cosmology, redshift, redshift_space),
        _joined_noise(patches),
        resampler,
        fit_sigma=fit_sigma,
        fog_photo=fog_photo,
        use_photo=use_photo,
    )
    theta, fisher = fisher_scoring(problem)
    largest = max((patch.box for patch in patches), key=lambda box: box.volume)
    return with_anisotropy(problem.model(theta), problem, theta, fisher, largest)


class _Weighted:
    """The field F of a sample, and the means of its weights."""

    def __init__(self, name: str, counts: Field, expected: Tensor, fkp_power: float) -> None:
        if counts.kind != "counts":
            raise ValueError(f"the {name} field must hold counts, not {counts.kind}")
        box = counts.box
        try:
            self.expected = expected.expand(box.meshsize)
        except RuntimeError:
            raise ValueError(
                f"the expected counts of {name} have the shape {tuple(expected.shape)}, which does "
                f"not fit a mesh of {box.meshsize}"
            ) from None
        lowest, highest = (float(x) for x in torch.aminmax(self.expected))
        if not (lowest >= 0 and 0 < highest < math.inf):
            worst = lowest if lowest < 0 else highest
            raise ValueError(
                f"the expected counts of {name} must be finite, not negative and not all zero, and "
                f"there is {worst:g}"
            )
        self.cell = box.volume / box.num_cells
        self.weights = 1 / (1 + self.expected * (fkp_power / self.cell))
        counted = self.weights * self.expected
        square = _mean(counted**2)
        self.level = math.sqrt(square)  # A
        self.shot = self.cell * _mean(self.weights * counted) / square
        self.share = _mean(counted) ** 2 / square
        values = self.weights * (counts.values - self.expected) / self.level
        self.field = Field(values, box, "delta")


def _mean(values: Tensor) -> float:
    return float(values.mean(dtype=torch.float64))


def _effective(data: ObservedSpectra, share: float) -> ObservedSpectra:
    """The spectra with that share of their modes."""
    return ObservedSpectra(**{**vars(data), "num_modes": data.num_modes * share})


def _joined(spectra: Sequence[ObservedSpectra]) -> ObservedSpectra:
    """The bins of several spectra one after the other."""
    return ObservedSpectra(
        **{name: torch.cat([getattr(one, name) for one in spectra]) for name in vars(spectra[0])}
    )


def _joined_noise(patches: Sequence[PatchSpectra]) -> Noise:
    """The noise of each bin."""
    return Noise(
        *(
            torch.cat([
                torch.full_like(patch.observed.k, float(patch.noise[number])) for patch in patches
            ])
            for number in range(len(Noise._fields))
        )
    )  # fmt: skip
