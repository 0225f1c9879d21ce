"""Data Docs: Great Expectations' own pages, made static.

Great Expectations links its pages to half a dozen content delivery networks; opening one
would tell them. The links are taken out, a few lines of style take their place.
Results come in SUMMARY format (counts), and error texts arrive masked from the adapter,
so no value of a row can reach a page.
"""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

from great_expectations.data_context.data_context.ephemeral_data_context import EphemeralDataContext

from settings import ShopPaths

SITE = "static"

REMOTE_TAG = re.compile(
    r'<script[^>]*\bsrc="https?:[^>]*>\s*</script>|<link[^>]*\bhref="https?:[^>]*>'
    r'|<(img|source)[^>]*\bsrc(set)?="https?:[^>]*>',
    re.DOTALL,
)

REMOTE_IMAGE = re.compile(r"url\('https?:[^']*'\)")

STYLE = """<style>
body { font: 15px/1.5 system-ui, sans-serif; max-width: 72rem; margin: 2rem auto; padding: 0 1rem }
table { border-collapse: collapse; width: 100%; margin: 1rem 0 }
td, th { border: 1px solid #ccc; padding: .4rem .6rem; text-align: left; vertical-align: top }
code, pre { white-space: pre-wrap; font-size: 13px }
.modal, .ge-walkthrough-modal, footer, .navbar img, .fa { display: none }
</style></head>"""


def build(context: EphemeralDataContext, paths: ShopPaths, border: str) -> Path:
    """Render the context's results to ``ops/data_docs/<border>/`` and return its index page.

    The pages are built aside and swapped in, so a reader never meets a half-built site.
    """
    target = paths.ops / "data_docs" / border
    aside = target.with_name(f".{border}.{os.getpid()}")
    context.add_data_docs_site(
        SITE,
        {
            "class_name": "SiteBuilder",
            "site_index_builder": {"class_name": "DefaultSiteIndexBuilder", "show_cta_footer": False},
            "store_backend": {"class_name": "TupleFilesystemStoreBackend", "base_directory": str(aside)},
        },
    )
    context.build_data_docs([SITE])
    for name in ("images", "fonts"):
        shutil.rmtree(aside / "static" / name, ignore_errors=True)
    for page in (*aside.rglob("*.html"), *aside.rglob("*.css")):
        page.write_text(_offline(page.read_text(encoding="utf-8")), encoding="utf-8")
    shutil.rmtree(target, ignore_errors=True)
    aside.replace(target)
    return target / "index.html"


def _offline(html: str) -> str:
    return REMOTE_IMAGE.sub("none", REMOTE_TAG.sub("", html)).replace("</head>", STYLE, 1)
