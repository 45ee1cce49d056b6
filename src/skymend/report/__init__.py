"""The HTML page with its figures, and the STAC catalogue."""
