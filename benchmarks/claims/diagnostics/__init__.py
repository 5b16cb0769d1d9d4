"""Claims of the room `diagnostics`: every module here exports ``CLAIMS``."""
