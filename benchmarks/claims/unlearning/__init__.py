"""Claims of the room `unlearning`: every module here exports ``CLAIMS``."""
