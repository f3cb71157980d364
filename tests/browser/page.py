"""An open page and the cardboard studio behind it, with the words that tests of the page are written in."""

from __future__ import annotations

from dataclasses import dataclass

from tests.browser.stub import Stub
from tests.browser.tab import Tab

STATE = "document.documentElement.dataset.state"
SEEN = f"{STATE} === 'live' && document.querySelector('#video').dataset.firstFrameMs"


@dataclass(frozen=True, slots=True)
class Page:
    """An open page and the studio behind it."""

    stub: Stub
    tab: Tab

    async def start(self) -> None:
        """Press Start and wait for the first picture."""
        await self.tab.click("#start")
        await self.tab.wait_for(SEEN)

    async def until(self, state: str, limit: float = 10.0) -> None:
        """Wait for a state."""
        await self.tab.wait_for(f"{STATE} === '{state}'", limit)

    async def reload(self) -> None:
        """Load the page again and wait for its gallery."""
        await self.tab.goto(self.stub.url)
        await self.tab.wait_for("document.querySelector('#sentence').textContent")

    async def text(self, selector: str) -> str:
        """Return what an element says."""
        return str(await self.tab.evaluate(f"document.querySelector({selector!r}).textContent"))

    async def says(self, part: str) -> None:
        """Wait for a sentence."""
        await self.tab.wait_for(f"document.querySelector('#sentence').textContent.includes({part!r})")

    async def shown(self, *ids: str) -> list[str]:
        """Return those of the elements that can be seen."""
        seen = "[id].filter((id) => document.getElementById(id).checkVisibility()).length"
        return [id for id in ids if await self.tab.evaluate(seen.replace("[id]", f"[{id!r}]"))]

    async def focused(self) -> str:
        """Return the id, or the value, of what the keyboard is on."""
        return str(await self.tab.evaluate("document.activeElement.id || document.activeElement.value || ''"))
