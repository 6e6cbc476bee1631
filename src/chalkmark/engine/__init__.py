"""Engine: where curation runs and how its results are committed."""
