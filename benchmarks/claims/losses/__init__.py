"""Claims of the room `losses`: every module here exports ``CLAIMS``."""
