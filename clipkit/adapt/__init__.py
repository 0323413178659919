"""Adaptation with few labels, or none: heads on frozen image features."""

from __future__ import annotations

from clipkit.adapt.linear_probe import LinearProbe

__all__ = ["LinearProbe"]
