"""Catalogues: named columns with units, and the formats of their files."""
