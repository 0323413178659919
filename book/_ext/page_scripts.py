"""The theme brings the scripts of Thebe (live code through a server) twice on each page; the book does not use them.

Their second copy is an error in the browser's console, and their address lies outside the site's folder. The search page gets one
more: the pages by their topics.
"""

from __future__ import annotations


def choose_scripts(app, page, template, context, doctree):
    def is_thebe(script) -> bool:
        return "thebe" in str(script) or "THEBE_JS_URL" in getattr(script, "attributes", {}).get("body", "")

    if page == "search":
        app.add_js_file("../topics.js")
    context["script_files"] = [script for script in context.get("script_files", []) if not is_thebe(script)]


def setup(app):
    app.connect("html-page-context", choose_scripts, priority=900)
    return {"version": "1", "parallel_read_safe": True}
