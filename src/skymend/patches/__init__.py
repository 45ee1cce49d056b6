"""Patches: statistics of scenes, acquisition layouts, tuple search, splits and the patch store."""
