"""Zero-shot classification: prompts to class weights, class weights to logits."""

from __future__ import annotations

from clipkit.zeroshot.classifier import fill_templates, zeroshot_logits, zeroshot_weights

__all__ = ["fill_templates", "zeroshot_logits", "zeroshot_weights"]
