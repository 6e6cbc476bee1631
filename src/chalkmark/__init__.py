"""Chalkmark tells a performance engineer where to make the chalk mark."""

__version__ = "0.1.0"
