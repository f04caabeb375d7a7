"""How results are printed: a JSON line each, then a table."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class Figure:
    """One measured figure. `ratio` is value / target: at most 1 meets it (for `at_least`, at least 1)."""

    name: str
    value: float
    unit: str
    target: float | None = None
    at_least: bool = False

    @property
    def ratio(self) -> float | None:
        return None if self.target is None else self.value / self.target

    @property
    def verdict(self) -> str:
        if self.ratio is None:
            return ""
        is_met = self.ratio >= 1 if self.at_least else self.ratio <= 1
        return "ok" if is_met else "MISSED"


class Report:
    """Collects figures and prints each at once."""

    def __init__(self, title: str) -> None:
        self.title = title
        self.figures: list[Figure] = []

    def add(self, name: str, value: float, unit: str, target: float | None = None, *, at_least: bool = False) -> None:
        figure = Figure(name, value, unit, target, at_least)
        self.figures.append(figure)
        ratio = figure.ratio
        line = {**asdict(figure), "ratio": None if ratio is None else round(ratio, 3), "verdict": figure.verdict}
        line["value"] = round(value, 4)
        print(json.dumps({"benchmark": self.title, **line}), flush=True)

    def table(self) -> None:
        width = max(len(figure.name) for figure in self.figures)
        print(f"\n{self.title}")
        for figure in self.figures:
            row = f"  {figure.name:<{width}}  {figure.value:>12,.3f} {figure.unit:<8}"
            if figure.target is not None:
                bound = ">=" if figure.at_least else "<="
                row += f"  {bound} {figure.target:g}  ({figure.ratio:.2f} of it)  {figure.verdict}"
            print(row)
        print(flush=True)
