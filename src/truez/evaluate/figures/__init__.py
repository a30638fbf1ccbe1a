"""Every figure, in print quality."""
