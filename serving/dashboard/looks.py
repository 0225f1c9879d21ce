"""How things look: one accent colour, quiet greys, numbers that a person reads."""

from __future__ import annotations

import math
import textwrap
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import plotly.graph_objects as go

ACCENT = "#0b7a75"
INK, QUIET, LINE, PAPER, PALE = "#16262b", "#5b6f74", "#dfe7e7", "#ffffff", "#f4f8f8"
MUTED = "#b9c7c9"
WARN = "#b4540a"
SHADES = ("#0b7a75", "#5aa6a1", "#16424f", "#8fb8a6", "#3f6f8c", "#a3b7c7", "#6b8f5e", "#c2a878", "#8a6f8e")
"""For more than two things in one chart: neighbours differ in lightness too, for who sees no colours."""

SCALE = [(0.0, "#eef5f4"), (0.5, "#6fb3ae"), (1.0, "#0a5c58")]

FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Noto Sans', 'Noto Sans CJK SC', sans-serif"

THEME = {
    "theme.base": "light",
    "theme.primaryColor": ACCENT,
    "theme.backgroundColor": PAPER,
    "theme.secondaryBackgroundColor": PALE,
    "theme.textColor": INK,
    "theme.linkColor": ACCENT,
    "theme.font": FONT,
    "theme.baseRadius": "medium",
    "theme.borderColor": LINE,
    "theme.showWidgetBorder": True,
    "theme.blueBackgroundColor": PALE,
    "theme.blueTextColor": QUIET,
}

STYLE = """
<style>
  .block-container { padding-top: 3.2rem; padding-bottom: 3rem; max-width: 1180px }
  h1 { font-size: 1.7rem !important; letter-spacing: -.01em; padding: 0 0 .1rem !important }
  h3 { font-size: 1.08rem !important; padding: .6rem 0 .35rem !important }
  [data-testid="stMetricValue"] { font-size: 1.55rem; font-variant-numeric: tabular-nums }
  [data-testid="stMetricLabel"] p { color: #5b6f74; white-space: normal }
  [data-testid="stMetricDelta"] * { white-space: normal; overflow: visible }
  .shoal-told { color: #5b6f74; font-size: .9rem; margin: 0 0 .6rem }
  .shoal-told b { color: #16262b; font-weight: 600 }
  .shoal-link { color: #0b7a75; font-size: .92rem }
  .shoal-warn { color: #b4540a }
  .shoal-card-figures { font-variant-numeric: tabular-nums; color: #16262b; margin: 0; font-size: .95rem }
  .shoal-card-why { color: #5b6f74; font-size: .88rem; margin: .25rem 0 0; line-height: 1.4 }
  .shoal-bar { height: 6px; border-radius: 3px; background: #e8efef; margin: .35rem 0 }
  .shoal-bar > i { display: block; height: 6px; border-radius: 3px; background: #0b7a75 }
  .shoal-legend { color: #5b6f74; font-size: .88rem; margin: 0 0 .5rem }
  .shoal-legend > i { display: inline-block; width: .7rem; height: .7rem; margin-right: .4rem }
  .shoal-legend > i:not(:first-child) { margin-left: 1.2rem }
  .shoal-shares { display: grid; grid-template-columns: max-content 1fr; gap: .55rem .9rem }
  .shoal-shares { margin: 0; padding: 0 }
  .shoal-shares dt, .shoal-shares dd { margin: 0; padding: 0; font-weight: inherit }
  .shoal-shares dt { align-self: center; font-size: .9rem }
  .shoal-shares dd { white-space: nowrap; font-size: .8rem; font-variant-numeric: tabular-nums }
  .shoal-shares dd > div { display: flex; align-items: center; gap: .4rem; padding-right: 3.2rem }
  .shoal-shares dd i { height: .8rem; flex: none }
  .shoal-legend > i, .shoal-shares dd i { border-radius: 3px }
  i.money { background: #0b7a75 }
  i.users { background: #b9c7c9 }
  /* A table's own CSV would pass by the log of exports, and by what keeps formulas from running. */
  [data-testid="stElementToolbarButton"]:has([aria-label^="Download as CSV"]) { display: none }
  @media (max-width: 640px) {
    .block-container { padding: 4.4rem 1rem 2rem }
    h1 { font-size: 1.4rem !important }
    [data-testid="stMetricValue"] { font-size: 1.1rem }
    .shoal-shares { grid-template-columns: 1fr; gap: .15rem }
    .shoal-shares dd { margin-bottom: .45rem }
    [data-testid="stElementContainer"]:has([data-testid="stMetric"]) {
      flex: 1 1 calc(50% - .5rem) !important; min-width: calc(50% - .5rem); max-width: 100%
    }
  }
</style>
"""

NOTHING = "–"


def number(value: Any, digits: int = 0) -> str:
    """Return a number with thousands separators; a dash for none.

    Examples
    --------
    >>> number(1234567.4), number(2.46, 1), number(None), number(float("nan"))
    ('1,234,567', '2.5', '–', '–')
    """
    return NOTHING if is_missing(value) else f"{float(value):,.{digits}f}"


def percent(share: Any, digits: int = 1) -> str:
    """Return a share as a percentage.

    Examples
    --------
    >>> percent(0.1234), percent(1, 0), percent(None)
    ('12.3 %', '100 %', '–')
    """
    return NOTHING if is_missing(share) else f"{100 * float(share):,.{digits}f} %"


def width(share: Any, longest: float = 1) -> float:
    """Return how wide a share's bar is, in percent of the longest.

    Examples
    --------
    >>> width(0.2, 0.8), width(-0.1, 0.8), width(None), width(0, 0)
    (25.0, 0.0, 0.0, 0.0)
    """
    return 0.0 if is_missing(share) or longest <= 0 else 100 * max(0.0, min(1.0, float(share) / longest))


def money(amount: Any, currency: str) -> str:
    """Return an amount without cents where it is large, and with its currency.

    Examples
    --------
    >>> money(1234567.4, "EUR"), money(93.4, "EUR"), money(None, "EUR")
    ('1,234,567 EUR', '93.40 EUR', '–')
    """
    if is_missing(amount):
        return NOTHING
    return f"{number(amount, 0 if abs(float(amount)) >= 1000 else 2)} {currency}".rstrip()


def signed(value: Any, digits: int = 0) -> str | None:
    """Return a change with its sign; none where there is none to tell.

    Examples
    --------
    >>> signed(1200), signed(-3), signed(0), signed(None)
    ('+1,200', '-3', '0', None)
    """
    if is_missing(value):
        return None
    return number(value, digits) if value == 0 else f"{float(value):+,.{digits}f}"


def hours(hours: float) -> tuple[str, str]:
    """Return a time span as a count and the unit that suits it.

    Examples
    --------
    >>> hours(0.1), hours(5.4), hours(100)
    (('6', 'minutes'), ('5', 'hours'), ('4', 'days'))
    """
    if hours < 1:
        return number(hours * 60), "minutes"
    return (number(hours), "hours") if hours < 48 else (number(hours // 24), "days")


def wrapped(text: str, letters: int = 14) -> str:
    """Return a label in lines of about so many letters.

    Examples
    --------
    >>> wrapped("Big spenders to win back"), wrapped("Champions")
    ('Big spenders<br>to win back', 'Champions')
    """
    return "<br>".join(textwrap.wrap(text, letters, break_long_words=False)) or text


def is_missing(value: Any) -> bool:
    """Return whether a value says nothing."""
    try:
        return value is None or math.isnan(value)
    except TypeError:
        return False


def tidy(figure: go.Figure, height: int, **layout: Any) -> go.Figure:
    """Give a chart the page's font and colours, and take away what says nothing."""
    figure.update_layout(
        height=height,
        margin={"l": 8, "r": 8, "t": 8, "b": 8},
        font={"family": FONT, "size": 13, "color": INK},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        colorway=list(SHADES),
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0, "title": None},
        hoverlabel={"bgcolor": PAPER, "bordercolor": LINE, "font": {"color": INK, "family": FONT}},
        dragmode=False,
        separators=".,",
    )
    figure.update_xaxes(
        showgrid=False, gridcolor=LINE, zeroline=False, title=None, automargin=True, fixedrange=True
    )
    figure.update_yaxes(
        showgrid=False, gridcolor=LINE, zeroline=False, title=None, automargin=True, fixedrange=True
    )
    return figure.update_layout(**layout)
