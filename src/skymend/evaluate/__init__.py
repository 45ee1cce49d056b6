"""Metrics on rasters, score rows of hidden pixels and comparison tables."""
