"""The dashboard: what the published version says, in the browser, for whoever may log in.

It reads one version per view, read-only, and shows groups of at least ten users; no page knows a user.
"""
