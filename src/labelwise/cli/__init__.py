"""The command line: ``labelwise run | audit | fit | predict | query | methods | papers | report | demo``."""

from labelwise.cli.app import app, main

__all__ = ["app", "main"]
