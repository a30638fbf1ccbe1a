"""The data of a spectroscopic and a photometric survey with uneven expected counts.

The unknowns are delta_s and delta_p, the overdensities of the two samples, with
the 2 x 2 matrix of P_s, P_x and P_p as signal. Galaxies in both surveys must not count twice: a
share q of the spectroscopic galaxies is in the photometric sample, and their true places are known,
so that the data are

    c_s     spectroscopic galaxies at their true place,          mean  n_s (1 + delta_s),
    c_u     photometric galaxies without a spectrum at photo-z,  mean  K [n_p (1 + delta_p)
                                                                         - q n_s (1 + delta_s)],

with n_p = n_u + q n_s expected photometric galaxies per true cell, of which n_u have no spectrum,
and K = p(z_phot | z_true) along the sight lines. Their Poisson noise is independent, n_s and
m = K n_u. With ``g = n_p delta_p - q n_s delta_s`` the Hessian is

    H (delta_s, delta_p) = (n_s delta_s - q n_s K^T[K g / m],  n_p K^T[K g / m]),

and the right-hand side the same with ``c_s - n_s`` for ``n_s delta_s`` and ``c_u - m`` for ``K g``.
Classes of galaxies with their own error have their own c_u, n_u and K: g is shared by them as n_u
is. Where it is **not known which** photometric galaxies have a spectrum, but only their share,
c_u is c_p - K q c_s with c_p all photometric galaxies. The data then have the same mean and are
still independent of c_s, and the noise is ``diag(K n_p) - K diag(q^2 n_s) K^T``, whose inverse is a
series that converges by the factor q^2 n_s / n_p.

The photometric sample in true redshift space with its discreteness, the target t of
`truez.linear.model`, follows from the residuals ``r = data - mean(delta)`` and the noise N of c_u:

    n_p t = n_p delta_p + q r_s + (n_p - q^2 n_s or n_u) K^T N^-1 r_u.

In an even periodic box this is the filter of `LinearModel.wiener`, which knows the number of common
galaxies alone; with known matches it is at least as good.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from truez.linear.conjugate import slabs
from truez.linear.counts import CellCounts, over
from truez.mesh.box import Box

#: Relative error of the inverse noise where it is not known which galaxies have spectra.
_SERIES = 1e-7
#: The largest share of common galaxies for which the series is summed.
_MOST_COMMON = 0.95


class BothSurveys:
    """The data of both surveys: right-hand side, Hessian and residuals of the module."""

    def __init__(
        self,
        box: Box,
        spec: CellCounts,
        photo: Sequence[CellCounts],
        common: float,
        matched: bool,
    ) -> None:
        self.spec, self.photo, self.common, self.matched = spec, photo, common, matched
        self.n_spec = spec.expected.expand(box.meshsize)
        self.n_class = [one.expected.expand(box.meshsize) for one in photo]
        if not matched:
            self._check_common()
        self.mean = [self._means(one, n) for one, n in zip(photo, self.n_class, strict=True)]

    def _check_common(self) -> None:
        """Raise an error where the inverse noise has no series."""
        shares = self.common**2 * self.n_spec / self.n_class[0]
        share = float(shares.nan_to_num(nan=0.0, posinf=1.0).max())
        if share > _MOST_COMMON:
            raise ValueError(
                f"spectroscopic galaxies are {100 * share:.3g}% of the photometric ones that are "
                "expected in some cell: say which they are, or correct the expected counts"
            )

    @staticmethod
    def _means(one: CellCounts, expected: Tensor) -> Tensor:
        """Expected counts at the photo-z, K n; one sight line where all are alike."""
        assert one.matrix is not None
        alike = expected.stride()[:2] == (0, 0)
        means: Tensor = (expected[:1, :1] if alike else expected) @ one.matrix.T
        return means.expand(one.counts.shape)

    def _shared(self, slab: slice) -> Tensor:
        """q n_s, the common galaxies."""
        return self.common * self.n_spec[slab]

    def _alone(self, slab: slice) -> Tensor:
        """n_u, the photometric galaxies without a spectrum."""
        total = torch.stack([n[slab] for n in self.n_class]).sum(0)
        return total if self.matched else (total - self._shared(slab)).clamp(min=0)

    def _share(self, number: int, slab: slice, alone: Tensor) -> Tensor | float:
        """The share of a class in n_u."""
        return 1.0 if len(self.photo) == 1 else over(self.n_class[number][slab], alone)

    def _inverse(self, number: int, values: Tensor, slab: slice) -> Tensor:
        """N^-1 applied to values (planes, ny, num_photo) of a class."""
        one = self.photo[number]
        assert one.matrix is not None
        mean = self.mean[number][slab]
        result = over(values, mean)
        if self.matched or self.common == 0:
            return result
        shared, term = self.common * self._shared(slab), result
        for _ in range(400):
            term = over((shared * (term @ one.matrix)) @ one.matrix.T, mean)
            result = result + term
            if float(term.abs().max()) <= _SERIES * float(result.abs().max()):
                break
        return result

    def _pulled(self, data: Sequence[Tensor], slab: slice, alone: Tensor) -> Tensor:
        """Sum over classes of their share of n_u times K^T N^-1 of their data."""
        result = torch.zeros_like(alone)
        for number, (one, values) in enumerate(zip(self.photo, data, strict=True)):
            assert one.matrix is not None
            pulled = self._inverse(number, values, slab) @ one.matrix
            result += self._share(number, slab, alone) * pulled
        return result

    def _observed(self, slab: slice) -> list[Tensor]:
        """c_u - m of each class; without matches c_p - K q c_s - K n_u."""
        result = []
        for one, mean in zip(self.photo, self.mean, strict=True):
            assert one.matrix is not None
            left = one.counts[slab] - mean[slab]
            if not self.matched:
                more = self.spec.counts[slab] - self.n_spec[slab]
                left = left - self.common * (more @ one.matrix.T)
            result.append(left)
        return result

    def _smeared(self, g: Tensor, slab: slice, alone: Tensor) -> list[Tensor]:
        """K g of each class."""
        result = []
        for number, one in enumerate(self.photo):
            assert one.matrix is not None
            result.append((self._share(number, slab, alone) * g) @ one.matrix.T)
        return result

    def rhs(self, use_photo: bool) -> list[Tensor]:
        """The right-hand side of (delta_s, delta_p), with or without the photometric data."""
        spec = self.spec.counts - self.n_spec
        photo = torch.zeros_like(spec)
        for slab in slabs(spec) if use_photo else ():
            alone = self._alone(slab)
            pulled = self._pulled(self._observed(slab), slab, alone)
            shared = self._shared(slab)
            photo[slab] = (alone + shared) * pulled
            spec[slab] -= shared * pulled
        return [spec, photo]

    def hessian(self, meshes: Sequence[Tensor], slab: slice) -> list[Tensor]:
        """H of sight lines of (delta_s, delta_p)."""
        spec, photo = meshes
        alone, shared = self._alone(slab), self._shared(slab)
        both = alone + shared
        smeared = self._smeared(both * photo - shared * spec, slab, alone)
        pulled = self._pulled(smeared, slab, alone)
        return [self.n_spec[slab] * spec - shared * pulled, both * pulled]

    def target(self, delta_s: Tensor, delta_p: Tensor) -> Tensor:
        """The photometric sample with its discreteness."""
        result = delta_p.clone()
        for slab in slabs(delta_p):
            alone, shared = self._alone(slab), self._shared(slab)
            both = alone + shared
            g = both * delta_p[slab] - shared * delta_s[slab]
            left = [
                observed - smeared
                for observed, smeared in zip(
                    self._observed(slab), self._smeared(g, slab, alone), strict=True
                )
            ]
            spec = self.spec.counts[slab] - self.n_spec[slab] * (1 + delta_s[slab])
            moved = both - self.common * shared if not self.matched else alone
            added = self.common * spec + moved * self._pulled(left, slab, alone)
            result[slab] += over(added, both)
        return result
