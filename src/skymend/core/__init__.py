"""Grids, rasters, encodings, steps, jobs, plans, records and the store.

``core`` imports no other room of the house.
"""
