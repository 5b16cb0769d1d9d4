"""Claims of the room `active`: every module here exports ``CLAIMS``."""
