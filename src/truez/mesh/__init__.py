"""The mesh: a box and its cells, fields on them, painting, and Fourier transforms."""
