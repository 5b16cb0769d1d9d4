"""Claims of the room `semi_supervised`: every module here exports ``CLAIMS``."""
