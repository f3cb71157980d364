"""A drawing as SVG text: filled polylines with gradients, soft edges and clips.

Gradients and filter regions are in user space: in bounding-box units thin shapes disappear.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from studio.engines.portrait.drawing.curves import Line

Stop = tuple[float, str] | tuple[float, str, float]
"""Offset 0..1, colour, opacity 0..1 (1 if missing)."""


def mix(first: str, second: str, share: float) -> str:
    """Return the colour (#rrggbb) that lies ``share`` (0..1) of the way from ``first`` to ``second``."""
    pairs = [(int(first[i : i + 2], 16), int(second[i : i + 2], 16)) for i in (1, 3, 5)]
    return "#" + "".join(f"{round(a + (b - a) * share):02x}" for a, b in pairs)


def path_data(*lines: Line) -> str:
    """Return SVG path data of closed polylines."""
    return "".join("M" + "L".join(f"{x:.2f},{y:.2f}" for x, y in line) + "Z" for line in lines)


class Drawing:
    """Collects shapes, bottom to top."""

    def __init__(self) -> None:
        self._defs: dict[tuple[str, str, str], str] = {}
        self._body: list[str] = []

    def text(self, box: tuple[float, float, float, float] = (0, 0, 512, 512)) -> str:
        """Return the SVG; ``box`` x, y, width, height is what it shows."""
        view = " ".join(f"{value:g}" for value in box)
        defs = "".join(
            f'<{kind} id="{name}" {where}>{content}</{kind}>' for (kind, where, content), name in self._defs.items()
        )
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="{view}" width="{box[2]:g}" height="{box[3]:g}">'
            f"<defs>{defs}</defs>{''.join(self._body)}</svg>"
        )

    def linear(self, start: tuple[float, float], end: tuple[float, float], *stops: Stop) -> str:
        """Return a paint that changes from ``start`` to ``end``."""
        where = f'x1="{start[0]:g}" y1="{start[1]:g}" x2="{end[0]:g}" y2="{end[1]:g}"'
        return self._paint("linearGradient", where, stops)

    def radial(self, centre: tuple[float, float], radius: float, *stops: Stop, squash: float = 1.0) -> str:
        """Return a paint that changes with the distance from ``centre``; ``squash`` is its height over its width."""
        x, y = centre
        shape = f' gradientTransform="translate(0 {y * (1 - squash):.3f}) scale(1 {squash:g})"' if squash != 1 else ""
        return self._paint("radialGradient", f'cx="{x:g}" cy="{y:g}" r="{radius:g}"{shape}', stops)

    def fill(self, *lines: Line, paint: str, opacity: float = 1.0, blur: float = 0.0, blend: str = "") -> None:
        """Fill closed polylines (holes by even-odd)."""
        if opacity <= 0:
            return
        extra = f' opacity="{opacity:.3f}"' if opacity < 1 else ""
        if blur:
            extra += f' filter="url(#{self._blur(blur, lines)})"'
        if blend:
            extra += f' style="mix-blend-mode:{blend}"'
        self._body.append(f'<path fill-rule="evenodd" d="{path_data(*lines)}" fill="{paint}"{extra}/>')

    @contextmanager
    def inside(self, *lines: Line, opacity: float = 1.0) -> Iterator[None]:
        """Let everything drawn meanwhile be seen only inside ``lines``."""
        clip = self._define("clipPath", "", f'<path clip-rule="evenodd" d="{path_data(*lines)}"/>')
        extra = f' opacity="{opacity:.3f}"' if opacity < 1 else ""
        self._body.append(f'<g clip-path="url(#{clip})"{extra}>')
        yield
        self._body.append("</g>")

    def _paint(self, kind: str, where: str, stops: tuple[Stop, ...]) -> str:
        marks = "".join(
            f'<stop offset="{stop[0]:g}" stop-color="{stop[1]}"'
            + (f' stop-opacity="{stop[2]:g}"/>' if len(stop) > 2 else "/>")
            for stop in stops
        )
        name = self._define(kind, f'gradientUnits="userSpaceOnUse" {where}', marks)
        return f"url(#{name})"

    def _blur(self, deviation: float, lines: tuple[Line, ...]) -> str:
        margin = 3 * deviation + 1
        x0, y0 = (min(float(line[:, i].min()) for line in lines) - margin for i in (0, 1))
        x1, y1 = (max(float(line[:, i].max()) for line in lines) + margin for i in (0, 1))
        region = f'x="{x0:.1f}" y="{y0:.1f}" width="{x1 - x0:.1f}" height="{y1 - y0:.1f}"'
        where = f'filterUnits="userSpaceOnUse" color-interpolation-filters="sRGB" {region}'
        return self._define("filter", where, f'<feGaussianBlur stdDeviation="{deviation:g}"/>')

    def _define(self, kind: str, where: str, content: str) -> str:
        return self._defs.setdefault((kind, where, content), f"d{len(self._defs)}")
