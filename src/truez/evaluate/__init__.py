"""The report: every method judged on the same data, as numbers, pictures and one page."""
