"""The linear optimum: the Wiener filter of two surveys, and the limit of every linear method.

With t the photometric sample in true redshift space (the target), s the spectroscopic sample and p
the photometric sample at its photo-z, all with their discreteness, and phi(k_par) the
characteristic function of the photo-z error:

    P_tt = P_p + 1/n_p          P_ss = P_s + 1/n_s             P_pp = phi^2 P_p + 1/n_p
    P_tp = phi P_tt             P_ts = P_x + n_sp/(n_s n_p)    P_sp = phi P_ts
    D = P_ss P_pp - P_sp^2
    w_s = (P_ts P_pp - P_tp P_sp) / D      w_p = (P_tp P_ss - P_ts P_sp) / D
    r_opt^2 = (P_ts^2 P_pp + P_tp^2 P_ss - 2 P_ts P_tp P_sp) / (P_tt D)

``r_opt(k, mu)`` bounds the correlation with the truth of any linear estimate. P_s, P_x and P_p are
smooth isotropic shapes times Kaiser and finger-of-God factors, which `truez.linear.fit` finds from
the observed fields alone; no truth enters. Painted fields bring the square of the resampler's
window, W^2, onto every P, and its aliased shot factor C onto every 1/n.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from truez.linear.filter import padded_box, wiener
from truez.linear.modes import OCTANT_MODES, mesh_modes, octant_weights
from truez.mesh.box import Box
from truez.mesh.field import Field
from truez.statistics.binning import squared_edges
from truez.surveys.photoz import PhotozError

Use = Literal["both", "spec", "photo"]


class Spectra(NamedTuple):
    """The six spectra [(Mpc/h)^3] of target, spectroscopic and photometric field."""

    tt: Tensor
    ss: Tensor
    pp: Tensor
    ts: Tensor
    tp: Tensor
    sp: Tensor

    @property
    def determinant(self) -> Tensor:
        """D of the pair (s, p)."""
        return self.ss * self.pp - self.sp**2

    def weights(self, use: Use = "both") -> tuple[Tensor, Tensor]:
        """Wiener weights (w_s, w_p) of the chosen survey, or of both."""
        if use == "spec":
            return self.ts / self.ss, torch.zeros_like(self.ss)
        if use == "photo":
            return torch.zeros_like(self.pp), self.tp / self.pp
        determinant = self.determinant
        spec = (self.ts * self.pp - self.tp * self.sp) / determinant
        photo = (self.tp * self.ss - self.ts * self.sp) / determinant
        return spec, photo

    def coherence(self, use: Use = "both") -> Tensor:
        """r_opt^2: the squared correlation of the filtered field with the target."""
        spec, photo = self.weights(use)
        return (spec * self.ts + photo * self.tp) / self.tt


def anisotropy(k: Tensor, k_par: Tensor, beta: Tensor | float, fog: Tensor | float) -> Tensor:
    """Amplitude of redshift-space distortions: Kaiser times a Lorentzian finger of God."""
    mu2 = (k_par / k.clamp(min=1e-12)) ** 2
    return (1 + beta * mu2) / (1 + 0.5 * (k_par * fog) ** 2)


def observed_spectra(
    power_s: Tensor,
    power_x: Tensor,
    power_p: Tensor,
    *,
    phi: Tensor,
    shot: Tensor | float,
    densities: tuple[float | Tensor, float | Tensor, float | Tensor],
    photo_noise: float | Tensor,
) -> Spectra:
    """Spectra with photo-z error and shot noise from the anisotropic powers without.

    ``densities`` are (n_s, n_p, n_sp) [(h/Mpc)^3], ``shot`` the factor C of each mode; they
    broadcast.
    """
    n_spec, n_photo, n_both = densities
    tt = power_p + shot / n_photo
    ts = power_x + shot * (n_both / (n_spec * n_photo))
    return Spectra(
        tt=tt,
        ss=power_s + shot / n_spec,
        pp=phi**2 * power_p + shot * photo_noise,
        ts=ts,
        tp=phi * tt,
        sp=phi * ts,
    )


@dataclass(frozen=True, repr=False)
class LinearModel:
    """Spectra and noise of two surveys, from which the linear optimum follows.

    Parameters
    ----------
    log_k : tuple of floats, shape (m,)
        ln k of the tables, uniform; k in h/Mpc. Beyond its ends the tables are held constant.
    log_spec, log_cross, log_photo : tuples of floats, shape (m,)
        ln of the isotropic shapes P_s, P_x, P_p [(Mpc/h)^3] without shot noise.
    n_spec, n_photo, n_both : float
        Number densities of the two samples and of the galaxies in both [(h/Mpc)^3].
    error : PhotozError
        The photo-z error.
    photo_noise : float
        Noise power of the photometric field [(Mpc/h)^3]: 1/n_p, more where a closed box loses
        galaxies at its faces.
    beta_spec, beta_photo : float
        Kaiser parameters f / b of the two samples; 0 in real space.
    fog_spec, fog_photo : float
        Finger-of-God lengths [Mpc/h]: amplitudes are damped by 1 / (1 + (k_par fog)^2 / 2).
    log_anisotropy : tuple of floats, shape (m,)
        a(k): what the anisotropy has beyond both, ln A = ... + a(k) mu^2, alike for both samples;
        empty for none.
    resampler : str or None
        Resampler of the painted fields; None for fields that are not painted (Gaussian fields
        with white noise).
    effective_spec, effective_photo : tuples of floats, shape (4,)
        The `truez.linear.effective.Anisotropy` of each sample as a fit finds it, (beta, its error,
        the beta expected, bias); empty for none.

    Examples
    --------
    >>> import numpy as np
    >>> from truez import COSMOLOGIES, LinearModel, PhotozError
    >>> k = np.geomspace(0.01, 1, 100)
    >>> matter = COSMOLOGIES["planck18"].linear_power(k, 0.6)
    >>> model = LinearModel.from_spectra(
    ...     k, 4 * matter, 2.4 * matter, 1.44 * matter,
    ...     n_spec=1e-3, n_photo=2e-2, n_both=1e-3, error=PhotozError(60.0), beta_spec=0.4,
    ... )
    >>> model.r_opt(0.1, [0.0, 0.5, 1.0]).round(2)  # k [h/Mpc] and mu
    array([1.  , 0.97, 0.98])
    """

    log_k: tuple[float, ...]
    log_spec: tuple[float, ...]
    log_cross: tuple[float, ...]
    log_photo: tuple[float, ...]
    n_spec: float
    n_photo: float
    n_both: float
    error: PhotozError
    photo_noise: float
    beta_spec: float = 0.0
    beta_photo: float = 0.0
    fog_spec: float = 0.0
    fog_photo: float = 0.0
    log_anisotropy: tuple[float, ...] = ()
    resampler: str | None = "cic"
    effective_spec: tuple[float, ...] = ()
    effective_photo: tuple[float, ...] = ()

    @classmethod
    def from_spectra(
        cls,
        k: ArrayLike,
        spec: ArrayLike,
        cross: ArrayLike,
        photo: ArrayLike,
        **settings: Any,
    ) -> LinearModel:
        """Model of known spectra without shot noise [(Mpc/h)^3], tabulated at ``k`` [h/Mpc]."""
        log_k = np.log(np.asarray(k, dtype=np.float64))
        uniform = np.linspace(log_k[0], log_k[-1], max(len(log_k), 512))
        spec, cross, photo = (
            tuple(np.interp(uniform, log_k, np.log(np.asarray(power))))
            for power in (spec, cross, photo)
        )
        settings.setdefault("photo_noise", 1 / settings["n_photo"])
        return cls(tuple(uniform), spec, cross, photo, **settings)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON, of which `from_dict` makes the same model to the last bit."""
        return dict(asdict(self))

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> LinearModel:
        """The model of what `to_dict` returned."""
        given: dict[str, Any] = {
            name: tuple(x) if isinstance(x, list) else x for name, x in values.items()
        }
        return cls(**{**given, "error": PhotozError(**given["error"])})

    def spectra(
        self,
        k: Tensor,
        k_par: Tensor,
        window: Tensor | float = 1.0,
        shot: Tensor | float = 1.0,
    ) -> Spectra:
        """The six spectra at wavenumber ``k`` with component ``k_par`` along the line of sight.

        ``window`` is W^2 and ``shot`` the resampler's shot factor C there; shapes broadcast.
        """
        power_s, power_x, power_p = self.powers(k, k_par, window)
        return observed_spectra(
            power_s,
            power_x,
            power_p,
            phi=self.error.characteristic(k_par),
            shot=shot,
            densities=(self.n_spec, self.n_photo, self.n_both),
            photo_noise=self.photo_noise,
        )

    def powers(
        self, k: Tensor, k_par: Tensor, window: Tensor | float = 1.0
    ) -> tuple[Tensor, Tensor, Tensor]:
        """P_s, P_x and P_p with their anisotropy and window, without noise and photo-z error.

        Parameters and shapes are those of `spectra`.
        """
        spec, cross, photo, correction = self._shapes(k)
        extra = torch.exp(correction * (k_par / k.clamp(min=1e-12)) ** 2)
        amplitude_s = extra * anisotropy(k, k_par, self.beta_spec, self.fog_spec)
        amplitude_p = extra * anisotropy(k, k_par, self.beta_photo, self.fog_photo)
        return (
            spec * (amplitude_s**2 * window),
            cross * (amplitude_s * amplitude_p * window),
            photo * (amplitude_p**2 * window),
        )

    def r_opt(self, k: ArrayLike, mu: ArrayLike, use: Use = "both") -> NDArray[np.float64]:
        """r_opt(k, mu) of the continuous fields; ``k`` [h/Mpc] and ``mu`` broadcast."""
        wavenumber, cosine = np.broadcast_arrays(np.asarray(k, float), np.asarray(mu, float))
        k_total = torch.from_numpy(wavenumber.copy())
        spectra = self.spectra(k_total, k_total * torch.from_numpy(cosine.copy()))
        result: NDArray[np.float64] = spectra.coherence(use).clamp(0, 1).sqrt().numpy()
        return result

    def r_opt_shells(self, edges: ArrayLike, box: Box, use: Use = "both") -> NDArray[np.float64]:
        """r_opt(k) over the modes of a mesh, shape (len(edges) - 1,); nan in empty shells.

        ``1 - r_opt^2(k) = sum P_tt (1 - r_opt^2(k, mu)) / sum P_tt`` over the modes of each shell,
        lower edge included.
        """
        # The same edges to the last bit as the measured spectra have.
        bounds = torch.from_numpy(squared_edges(np.asarray(edges, dtype=np.float64))[:-1])
        num = len(bounds) - 1
        explained = torch.zeros(num, dtype=torch.float64)
        total = torch.zeros(num, dtype=torch.float64)
        for k, spectra, weights in self._mesh_spectra(box):
            index = torch.bucketize(k**2, bounds, right=True).flatten() - 1
            inside = (index >= 0) & (index < num) & (k.flatten() > 0)
            power = (spectra.tt * weights).flatten()[inside]
            total += torch.bincount(index[inside], power, num)
            coherent = power * spectra.coherence(use).flatten()[inside]
            explained += torch.bincount(index[inside], coherent, num)
        result: NDArray[np.float64] = (explained / total).clamp(0, 1).sqrt().numpy()
        return result

    def sigma(self, box: Box, use: Use = "both") -> float:
        """Standard deviation of truth minus Wiener filter per cell (sum of P_tt (1 - r_opt^2))."""
        variance = 0.0
        for k, spectra, weights in self._mesh_spectra(box):
            residual = spectra.tt * (1 - spectra.coherence(use)) * weights * (k > 0)
            variance += float(residual.sum())
        # Where the surveys determine the field, rounding may make the sum negative.
        return math.sqrt(max(variance, 0.0) / box.volume)

    def wiener(self, *, spec: Field, photo: Field, use: Use = "both", part: bool = False) -> Field:
        """The filtered field ``w_s s + w_p p``: the target's overdensity, of zero mean.

        Parameters
        ----------
        spec, photo : Field
            Overdensities of the two samples on one box; neither is changed.
        use : {"both", "spec", "photo"}
            The surveys to use, each case with its own optimal weights.
        part : bool
            Whether the box is a part of a larger one, whose mean overdensity is not zero.

        Raises
        ------
        ValueError
            If a field is no overdensity, the two are on different boxes, or ``use`` is unknown.
        """
        return wiener(self, spec=spec, photo=photo, use=use, part=part)

    def padded(self, box: Box) -> Box:
        """The box on which to filter: a closed one gets empty room, so that faces do not touch."""
        return padded_box(box, self.error.sigma)

    def with_bias(self, amplitude: float) -> LinearModel:
        """The model with another bias of the photometric galaxies relative to those with spectra.

        ``amplitude`` is that of the photometric galaxies over the one they have in the model.
        """
        return replace(
            self,
            log_cross=tuple(value + math.log(amplitude) for value in self.log_cross),
            log_photo=tuple(value + 2 * math.log(amplitude) for value in self.log_photo),
            beta_photo=self.beta_photo / amplitude,
        )

    def __repr__(self) -> str:
        k = f"{math.exp(self.log_k[0]):.3g} to {math.exp(self.log_k[-1]):.3g} h/Mpc"
        return (
            f"LinearModel from {k}; n_s = {self.n_spec:.3g}, n_p = {self.n_photo:.3g} (h/Mpc)^3, "
            f"photo-z error {self.error.sigma:.3g} Mpc/h"
        )

    def summary(self) -> dict[str, float]:
        """The numbers of the model, without its tables, for headers.

        Of each survey, ``beta_spec`` and ``fog_spec`` are parameters of the fit, degenerate with
        one another and with a(k). How anisotropic its clustering is at 0.05 <= k < 0.1 h/Mpc say
        ``beta_spec_effective``, its ``beta_spec_error`` and, from growth rate and ``bias_spec``,
        ``beta_spec_expected`` (`truez.linear.effective`): nan where the box has no such modes.
        """
        summary = {
            "n_spec": self.n_spec,
            "n_photo": self.n_photo,
            "n_both": self.n_both,
            "sigma": self.error.sigma,
            "outlier_fraction": self.error.outlier_fraction,
            "beta_spec": self.beta_spec,
            "beta_photo": self.beta_photo,
            "fog_spec": self.fog_spec,
            "fog_photo": self.fog_photo,
        }
        for name, found in (("spec", self.effective_spec), ("photo", self.effective_photo)):
            beta, error, expected, bias = found or (math.nan,) * 4
            summary[f"beta_{name}_effective"] = beta
            summary[f"beta_{name}_error"] = error
            summary[f"beta_{name}_expected"] = expected
            summary[f"bias_{name}"] = bias
        return summary

    def _shapes(self, k: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """P_s, P_x, P_p and a, interpolated linearly in ln k."""
        first, step = self.log_k[0], self.log_k[1] - self.log_k[0]
        none = (0.0,) * len(self.log_k)
        tables = torch.tensor(
            [self.log_spec, self.log_cross, self.log_photo, self.log_anisotropy or none],
            dtype=torch.float64,
            device=k.device,
        )
        place = (torch.log(k.clamp(min=1e-12)) - first) / step
        place = place.clamp(0, len(self.log_k) - 1).to(torch.float64)
        low = place.long().clamp(max=len(self.log_k) - 2)
        part = place - low
        spec, cross, photo, extra = (torch.lerp(t[low], t[low + 1], part) for t in tables)
        return torch.exp(spec), torch.exp(cross), torch.exp(photo), extra

    def _mesh_spectra(self, box: Box) -> Iterator[tuple[Tensor, Spectra, Tensor]]:
        """Slabs of an octant of modes: (k, spectra, number of modes like each), memory bounded."""
        slabs = mesh_modes(box, self.resampler, modes_per_slab=OCTANT_MODES, octant=True)
        for plane, k, k_par, window, shot in slabs:
            yield k, self.spectra(k, k_par, window, shot), octant_weights(box, plane)
