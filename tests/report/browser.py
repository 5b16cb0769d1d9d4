"""The browser of the report's tests."""

from tests.browser import CHROMIUM, DRIVER, Browser, browser

__all__ = ["CHROMIUM", "DRIVER", "Browser", "browser"]
