"""All targets."""

from tests.fuzzing import house, names, optical, providers, radar, sources

ROOMS = (radar, optical, sources, providers, names, house)
TARGETS = {name: targets for room in ROOMS for name, targets in room.TARGETS.items()}
