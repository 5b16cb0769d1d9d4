"""Claims of the room `discovery`: every module here exports ``CLAIMS``."""
