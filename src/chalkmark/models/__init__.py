"""Models: what SQL cannot say."""
