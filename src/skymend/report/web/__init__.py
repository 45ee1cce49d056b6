"""Template, style and script of the page, kept as data."""
