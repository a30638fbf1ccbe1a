"""Small views of surveys for tests."""

import numpy as np

from truez.training.survey_view import SurveyView

LIMITS = {
    "z_err": [0.01, 0.05],
    "sigma": [10.0, 60.0],
    "outlier_fraction": [0.0, 0.1],
    "spec_density": [1e-4, 1e-3],
    "photo_density": [1e-3, 2e-2],
    "overlap": [0.5, 1.0],
    "resampler": "cic",
    "redshift_space": True,
}


def view(
    mesh=(8, 8, 8), *, classes=2, margin=1, true_margin=0, number=400, seed=1, **changes
) -> SurveyView:
    """Fields at random and galaxies at random."""
    nx, ny, nz = mesh
    rng = np.random.default_rng(seed)
    num_true, num_photo = nz + 2 * true_margin, nz + 2 * margin
    limits = 2 * nx, 2 * ny, num_photo, num_true, classes
    kernels = rng.random((classes, num_photo, num_true)) + 0.1
    parts = {
        "fields": (0.1 * rng.normal(size=(9, *mesh))).astype(np.float16),
        "density": np.full((2, *mesh), -2, np.float16),
        "profiles": np.tile(
            np.array([[3], [0], [0], [1], [0], [0], [0], [0.6], [1], [0]], np.float32), (1, nz)
        ),
        "ratio": (0.2 * rng.normal(size=(2 * nx, 2 * ny, nz))).astype(np.float16),
        "unknown": rng.random(mesh).astype(np.float16) + np.float16(0.1),
        "shares": np.linspace(0.2, 0.8, classes * nz).reshape(classes, nz).astype(np.float32),
        "kernels": (kernels / kernels.sum(1, keepdims=True)).astype(np.float32),
        "galaxies": np.stack([rng.integers(0, n, number) for n in limits], 1).astype(np.int16),
        "about": {"kind": "uneven", "cellsize": [2.0, 2.0, 2.0], "limits": LIMITS},
        "periodic": False,
        "photo_margin": margin,
        "true_margin": true_margin,
    }
    parts["fields"][7], parts["fields"][8] = 0.05, 1.0
    return SurveyView(**{**parts, **changes})
