"""Masks as surveys publish them, one module a kind; each makes a `PixelMap`."""
