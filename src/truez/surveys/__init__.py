"""The two surveys of one volume: samples, the photo-z error, selections, and mock observations."""
