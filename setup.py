"""The one build step: what is committed in data/ goes into the package as clipkit/_data. Everything else stands in pyproject.toml."""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

SHIPPED = ("papers.yml", "models/**/*", "prompts/**/*", "records/**/*", "sweeps/**/*")


def shipped() -> list[str]:
    """Paths of the files that ship, from this folder on; caches, runs and the site, which lie beside them, do not."""
    return sorted(str(path) for pattern in SHIPPED for path in Path("data").glob(pattern) if path.is_file() and path.name[0] != ".")


class BuildWithData(build_py):
    """An editable installation reads data/ where it is, so nothing is copied for it."""

    def run(self):
        super().run()
        for name in [] if self.editable_mode else shipped():
            target = Path(self.build_lib, "clipkit", "_data", Path(name).relative_to("data"))
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(name, target)

    def get_source_files(self):
        return [*super().get_source_files(), *shipped()]


setup(cmdclass={"build_py": BuildWithData})
