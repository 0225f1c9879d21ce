"""Drafts a shop's file from samples of what it drops; a person finishes it.

What is sure is written down, what is not is marked ``TODO``. No value of a column is shown but
the words of its event types and order states: every other one may name a person.
"""

from landing.drafts.shop_file import Draft, draft

__all__ = ["Draft", "draft"]
