"""What myst-nb must be told about our outputs: the alternative text of figures, and the claims' JSON.

myst-nb takes an image's `alt` from the cell's metadata only, and warns about MIME types it does not know.
Registered as an entry point of the group `myst_nb.mime_renderers`.
"""

from __future__ import annotations

from clipkit.lab.report import MIME


class LabOutputs:
    """A myst-nb MIME renderer plug-in."""

    mime_priority_overrides: tuple = ()

    @staticmethod
    def handle_mime(renderer, data, inline: bool):
        """Nodes for an output, or None to let myst-nb do it."""
        if data.mime_type == MIME:
            return []  # the HTML beside it is what the page shows
        alt = data.output_metadata.get(data.mime_type, {}).get("alt") if data.mime_type.startswith("image/") else None
        if alt is None:
            return None
        nodes = renderer.render_image_inline(data) if inline else renderer.render_image(data)
        for node in nodes:
            node["alt"] = node.get("alt") or alt
        return nodes
