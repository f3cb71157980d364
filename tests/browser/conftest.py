"""One browser for all tests of the page, and a page with a studio of its own for each."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest_asyncio

from tests.browser.chromium import Chromium, find_chromium
from tests.browser.page import Page
from tests.browser.stub import Stub
from tests.conftest import need

UNREACHABLE = "ERR_CONNECTION_REFUSED"
"""Chromium itself reports a WebSocket that finds nobody; no page can keep it from doing so."""


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncIterator[Chromium]:
    if find_chromium() is None:
        need("chromium", "chromium")
    async with Chromium.launch(grants_microphone=False) as browser:
        yield browser


@pytest_asyncio.fixture(loop_scope="session")
async def page(browser: Chromium) -> AsyncIterator[Page]:
    """Yield a page whose microphone is allowed; afterwards nothing may have gone wrong or elsewhere."""
    async with Stub().serve() as stub:
        page = Page(stub, await browser.open())
        await page.tab.permit()
        await page.reload()
        yield page
        await page.tab.close()
        assert [error for error in page.tab.errors if UNREACHABLE not in error] == []
        own = stub.url.split("/")[2]
        assert {url.split("/")[2] for url in page.tab.requests if "//" in url} == {own}
