"""The candlestick picture: valid XML whatever the symbols are, one candle per bar, small enough for metadata."""

from __future__ import annotations

import base64
import xml.etree.ElementTree as ET

import polars as pl

from etl_platform.gold.candlestick import FALL, RISE, candlestick_svg, markdown_image
from etl_platform.limits import CANDLES

SVG = "{http://www.w3.org/2000/svg}"


def bars(symbols: list[str], open_: float = 10, high: float = 12, low: float = 9, close: float = 11) -> pl.DataFrame:
    prices = {"open": open_, "high": high, "low": low, "close": close}
    frame = pl.DataFrame({"symbol": symbols}, schema={"symbol": pl.String})
    return frame.with_columns(pl.lit(value).cast(pl.Decimal(18, 8)).alias(name) for name, value in prices.items())


def candles(svg: str) -> list[ET.Element]:
    return [r for r in ET.fromstring(svg).iter(f"{SVG}rect") if r.get("fill") in {RISE, FALL}]


def test_one_candle_per_bar_in_the_colour_of_its_direction() -> None:
    up, down = candlestick_svg(bars(["AAPL", "MSFT"])), candlestick_svg(bars(["AAPL"], close=9.5))
    assert [c.get("fill") for c in candles(up)] == [RISE, RISE]
    assert [c.get("fill") for c in candles(down)] == [FALL]


def test_candles_lie_inside_the_picture_and_higher_prices_above() -> None:
    svg = ET.fromstring(candlestick_svg(bars(["AAPL"])))
    wick = svg.findall(f"{SVG}line")[-1]
    body = candles(candlestick_svg(bars(["AAPL"])))[0]
    top, bottom = float(wick.attrib["y1"]), float(wick.attrib["y2"])
    assert 0 < top < float(body.attrib["y"]) < float(body.attrib["y"]) + float(body.attrib["height"]) < bottom < 260


def test_hostile_symbols_and_titles_stay_text() -> None:
    hostile = '<script>alert("x")</script>&\x00\x1b'
    svg = ET.fromstring(candlestick_svg(bars([hostile]), title=hostile))
    assert not list(svg.iter(f"{SVG}script"))
    assert [t.text for t in svg.iter(f"{SVG}text")].count('<script>alert("x")</script>&') == 2


def test_no_bars_flat_bars_and_many_bars_are_pictures_too() -> None:
    assert "no bars" in candlestick_svg(bars([]))
    assert len(candles(candlestick_svg(bars(["FLAT"], 10, 10, 10, 10)))) == 1
    many = candlestick_svg(bars([f"S{i}" for i in range(500)]), title="all")
    assert len(candles(many)) == CANDLES
    assert "all (first 60 of 500)" in many
    assert len(many) < 20_000


def test_the_markdown_image_carries_the_svg_itself() -> None:
    svg = candlestick_svg(bars(["AAPL"]))
    text = markdown_image(svg, "bars](x) of 2025-01-15")
    assert text.startswith("![barsx of 2025-01-15](data:image/svg+xml;base64,") and text.endswith(")")
    assert base64.b64decode(text.partition("base64,")[2][:-1]).decode() == svg
