"""A small candlestick chart for the metadata of daily bars: SVG text, no plotting library.

Dagster's page shows Markdown images with `data:` addresses (its sanitiser allows `src` http, https and data) and its
content policy does not restrict images; an SVG inside an image runs no script and loads nothing.
"""

from __future__ import annotations

import base64
from xml.sax.saxutils import escape

import polars as pl

from etl_platform.limits import CANDLES

WIDTH, HEIGHT, TOP, BOTTOM, LEFT = 760, 260, 28, 48, 64
RISE, FALL, INK, GRID = "#2e7d32", "#c62828", "#555555", "#d0d0d0"
GRID_LINES = 5
PRICES = ("open", "high", "low", "close")


def candlestick_svg(bars: pl.DataFrame, *, label: str = "symbol", title: str = "") -> str:
    """An SVG of one candle per row of `bars` (`open`, `high`, `low`, `close`), named by column `label`.

    Each candle is drawn in per cent of its own open, so that symbols of any price share one axis. Beyond
    CANDLES rows the first ones are drawn and the title says so.
    """
    shown = bars.head(CANDLES)
    note = f" (first {shown.height} of {bars.height})" if bars.height > shown.height else ""
    heading = _text(LEFT, 18, f"{title}{note}", size=13, anchor="start")
    body = _chart(shown, label) if shown.height else _text(WIDTH / 2, HEIGHT / 2, "no bars", size=13)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}" viewBox="0 0 {WIDTH} {HEIGHT}" '
        f'font-family="sans-serif"><rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>{heading}{body}</svg>'
    )


def markdown_image(svg: str, alt: str) -> str:
    """`svg` as a Markdown image that carries its own data."""
    name = "".join(c for c in alt if c.isalnum() or c in " -_.")
    return f"![{name}](data:image/svg+xml;base64,{base64.b64encode(svg.encode()).decode()})"


def _chart(bars: pl.DataFrame, label: str) -> str:
    opened = pl.col("open").cast(pl.Float64)
    percent = bars.select(
        pl.col(label).cast(pl.String), *((pl.col(c).cast(pl.Float64) / opened - 1) * 100 for c in PRICES)
    )
    highest: float = max(percent["high"])
    lowest: float = min(percent["low"])
    # A day without any movement still gets an axis.
    room = (highest - lowest) * 0.05 or 0.5
    top, bottom = highest + room, lowest - room
    step = (WIDTH - LEFT - 8) / percent.height
    width = max(2.0, min(24.0, step * 0.6))
    every = max(1, round(40 / step))

    def y(value: float) -> float:
        return TOP + (HEIGHT - TOP - BOTTOM) * (top - value) / (top - bottom)

    parts = []
    for line in range(GRID_LINES):
        value = bottom + (top - bottom) * line / (GRID_LINES - 1)
        parts.append(_line(LEFT, y(value), WIDTH - 8, y(value), GRID))
        parts.append(_text(LEFT - 6, y(value) + 4, f"{value:+.2f} %", anchor="end"))
    for index, (name, first, high, low, last) in enumerate(percent.iter_rows()):
        x = LEFT + step * (index + 0.5)
        colour = RISE if last >= first else FALL
        parts.append(_line(x, y(high), x, y(low), colour))
        body = max(1.0, abs(y(first) - y(last)))
        parts.append(
            f'<rect x="{x - width / 2:.1f}" y="{min(y(first), y(last)):.1f}" width="{width:.1f}" '
            f'height="{body:.1f}" fill="{colour}"/>'
        )
        if index % every == 0:
            parts.append(_text(x, HEIGHT - BOTTOM + 18, name or ""))
    return "".join(parts)


def _line(x1: float, y1: float, x2: float, y2: float, colour: str) -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}"/>'


def _text(x: float, y: float, text: str, *, size: int = 10, anchor: str = "middle") -> str:
    # XML 1.0 has no way to write control characters, and one of them makes the whole picture invalid.
    clean = escape("".join(c for c in text if c.isprintable()))
    return f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" fill="{INK}" text-anchor="{anchor}">{clean}</text>'
