"""What every page shares: its language, its filters, its tables, and the link that brings a view back."""

from __future__ import annotations

import csv
import io
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from html import escape
from typing import TYPE_CHECKING, Any, TypeVar

import streamlit as st

from ml.words import Language
from serving import export
from serving.dashboard import looks
from serving.dashboard.published import Published
from serving.dashboard.words import say, texts
from serving.groups import OTHER
from serving.query import defused
from serving.recorded import in_chinese
from settings import ShopPaths

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go

Choice = TypeVar("Choice")

NOTHING = "–"
"""What stands in a cell without a figure; Streamlit would write None."""
NO_TOOLS = {"displayModeBar": False, "responsive": True}


@dataclass(frozen=True)
class View:
    """One look at one page: what is published, and in which language it is told."""

    published: Published
    language: Language
    currency: str

    def say(self, key: str, **values: Any) -> str:
        """Return a text in the reader's language."""
        return say(self.language, key, **values)

    def money(self, amount: Any) -> str:
        return looks.money(amount, self.currency)

    def day(self, day: date) -> str:
        """Return a day as people write it."""
        if self.language == "zh":
            return f"{day.year}年{day.month}月{day.day}日"
        return f"{day.day} {day:%b %Y}"

    def age(self) -> str:
        """Return how long ago the version was published."""
        count, unit = looks.hours((datetime.now(UTC) - self.published.published_at).total_seconds() / 3600)
        return self.say(f"{unit}_ago", n=count)

    def call(self, kind: str, name: Any) -> str:
        """Return what people call a model, a feature or the like; its own name where words.csv has none."""
        key = f"{kind}_{name}"
        return self.say(key) if key in texts() else str(name)

    def called(self, kind: str, names: pd.Series) -> pd.Series:
        """Return what people call each of them; nothing where there is none."""
        return names.map(lambda name: self.call(kind, name), na_action="ignore")

    def recorded(self, text: str) -> str:
        """Return what a command said or wrote down, in the reader's language."""
        return in_chinese(text) if self.language == "zh" else text

    @property
    def name(self) -> str:
        """The column that names a segment in the reader's language."""
        return f"segment_name_{self.language}"

    def reason(self, rows: pd.DataFrame) -> str:
        """Return why the first of some rows was decided, in the reader's language where it is told in that.

        What was decided by an earlier release is told in English only; '' where nothing is.
        """
        columns = [f"decision_reason_{self.language}", "decision_reason"]
        told = rows.reindex(columns=columns).bfill(axis=1)[columns[0]].dropna()
        return "" if told.empty else str(told.iloc[0])

    def schemes(self) -> list[str]:
        """Return the schemes, those that answer the broadest question first."""
        found = self.published.ask("select distinct scheme from bi.segment_profile_daily")["scheme"]
        order = ("behaviour", "value", "rfm", "lifecycle")
        return sorted(found, key=lambda scheme: (order.index(scheme) if scheme in order else 9, scheme))

    def days(self) -> list[date]:
        """Return the published days, newest first."""
        rows = self.published.ask(
            "select distinct as_of_date from bi.segment_profile_daily order by as_of_date desc"
        )
        return [moment.date() for moment in rows["as_of_date"]]


def choose(
    name: str,
    label: str,
    options: Sequence[Choice],
    shown: Callable[[Choice], str] = str,
    default: Choice | None = None,
) -> Choice:
    """Let the reader choose one of the options; the address bar and other pages remember it by ``name``."""
    remembered: dict[str, str] = st.session_state.setdefault("remembered", {})
    key = f"choice_{name}"
    if st.session_state.get(key) not in options:
        wanted = st.query_params.get(name, remembered.get(name))
        by_text = {str(option): option for option in options}
        fallback = default if default in options else options[0]
        st.session_state[key] = by_text.get(str(wanted), fallback)
        _note_missed(name, options, st.session_state[key])
    chosen: Choice = st.selectbox(label, options, format_func=shown, key=key)
    remember(name, str(chosen))
    return chosen


def the_only(name: str, option: str) -> str:
    """Keep the only option in the address all the same: a link means the same when there are more."""
    _note_missed(name, [option], option)
    remember(name, option)
    return option


def _note_missed(name: str, options: Sequence[object], instead: object) -> None:
    """Note what a link asks for that is not there (any more); a choice that no longer fits is no link's."""
    asked = st.query_params.get(name)
    is_of_link = name not in st.session_state.get("remembered", {})
    if asked is not None and is_of_link and asked not in map(str, options):
        st.session_state.setdefault("missed", {})[name] = (asked, instead)


def tell_missed(language: Language) -> None:
    """Say what a link asked for in vain, as long as what is shown instead was not chosen anew."""
    missed: dict[str, tuple[str, object]] = st.session_state.get("missed", {})
    for name, (asked, instead) in missed.items():
        if st.session_state.get(f"choice_{name}", instead) == instead:
            text = say(language, "not_in_link", asked=escape(asked[:60]))
            told(f'<span class="shoal-warn">{text}</span>')


def remember(name: str, value: str) -> None:
    """Keep a choice for other pages, and in the address of this one."""
    st.session_state.setdefault("remembered", {})[name] = value
    if st.query_params.get(name) != value:
        st.query_params[name] = value


def chart(figure: go.Figure, key: str) -> None:
    """Show a chart."""
    st.plotly_chart(figure, width="stretch", config=NO_TOOLS, theme=None, key=key)


def told(text: str) -> None:
    """Say something about what is seen, quietly."""
    st.html(f'<p class="shoal-told">{text}</p>')


def nothing(view: View, text: str, command: str | None = None) -> None:
    """Say that there is nothing to see, why, and what would change that."""
    st.info(text, icon=":material/info:")
    if command:
        st.code(command, language="bash")


def table(
    view: View,
    frame: pd.DataFrame,
    name: str,
    columns: Mapping[str, tuple[str, str]],
    height: Any = "content",
) -> None:
    """Show a table, and offer it as a CSV that a spreadsheet can open; who takes it is noted.

    Parameters
    ----------
    frame
        Its columns that are not shown, such as ``segment_code`` or ``is_folded``, tell which rows are folded.
    columns
        Column → its heading and its kind: *text*, *number*, *decimal*, *percent*, *money*, *date*, *moment*.
    """
    shown = frame[[column for column in columns if column in frame]]
    shown = shown.fillna({column: "" for column in shown if columns[column][1] == "text"})
    config = {column: _column(view, *columns[column]) for column in shown}
    st.dataframe(
        shown, hide_index=True, column_config=config, height=height, width="stretch", placeholder=NOTHING
    )
    st.download_button(
        view.say("download"),
        csv_of(shown),
        file_name=f"{view.published.shop}_{name}_{view.published.as_of_date}.csv",
        mime="text/csv",
        key=f"download_{name}",
        icon=":material/download:",
        type="tertiary",
        on_click=_note,
        args=(view, export.Table(name, (), dict.fromkeys(shown, ""), len(frame), folded_count(frame), None)),
    )


def folded_count(frame: pd.DataFrame) -> int:
    """Count the rows that stand for several small groups."""
    is_folded = frame.reindex(columns=["is_folded"], fill_value=False)["is_folded"].astype(bool)
    return int((is_folded | frame.reindex(columns=export.CODES).eq(OTHER).any(axis=1)).sum())


def _note(view: View, taken: export.Table) -> None:
    """Note a download in the log of exports; if that fails the reader is told, and has the file."""
    version = view.published
    paths, day = ShopPaths(version.shop), version.as_of_date.isoformat()
    try:
        export.note(paths, "serving dashboard", "csv", "dashboard", version.version, day, [taken])
    except OSError:
        logging.getLogger(__name__).exception("download %s of shop %s", taken.name, version.shop)
        st.toast(view.say("not_noted", table=taken.name), icon=":material/warning:", duration="infinite")


def csv_of(frame: pd.DataFrame) -> bytes:
    r"""Return a table as Excel takes it: UTF-8 that says so, and no text that would run as a formula.

    Examples
    --------
    >>> import pandas
    >>> csv_of(pandas.DataFrame({"name": ["=1+1", None], "users": [12, 10]})).decode("utf-8-sig")
    "name,users\r\n'=1+1,12\r\n,10\r\n"
    """
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(map(defused, frame.columns))
    for row in frame.itertuples(index=False):
        writer.writerow(defused(None if looks.is_missing(value) else value) for value in row)
    return text.getvalue().encode("utf-8-sig")


def _column(view: View, heading: str, kind: str) -> Any:
    columns = st.column_config
    if kind == "percent":
        return columns.NumberColumn(heading, format="percent")
    if kind in ("number", "decimal", "money"):
        heading = f"{heading} ({view.currency})" if kind == "money" and view.currency else heading
        step = {"number": 1, "decimal": 0.01, "money": 0.01}[kind]
        return columns.NumberColumn(heading, format="localized", step=step)
    if kind == "date":
        return columns.DateColumn(heading, format="YYYY-MM-DD")
    if kind == "moment":
        return columns.DatetimeColumn(heading, format="YYYY-MM-DD HH:mm")
    return columns.TextColumn(heading)
