"""Evalscripts for Sentinel Hub, in JavaScript."""
