"""Measurements: speed beside peers (`make bench`) and what the methods' papers say (`make claims ROOM=noisy`)."""
