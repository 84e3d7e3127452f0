"""The report of `zerokit bench`: one HTML file, light and dark, with charts as SVG and nothing from elsewhere."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from html import escape

from ..emulator.records import Call
from ..quota.platform import PLANS
from . import figures
from .run import Measured

WIDTH, ROW, CALLS_HEIGHT = 720, 28, 220
MOST_BARS = 240
"""Calls that are drawn; of more, the last ones."""
_COLUMNS = (
    "plan", "asked", "served", "cut", "refused", "killed", "failed", "reserved, s", "used, s", "mean wait, s",
    "longest", "GPU s", "runs",
)  # fmt: skip
_STYLE = """
:root { color-scheme: light dark; --text: #1f2328; --dim: #59636e; --page: #fff; --line: #d1d9e0;
  --used: #c2410c; --reserved: #fdba74; --bar: #2563eb; }
@media (prefers-color-scheme: dark) { :root { --text: #e6edf3; --dim: #9198a1; --page: #0d1117; --line: #3d444d;
  --used: #fb923c; --reserved: #7c2d12; --bar: #60a5fa; } }
body { margin: 0 auto; max-width: 760px; padding: 24px 16px 48px; font: 15px/1.5 system-ui, sans-serif;
  color: var(--text); background: var(--page); }
h1 { font-size: 24px; overflow-wrap: anywhere; } h2 { font-size: 18px; margin-top: 32px; }
p.dim, figcaption, svg .dim { color: var(--dim); fill: var(--dim); }
div.wide { overflow-x: auto; } figure { margin: 0; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; white-space: nowrap; }
th, td { padding: 4px 7px; font-size: 14px; border-bottom: 1px solid var(--line); text-align: right;
  font-weight: normal; }
th { color: var(--dim); } th:first-child, td:first-child { text-align: left; }
svg { width: 100%; height: auto; } svg text { font-size: 13px; fill: var(--text); }
.used { fill: var(--used); } .reserved { fill: var(--reserved); } .bar { fill: var(--bar); }
.key { display: inline-block; width: 11px; height: 11px; }
"""


def page(measured: Measured) -> str:
    """The whole page."""
    load, calls = measured.load, figures.calls(measured)
    days = figures.days(measured)
    facts = (
        f"{measured.api}, {len(measured.visits)} visits in {measured.seconds:.0f} s: visitors of each plan at a "
        f"time: {load.visitors}, GPUs: {load.gpus}, on the local ZeroGPU of this machine"
    )
    parts = [
        f"<h1>What {escape(measured.app)} costs its visitors</h1>",
        f'<p class="dim">{escape(facts)}</p>',
        *(f"<p>{escape(day.sentence(PLANS[day.tier]))}</p>" for day in days),
        "<h2>What each plan got</h2>",
        _table(figures.tiers(measured)),
        "<h2>Answers a day</h2>",
        _days(days),
        "<h2>Reserved and used, call by call</h2>",
        _calls([call for call in calls if call.cold is not None]),
    ]
    title = f"<title>{escape(measured.app)}</title>"
    head = f'<meta charset="utf-8"><meta name="viewport" content="width=device-width">{title}<style>{_STYLE}</style>'
    return f'<!doctype html>\n<html lang="en"><head>{head}</head><body>\n{chr(10).join(parts)}\n</body></html>\n'


def _table(tiers: Iterable[figures.Tier]) -> str:
    head = "".join(f'<th scope="col">{escape(column)}</th>' for column in _COLUMNS)
    rows = "".join(f"<tr>{''.join(f'<td>{_cell(value)}</td>' for value in vars(tier).values())}</tr>" for tier in tiers)
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>'


def _cell(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else escape(str(value))


def _days(days: Sequence[figures.Day]) -> str:
    """A bar for each plan, as long as its answers, on a scale of its own logarithm: a plan has 2 answers or 2,000."""
    if not days:
        return "<p>No call ran.</p>"
    most = max(max(day.answers for day in days), 1)
    rows = []
    for number, day in enumerate(days):
        length = (WIDTH - 300) * _share(day.answers, most)
        y = number * ROW
        rows.append(
            f'<text x="0" y="{y + 18}">{escape(PLANS[day.tier].label)}</text>'
            f'<rect class="bar" x="120" y="{y + 6}" width="{length:.1f}" height="16" rx="2"/>'
            f'<text x="{128 + length:.1f}" y="{y + 18}">{figures.number(day.answers)} '
            f'<tspan class="dim">{escape(day.limit)}</tspan></text>'
        )
    spoken = "; ".join(f"{PLANS[day.tier].label}: {day.answers}" for day in days)
    caption = "Until the first refusal, and why that comes. Bars grow with the logarithm."
    return _figure(WIDTH, len(days) * ROW, rows, spoken, caption)


def _share(value: int, most: int) -> float:
    return math.log1p(value) / math.log1p(most)


def _calls(calls: Sequence[Call]) -> str:
    """Two bars in one for each call: what it reserved, and in it what it used."""
    shown = calls[-MOST_BARS:]
    if not shown:
        return "<p>No call ran.</p>"
    most = max(max(call.reserved_s, call.used_s) for call in shown) or 1
    step = (WIDTH - 40) / len(shown)
    bars = [f'<text class="dim" x="0" y="12">{most:g} s</text><text class="dim" x="0" y="{CALLS_HEIGHT}">0</text>']
    for number, call in enumerate(shown):
        for kind, seconds in (("reserved", float(call.reserved_s)), ("used", call.used_s)):
            height = CALLS_HEIGHT * seconds / most
            bars.append(
                f'<rect class="{kind}" x="{40 + number * step:.1f}" y="{CALLS_HEIGHT - height:.1f}" '
                f'width="{min(24.0, 0.85 * step):.1f}" height="{height:.1f}">'
                f"<title>{escape(_said(call))}</title></rect>"
            )
    more = f" The last {len(shown)} of {len(calls)} calls." if len(shown) < len(calls) else ""
    key = '<span class="key" style="background:var(--{0})"></span> {0}'
    caption = f"{key.format('reserved')} &nbsp; {key.format('used')}, in seconds.{more}"
    return _figure(WIDTH, CALLS_HEIGHT + 4, bars, f"{len(shown)} calls, at most {most:g} s reserved", caption)


def _said(call: Call) -> str:
    start = "cold" if call.cold else "warm"
    return f"{call.visitor}, {start}: reserved {call.reserved_s} s, used {call.used_s:.2f} s, {call.outcome}"


def _figure(width: int, height: int, parts: Iterable[str], spoken: str, caption: str) -> str:
    drawn = f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{escape(spoken)}">{"".join(parts)}</svg>'
    return f"<figure>{drawn}<figcaption>{caption}</figcaption></figure>"
