"""Claims of the room `multilabel`: every module here exports ``CLAIMS``."""
