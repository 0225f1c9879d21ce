"""The script that Streamlit runs for every look at a page."""

from __future__ import annotations

import logging
from html import escape

import streamlit as st

import settings
from cli import ShoalError
from ml.words import Language
from serving.dashboard import door, looks, navigation, published
from serving.dashboard.view import View, choose, tell_missed, the_only, told
from serving.dashboard.words import say

HERE = settings.ROOT / "serving" / "dashboard"
LANGUAGES: dict[Language, str] = {"en": "English", "zh": "中文"}


def main() -> None:
    """Show the page that is asked for."""
    st.set_page_config(page_title="Shoal", page_icon=str(HERE / "icon.svg"), layout="wide")
    st.html(looks.STYLE)
    st.logo(str(HERE / "logo.svg"), size="large", icon_image=str(HERE / "icon.svg"))
    place = st.sidebar.container()
    language: Language = _language()
    opened = st.navigation(navigation.pages(language, lambda name: None), position="sidebar")
    if st.session_state.get("page") != opened.url_path:
        st.session_state["page"], st.session_state["missed"] = opened.url_path, {}
    with place:
        language = choose("lang", "Language · 语言", list(LANGUAGES), lambda one: LANGUAGES[one])
        shop = _shop(language)
        st.html(f'<a class="shoal-link" href="{door.LOG_OUT}" target="_self">{say(language, "log_out")}</a>')
    name = opened.url_path or next(iter(navigation.ICONS))
    st.title(say(language, f"page_{name}"))
    above = st.container()
    with st.spinner(say(language, "loading")):
        _show(name, language, shop)
    with above:
        tell_missed(language)
    # Tells who waits for the page, such as a test or a printer, that all of it is there.
    st.html(f'<i class="shoal-drawn" data-page="{name}"></i>')


def _language() -> Language:
    told_of = st.session_state.get("choice_lang") or st.query_params.get("lang")
    remembered = st.session_state.get("remembered", {}).get("lang")
    wanted = told_of or remembered
    return "zh" if wanted == "zh" else "en"


def _shop(language: Language) -> str | None:
    shops = published.shops()
    if len(shops) > 1:
        return choose("shop", say(language, "shop"), shops)
    return the_only("shop", shops[0]) if shops else None


def _show(name: str, language: Language, shop: str | None) -> None:
    """Show a page; whatever stands in the way is said with what to do about it."""
    if shop is None:
        st.info(say(language, "nothing_published"), icon=":material/info:")
        st.code("make demo", language="bash")
        return
    try:
        version = published.in_force(shop)
        if version is None:
            st.info(say(language, "nothing_published"), icon=":material/info:")
            return
        view = View(version, language, published.currency(shop))
        _told_of(view)
        navigation.render(name, view)
    except ShoalError as error:
        st.error(str(error), icon=":material/error:")
    except Exception:
        # What an error says may quote data: the page names the log, and its owner alone reads that.
        logging.getLogger(__name__).exception("page %s of shop %s", name, shop)
        st.error(say(language, "failed"), icon=":material/error:")
        st.code(f"python -m serving status --shop {shop}", language="bash")


def _told_of(view: View) -> None:
    """Say which day this is about, and how old it is."""
    version = view.published
    day = f"<b>{view.day(version.as_of_date)}</b>"
    text = view.say("as_of", shop=escape(version.shop), day=day, age=view.age())
    if version.degraded_because:
        lacks = escape(view.recorded(version.degraded_because))
        text += f' <span class="shoal-warn">{view.say("degraded")}: {lacks}</span>'
    told(text)


main()
