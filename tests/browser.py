"""A real browser for the pages that the project writes: Debian's Chromium, without a window, without a network.

A test file takes the fixture by its name: ``from browser import browser, watched_page``.
"""

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from playwright.sync_api import Browser, Error, Page, sync_playwright

LOCAL = re.compile(r"file:|data:|blob:|about:|(https?|wss?)://127\.0\.0\.1[:/]")
"""Addresses that a page may ask for."""
MISSING = "needs Debian's chromium and Playwright: apt install chromium"


@pytest.fixture(scope="module")  # each module that imports it has its own, and Playwright runs but once at a time
def browser() -> Iterator[Browser]:
    """Chromium; a test is skipped where there is none."""
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    if path is None:
        pytest.skip(MISSING)
    with sync_playwright() as playwright:
        try:
            launched = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        except Error as error:
            pytest.skip(f"Chromium is here, but does not start: {error}")
        yield launched
        launched.close()


@contextmanager
def watched_page(browser: Browser, **context_options: Any) -> Iterator[Page]:
    """A page that may ask for nothing from outside, and whose console is to stay without errors.

    Args:
        browser: of the fixture.
        context_options: of Playwright's ``new_context``: ``color_scheme``, ``viewport``, ...

    Raises:
        AssertionError: at the end; the page asked for something from outside, or there was an error.
    """
    outside: list[str] = []
    errors: list[str] = []
    context = browser.new_context(**context_options)
    try:
        page = context.new_page()

        def refuse(route: Any) -> None:
            outside.append(route.request.url)
            route.abort()

        page.route(lambda url: not LOCAL.match(url), refuse)
        page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: errors.append(str(error)))
        yield page
        assert not outside, f"the page asked for {outside}"
        assert not errors, f"errors on the console: {errors}"
    finally:
        context.close()
