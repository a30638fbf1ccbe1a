"""Every figure, in print quality; a module for each subject.

style        the look, colours of fields, legends, and how figures are saved
slices       slices of fields, and slabs of what was projected before; zooms (Fig. 3 of the paper)
spectra      r, T, power and what the linear optimum leaves over (the response, and by settings)
curves       power (Fig. 4), multipoles (Fig. 6) and correlations with their deviations below
planes       P(k_perp, k_par) (Fig. 5)
calibration  PIT, sigma and gains of all settings
sky          wedges, N(z), and gain and PIT by place
losses       loss curves (Fig. 2), and the reader of losses.csv
captions     the title of each figure and how to read it

A function takes its data by name of the field and returns a `matplotlib.figure.Figure`; ``label``
maps names to what readers see. Nothing here touches pyplot or matplotlib's global settings.
"""
