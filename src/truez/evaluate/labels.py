"""What readers see instead of the names of fields, methods and scores: one table for all.

Tables and figures show `label`, sentences `sentence`, and the second line of a row `explanation`. A
field that is not in the table is called by its name. Where the user gives fields of any name (as
``truez evaluate`` takes files), tables and figures show `given_label`: only the two constant fields
have a label there.
"""

from __future__ import annotations

from dataclasses import dataclass

from truez.linear.model import Use

#: Fields of one value, which know nothing of the truth.
CONSTANTS = {"zero": 0.0, "empty": -1.0}
#: Fields that are observed, not reconstructed.
SURVEYS = ("photo", "spec")
#: The Wiener filters, and the surveys that each uses.
WIENER: dict[str, Use] = {"wiener-spec": "spec", "wiener-photo": "photo", "wiener": "both"}


@dataclass(frozen=True)
class Label:
    """Texts for one field: in tables and figures, in sentences, and on the second line of a row."""

    short: str
    sentence: str = ""
    explanation: str = ""


#: The fields by name, in the order of tables.
FIELDS = {
    "truth": Label("truth", "truth"),
    "zero": Label("zero, δ = 0", "", "δ = 0 everywhere"),
    "empty": Label("empty, δ = -1", "", "δ = -1 everywhere"),
    "photo": Label("photo", "photo survey", "as observed"),
    "spec": Label("spec", "spec survey", "as observed"),
    "wiener-spec": Label("Wiener, spec only", "Wiener filter (spec alone)", "linear, spec alone"),
    "wiener-photo": Label(
        "Wiener, photo only", "Wiener filter (photo alone)", "linear, photo alone"
    ),
    "wiener": Label("Wiener, both", "Wiener filter", "linear, both surveys"),
    "redistribution": Label("redistribution"),
    "redistribution-median": Label("redistribution, median"),
    "dual-unet": Label("dual UNet"),
    "columns": Label("columns"),
    "columns-median": Label("columns, median"),
    "exact": Label("exact posterior", "exact posterior", "the mean of the posterior"),
    "unet": Label("UNet, tiled", "UNet (tiled)", "network, tiled"),
    "unet-per-box": Label("UNet, per box", "UNet (per box)", "network, each box alone"),
    "unet-corrected-per-box": Label("Eq. 5 per box", "UNet (Eq. 5 per box)", "Eq. 5 in each box"),
    "unet-corrected-constant": Label(
        "Eq. 5 constant", "UNet (Eq. 5 constant)", "Eq. 5, mean ratio"
    ),
    "unet-corrected-normalised": Label(
        "Eq. 5 normalised", "UNet (Eq. 5 normalised)", "Eq. 5, normalised ratio"
    ),
}

#: Heading, format and better end (-1 low, 1 high, 0 unknown) of numbers in tables.
HEADINGS = {
    "mse": ("MSE", "#.3g", -1),
    "mae": ("MAE", "#.3g", -1),
    "psnr": ("PSNR [dB]", ".2f", 1),
    "ssim": ("SSIM", ".3f", 1),
    "correlation": ("C", ".3f", 1),
    "mean": ("mean", "#.3g", 0),
    "nats": ("nats per galaxy", ".3f", 1),
    "nats_own_place": ("nats, own place", ".3f", 1),
    "pit_worst_tenth": ("PIT, worst tenth [%]", "#.3g", -1),
    "inside_68": ("in 68% interval [%]", "#.3g", 0),
    "ln_p": ("ln p of the true cell", ".3f", 1),
    "ln_p_photo": ("ln p, photo-z alone", ".3f", 0),
    "nmad_before": ("sigma_NMAD, photo-z", "#.3g", 0),
    "nmad_after": ("sigma_NMAD, median", "#.3g", -1),
}


def _of(name: str) -> Label:
    return FIELDS.get(name, Label(name))


def label(name: str) -> str:
    """Text of a field in tables and figures."""
    return _of(name).short


def given_label(name: str) -> str:
    """Text of a field that the user named."""
    return label(name) if name in CONSTANTS else name


def sentence(name: str) -> str:
    """Text of a field in a sentence, without an article."""
    return _of(name).sentence or name


def with_article(name: str) -> str:
    """Text of a field in a sentence: "the photo survey"; a name that is only a name has none."""
    return f"the {sentence(name)}" if _of(name).sentence else name


def explanation(name: str) -> str:
    """The second line of a field's row; empty where there is none."""
    return _of(name).explanation


def heading(name: str) -> tuple[str, str, int]:
    """Heading, format and better end (-1 low, 1 high, 0 unknown) of a number.

    Names such as ``mse_4`` and ``mse_over_variance_4`` are of fields smoothed with 4 Mpc/h, and
    those such as ``sub_ssim`` of sub-boxes.
    """
    name = name.removeprefix("sub_")
    if name in HEADINGS:  # also those that end in a number
        return HEADINGS[name]
    stem, _, radius = name.rpartition("_")
    if stem and radius.replace(".", "", 1).isdigit():
        text, style, better = heading(stem)
        return f"{text}, R = {radius}", style, better
    if name == "mse_over_variance":
        return "MSE/Var", "#.3g", -1
    return name, "#.3g", 0
