"""The report is one well-formed page that points nowhere; the JSON keeps its keys."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from studio.client import plots, summary
from studio.client.figures import Unmeasured
from studio.client.intake import Intake
from studio.client.lips import Lips
from studio.client.order import Order, Outcome
from studio.client.report import render, write_report
from studio.client.result import Result, conclude
from studio.client.screen import Screen, Shot

VOID = {"meta", "img"}
LIMITS = {"wanted": 40.0, "limit": 60.0}


class Page(HTMLParser):
    """Checks that tags are balanced, and gathers what a browser would fetch, and what one reads."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.references: list[str] = []
        self.words: list[str] = []
        self.tags: list[str] = []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.references += [value or "" for name, value in attrs if name in ("src", "href", "srcset", "action", "data")]
        assert not any(name.startswith("on") for name, _ in attrs)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def result(count: int = 50, gap: float = 0.04, outcome: Outcome = Outcome.COMPLETED, **more: str) -> Result:
    now = [100.0]
    intake = Intake(clock=lambda: now[0])
    intake.ask()
    intake.timings["upload"] = 0.25
    for i in range(count):
        now[0] += gap
        intake.picture(5 + i * 0.04, 2000, i)
    intake.end(outcome, "a reason" if outcome is not Outcome.COMPLETED else "")
    intake.remark("<script>alert('remark')</script>")
    screen = Screen()
    screen.close()
    order = Order("http://studio.example:8080", "binary", client_id="<b>me</b>", **more)  # type: ignore[arg-type]
    return conclude(order, intake, screen, Unmeasured("nobody looked"), datetime(2026, 1, 2, 3, 4, tzinfo=UTC))


def shots(count: int) -> list[Shot]:
    return [Shot(i, np.full((96, 64), 60 + i, np.uint8)) for i in range(count)]


@pytest.mark.parametrize("count", [0, 1, 2, 50, 4000])
def test_pages_are_well_formed_and_point_nowhere(count: int) -> None:
    text = render(result(count), shots(9 if count else 0))
    page = Page(text)
    assert all(reference.startswith("data:image/jpeg;base64,") for reference in page.references)
    assert len(page.references) == (6 if count else 0)
    assert not re.search(r"url\(|@import|<script|<link|<iframe", text)
    assert "http" not in text.replace("http://studio.example:8080", "")
    assert text.count("<svg") == (3 if count > 13 else 0 if count < 2 else 1)


def test_strangers_words_stay_words() -> None:
    text = render(result(audio='"><img src=x onerror=alert(1)>'), [])
    assert "<script" not in text
    page = Page(text)
    assert not page.references
    assert "<script>alert('remark')</script>" in "".join(page.words)


def test_a_page_says_how_it_went(tmp_path: Path) -> None:
    assert "Passed" in render(result(), [])
    assert "too slow" in render(result(gap=0.08), [])
    assert "Ended early" in render(result(outcome=Outcome.LOST), [])
    write_report(tmp_path / "a.html", result(), shots(2))
    assert "nobody looked" in (tmp_path / "a.html").read_text("utf-8")


@pytest.mark.parametrize(
    ("outcome", "gap", "code"),
    [
        (Outcome.COMPLETED, 0.04, 0),
        (Outcome.TIMEOUT, 0.04, 0),
        (Outcome.COMPLETED, 0.08, 1),
        (Outcome.STALLED, 0.04, 3),
        (Outcome.LOST, 0.08, 3),
        (Outcome.INTERRUPTED, 0.04, 130),
    ],
)
def test_exit_codes(outcome: Outcome, gap: float, code: int) -> None:
    assert result(gap=gap, outcome=outcome).exit_code == code


def test_json_has_its_keys_and_is_json() -> None:
    body = result(26).as_json()
    assert json.loads(json.dumps(body, allow_nan=False)) == body
    page = (Path(__file__).parents[2] / "docs" / "client.md").read_text("utf-8").partition("## What `--json` holds")[2]
    documented = re.findall(r"^\| `(\w+)` \|(.*)", page, re.M)
    assert list(body) == [name for name, _ in documented]
    for name, words in documented:
        inner = body[name]
        if isinstance(inner, dict) and "reason" not in inner:
            assert all(f"`{key}`" in words for key in inner), name
    assert body["duration_s"] == 1.0
    assert body["fps"] == {"average": 25.0, "nominal": 25}
    assert body["bytes"] == {"total": 52_000, "video": 52_000, "audio": 0}
    assert body["bandwidth_kbps"] == 416.0
    assert body["lips"] == {"reason": "nobody looked"}
    assert body["timings_s"] == {"upload": 0.25, "prepare": None, "connect": None}
    assert isinstance(body["intervals_ms"], dict)
    assert list(body["intervals_ms"]) == ["count", "mean", "median", "std", "min", "max", "p95", "p99"]


def test_words_of_lips_say_which_way() -> None:
    def words(lag: float) -> str:
        one = result()
        return summary.lips(
            Result(**{**{n: getattr(one, n) for n in Result.__slots__}, "lips": Lips(0.4, 0.5, lag, 99)})
        )

    assert "40 ms earlier" in words(40)
    assert "20 ms later" in words(-20)
    assert "highest" in words(0)


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=80))
def test_histograms_hold_every_interval_inside_their_frame(values: list[float]) -> None:
    plot = plots.histogram(values, LIMITS)
    assert plot is not None
    counted = sum(int(bar.title.split()[0]) for bar in plot.bars)
    assert counted == len(values)
    for bar in plot.bars:
        assert bar.x >= plots.LEFT
        assert bar.x + bar.width <= plots.WIDTH
        assert bar.y + 0.01 >= plots.TOP
        assert bar.y + bar.height == pytest.approx(plots.HEIGHT - plots.BOTTOM, abs=0.02)
    assert any(bar.is_bad for bar in plot.bars) == any(value >= 60 for value in values)


@given(st.lists(st.floats(0, 1e7), min_size=1, max_size=500))
def test_bars_are_few_and_fit(values: list[float]) -> None:
    plot = plots.bars(values, None)
    assert plot is not None
    assert len(plot.bars) <= plots.MOST_BARS
    assert all(bar.height >= 0 and bar.y >= plots.TOP - 0.01 for bar in plot.bars)
    assert plots.bars([], 25) is None


@given(st.floats(0.1, 1e9))
def test_nice_numbers_are_above_and_near(value: float) -> None:
    assert value * (1 - 1e-6) <= plots.nice(value) <= max(1.0, value * 1.34)
