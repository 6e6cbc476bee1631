"""A small real fleet whose traces Chalkmark shows: `python -m demo`."""
