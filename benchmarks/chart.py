"""The chart of docs/performance.md: each ratio beside its goal."""

from collections.abc import Iterable
from html import escape

from benchmarks.figures import Line

WIDTH, ROW, LABELS, BAR = 980, 22, 520, 300
"""Pixels. A bar of BAR is a ratio that just reaches its goal; half of one is twice as good."""


def chart(lines: Iterable[Line]) -> str:
    """Return SVG: one bar for each line with a goal, as a share of it; beyond the mark the goal is missed."""
    rows = []
    for line in lines:
        goal = line.goal
        if goal.limit is None:
            continue
        share = line.judged / goal.limit if goal.at_most else goal.limit / max(line.judged, 1e-9)
        y, width = 30 + len(rows) * ROW, min(share, 1.45) * BAR
        colour = "#b3261e" if line.misses() else "#2e7d4f"
        what = escape(goal.what.replace("`", ""))
        text = f"{line.judged:.2f}{'×' if goal.of else f' {goal.unit}'} ({goal.shown(goal.limit)})"
        rows.append(
            f'<text x="{LABELS - 8}" y="{y + 12}" text-anchor="end">{what}</text>'
            f'<rect x="{LABELS}" y="{y}" width="{width:.0f}" height="{ROW - 6}" fill="{colour}"/>'
            f'<text x="{LABELS + 4}" y="{y + 12}" fill="white">{text if width > 130 else ""}</text>'
            f'<text x="{LABELS + width + 4:.0f}" y="{y + 12}">{"" if width > 130 else text}</text>'
        )
    height = 40 + len(rows) * ROW
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="sans-serif" '
        f'font-size="11"><rect width="{WIDTH}" height="{height}" fill="white"/>'
        f'<text x="{LABELS + BAR}" y="18" text-anchor="middle">goal</text>'
        f'<line x1="{LABELS + BAR}" y1="24" x2="{LABELS + BAR}" y2="{height - 8}" stroke="#555"/>'
        f"{''.join(rows)}</svg>\n"
    )
