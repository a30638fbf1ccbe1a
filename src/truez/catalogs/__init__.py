"""Catalogues as users have them: named columns, their units, and the formats of their files."""
