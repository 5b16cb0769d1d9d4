"""Claims of the room `weak`: every module here exports ``CLAIMS``."""
