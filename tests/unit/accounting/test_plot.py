"""Plots: well-formed, complete, in words as well, and nothing outside of the picture."""

from datetime import datetime, timedelta
from itertools import pairwise
from xml.etree import ElementTree

from diracx_tasks.accounting.plot import COLOURS, Plot, svg

SVG = "{http://www.w3.org/2000/svg}"
START = datetime(2026, 11, 23)
HOUR = timedelta(hours=1)
AXES = 4 + 12


def drawn(series: dict[str, dict[datetime, float]], hours: int = 12, **more: bool) -> ElementTree.Element:
    plot = Plot("lhcb: core time by site", "hours", START, START + hours * HOUR, HOUR, series, **more)
    return ElementTree.fromstring(svg(plot))


def texts(picture: ElementTree.Element) -> list[str]:
    return [str(one.text) for one in picture.iter(f"{SVG}text")]


def bars(picture: ElementTree.Element) -> list[ElementTree.Element]:
    return [one for group in picture.iter(f"{SVG}g") for one in group.findall(f"{SVG}rect")]


def test_a_plot_has_a_title_axes_a_legend_and_words_for_who_cannot_see_it() -> None:
    picture = drawn({"CERN": {START: 3.0, START + HOUR: 4.5}, "RAL <1>": {START: 1.0}})
    ids = [
        str(one.get("id"))
        for one in (picture.find(f"{SVG}title"), picture.find(f"{SVG}desc"))
        if one is not None
    ]
    assert picture.get("role") == "img" and str(picture.get("aria-labelledby")).split() == ids
    assert picture.findtext(f"{SVG}title") == "lhcb: core time by site"
    words = str(picture.findtext(f"{SVG}desc"))
    assert "from 2026-11-23 00:00 to 2026-11-23 12:00 UTC" in words
    assert "CERN: 7.5 hours; RAL <1>: 1 hours" in words
    found = texts(picture)
    assert {"CERN: 7.5 hours", "RAL <1>: 1 hours", "hours", "time (UTC)", "2026-11-23"} <= set(found)
    assert [float(one) for one in found if one.replace(".", "").isdigit()] == [0, 1, 2, 3, 4, 5]


def test_bars_stand_on_each_other_and_none_leaves_the_picture() -> None:
    series = {
        f"site{number}": {START + hour * HOUR: hour + number + 1.0 for hour in range(12)}
        for number in range(5)
    }
    picture = drawn(series)
    found = bars(picture)
    assert len(found) == 60
    tops: dict[float, list[tuple[float, float]]] = {}
    for one in found:
        x, y, height = (float(one.attrib[name]) for name in ("x", "y", "height"))
        tops.setdefault(x, []).append((y, y + height))
        assert 0 <= x < float(picture.attrib["width"]) and 44 - 0.01 <= y <= y + height <= 344.01
    for column in tops.values():
        column.sort(reverse=True)
        assert abs(column[0][1] - 344) < 0.02
        assert all(abs(above[1] - below[0]) < 0.02 for below, above in pairwise(column))


def test_of_many_series_the_smallest_are_one() -> None:
    series = {f"site{number}": {START: float(number + 1)} for number in range(20)}
    found = [one for one in texts(drawn(series)) if one.startswith(("site", "all "))]
    assert len(found) == len(COLOURS) and found[0] == "site19: 20 hours"
    assert found[-1] == f"all 13 others: {sum(range(1, 14))} hours"


def test_what_is_looked_at_again_and_again_is_not_added_up() -> None:
    series = {"Running": {START: 7.0, START + HOUR: 2000.0}}
    assert "Running: 2,000 hours" in texts(drawn(series, is_sum=False))
    assert "Running: 2,007 hours" in texts(drawn(series))
    series["Waiting"] = {START: 9.0}
    assert "Waiting: 0 hours" in texts(drawn(series, is_sum=False))


def test_of_nothing_there_is_a_plot_that_says_so() -> None:
    picture = drawn({})
    assert bars(picture) == []
    assert "There is nothing in this time." in str(picture.findtext(f"{SVG}desc"))


def test_names_are_shown_whatever_is_in_them() -> None:
    picture = drawn({"a\x00b<script>&\"'": {START: 1.0}, "x" * 300: {START: 1.0}, "\ud800": {START: 1.0}})
    found = texts(picture)
    assert "a b<script>&\"': 1 hours" in found
    assert max(len(one) for one in found) < 60
