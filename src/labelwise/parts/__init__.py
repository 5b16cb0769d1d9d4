"""What many methods share: small functions and modules, each usable alone."""
