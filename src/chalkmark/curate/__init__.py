"""Curate: from received spans to curated tables, as pure functions from Arrow to Arrow."""
