"""What is raised for bad input. Nothing is imported here, so that files and locks need not wait for scikit-learn."""

from __future__ import annotations


class InputError(ValueError):
    """Bad input from the user: the message names the argument, what was found, what is accepted and what to do."""


InputError.__module__ = "labelwise.base"  # from where everybody imports it
