"""Receive: one module a protocol or file format, each from bytes to Arrow batches of `tables.landing.SPAN_BATCH`."""
