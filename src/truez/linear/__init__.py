"""The linear optimum of two surveys: its model, the fit to observed spectra, and the filter."""
