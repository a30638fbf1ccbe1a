"""What is measured of fields and catalogues: spectra, correlations, and scores cell by cell."""
