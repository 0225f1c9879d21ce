"""What goes out: versions of schema ``bi`` that readers open without ever waiting.

A version is a folder, built aside, checked, and put in force by swapping one symlink;
readers open the resolved path and see one whole version, always. What was said about an
as_of_date is a fact kept in ``history/bi``: a later publish never rewrites it.
"""

from __future__ import annotations

from serving.content import content_hash

__all__ = ["content_hash"]
