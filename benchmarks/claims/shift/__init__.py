"""Claims of the room `shift`: every module here exports ``CLAIMS``."""
