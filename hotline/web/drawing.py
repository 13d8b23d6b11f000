"""Small drawings as inline SVG: points in, coordinates out; no script, no inline style (strict CSP)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

WIDTH, HEIGHT = 480, 260
LEFT, RIGHT, TOP, BOTTOM = 44, 24, 12, 34


@dataclass(frozen=True, kw_only=True)
class Tick:
    """A mark on an axis."""

    at: float
    words: str


@dataclass(frozen=True, kw_only=True)
class Dot:
    """A point with an optional interval and what a pointer resting on it reads."""

    x: float
    y: float
    low: float | None
    high: float | None
    size: float
    words: str


@dataclass(frozen=True, kw_only=True)
class Line:
    """A drawn line: its class in the style sheet, its name in the legend, its points."""

    css: str
    name: str
    points: str
    dots: tuple[Dot, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Drawing:
    """Everything that the template needs to draw."""

    title: str
    x_name: str
    y_name: str
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    lines: tuple[Line, ...]
    width: int = WIDTH
    height: int = HEIGHT
    left: int = LEFT
    right: int = WIDTH - RIGHT
    top: int = TOP
    bottom: int = HEIGHT - BOTTOM


@dataclass(frozen=True, kw_only=True)
class Scale:
    """Turns values into coordinates; what lies outside is drawn at the edge."""

    x_from: float
    x_to: float
    y_from: float
    y_to: float

    def x(self, value: float) -> float:
        """Return the horizontal coordinate."""
        return round(
            LEFT + _within((value - self.x_from) / ((self.x_to - self.x_from) or 1)) * (WIDTH - LEFT - RIGHT), 1
        )

    def y(self, value: float) -> float:
        """Return the vertical coordinate; larger values lie higher."""
        part = _within((value - self.y_from) / ((self.y_to - self.y_from) or 1))
        return round(HEIGHT - BOTTOM - part * (HEIGHT - TOP - BOTTOM), 1)

    def path(self, points: Sequence[tuple[float, float]]) -> str:
        """Return the points of a polyline."""
        return " ".join(f"{self.x(x):g},{self.y(y):g}" for x, y in points)

    def dot(
        self, x: float, y: float, *, words: str, low: float | None = None, high: float | None = None, size: float = 3
    ) -> Dot:
        """Return one point in coordinates."""
        return Dot(
            x=self.x(x),
            y=self.y(y),
            low=None if low is None else self.y(low),
            high=None if high is None else self.y(high),
            size=size,
            words=words,
        )

    def x_ticks(self, values: Sequence[float], words: Sequence[str]) -> tuple[Tick, ...]:
        """Return marks of the horizontal axis."""
        return tuple(Tick(at=self.x(value), words=name) for value, name in zip(values, words, strict=True))

    def y_ticks(self, values: Sequence[float], words: Sequence[str]) -> tuple[Tick, ...]:
        """Return marks of the vertical axis."""
        return tuple(Tick(at=self.y(value), words=name) for value, name in zip(values, words, strict=True))


def percents(values: Sequence[float]) -> list[str]:
    """Return shares as words."""
    return [f"{value * 100:g}%" for value in values]


def _within(part: float) -> float:
    return min(1.0, max(0.0, part))
