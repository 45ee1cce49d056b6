"""Radar: from a Sentinel-1 GRD product to backscatter on the grid of a tile."""
