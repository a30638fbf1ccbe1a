"""Numbers of 16 bits in a network's convolutions, which training and reconstruction switch on."""

from __future__ import annotations

import torch


def half_precision(device: torch.device | str, *, enabled: bool) -> torch.autocast:
    """Context in which a network's convolutions use bfloat16 if ``enabled``, and float32 if not."""
    return torch.autocast(torch.device(device).type, torch.bfloat16, enabled=enabled)
