"""Claims of the room `imbalanced`: every module here exports ``CLAIMS``."""
