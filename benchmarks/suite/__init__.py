"""labelwise and its peers side by side: one table of ratios, ``python -m benchmarks.suite``."""
