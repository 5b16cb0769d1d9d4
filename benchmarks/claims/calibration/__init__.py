"""Claims of the room `calibration`: every module here exports ``CLAIMS``."""
