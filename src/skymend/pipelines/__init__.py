"""Pipelines: from a region file and a catalogue snapshot to a plan."""
