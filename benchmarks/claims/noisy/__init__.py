"""Claims of the room `noisy`: every module here exports ``CLAIMS``."""
