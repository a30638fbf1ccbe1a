"""Galaxies on their own sight lines: kernel, redistribution, posteriors, sharpened redshifts."""
