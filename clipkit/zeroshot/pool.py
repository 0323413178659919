"""A pool of prompt templates, with what each one names beside the class and where it comes from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from clipkit import checks
from clipkit.errors import ClipkitError, unknown
from clipkit.paths import shipped


@dataclass(frozen=True)
class PromptPool:
    """P templates, each with its group and its concept, a (factor, value) or None: ("background", "snow")."""

    templates: tuple[str, ...]
    groups: tuple[str, ...]
    concepts: tuple[tuple[str, str] | None, ...]

    def __len__(self) -> int:
        return len(self.templates)

    def thinned(self, step: int) -> PromptPool:
        """Every `step`-th template, from the first on: a smaller pool of the same mixture."""
        checks.at_least(1, step=step)
        return PromptPool(self.templates[::step], self.groups[::step], self.concepts[::step])

    @classmethod
    def from_yaml(cls, path: str | Path) -> PromptPool:
        """Read a file with `groups`, each with `name` and either `templates` or `import` (world, openai).

        An entry of `templates` is a template, or, in a group with `concept`, {template: value}. A template that occurs
        twice counts once, in its first group.

        Raises ClipkitError: no such file, no group, an entry without "{}" or, in a group with a concept, without value.
        """
        import yaml

        path = Path(path)
        if not path.is_file():
            raise ClipkitError(f"no pool of prompts at {path.name}; give the path of a YAML file with groups of templates")
        groups = (yaml.safe_load(path.read_text(encoding="utf-8")) or {}).get("groups")
        if not groups:
            raise ClipkitError(f"{path.name} has no groups of templates")
        rows: dict[str, tuple[str, tuple[str, str] | None]] = {}
        for group in groups:
            for entry in _imported(group["import"]) if "import" in group else group["templates"]:
                template, value = next(iter(entry.items())) if isinstance(entry, dict) else (entry, None)
                if "{}" not in template or (value is None) == ("concept" in group):
                    raise ClipkitError(f"{path.name}, group {group['name']!r}: {entry!r} lacks the {{}} or the value of its concept")
                rows.setdefault(template, (group["name"], (group["concept"], value) if value else None))
        return cls(tuple(rows), *zip(*rows.values(), strict=True))

    @classmethod
    def shipped(cls) -> PromptPool:
        """The book's own pool, `data/prompts/pool.yml`."""
        return cls.from_yaml(shipped("prompts", "pool.yml"))


def _imported(source: str) -> Sequence[str]:
    if source == "openai":
        from clipkit.datasets.templates import openai_templates

        return openai_templates()
    if source == "world":
        from clipkit.world import CLASS_TEMPLATES

        return [template for row in CLASS_TEMPLATES.values() for template in row]
    raise unknown("import of a prompt pool", source, ["openai", "world"])
