"""The pages, in the order of the menu."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING

import streamlit as st

from ml.words import Language
from serving.dashboard.words import say

if TYPE_CHECKING:
    from streamlit.navigation.page import StreamlitPage

    from serving.dashboard.view import View

ICONS = {
    "segments": "groups",
    "flows": "conversion_path",
    "segment": "person_search",
    "cohorts": "calendar_view_month",
    "funnel": "filter_alt",
    "model": "insights",
    "runs": "monitor_heart",
}
"""Page → its icon; the first is what opens first, and each is a module of ``views`` and an address."""


def pages(language: Language, show: Callable[[str], None]) -> list[StreamlitPage]:
    """Return the pages; ``show`` is called with the name of the one that is opened."""
    made = {
        name: st.Page(
            _named(partial(show, name), name),
            title=say(language, f"page_{name}"),
            icon=f":material/{icon}:",
            url_path=name,
            default=name == next(iter(ICONS)),
        )
        for name, icon in ICONS.items()
    }
    st.session_state["pages"] = made
    return list(made.values())


def page(name: str) -> StreamlitPage:
    """Return a page to link to."""
    found: StreamlitPage = st.session_state["pages"][name]
    return found


def render(name: str, view: View) -> None:
    """Show a page."""
    import_module(f"serving.dashboard.views.{name}").render(view)


def _named(act: Callable[[], None], name: str) -> Callable[[], None]:
    act.__name__ = name  # type: ignore[attr-defined]
    return act
