"""Puts the folders that users edit into the wheel; everything else is in pyproject.toml."""

from __future__ import annotations

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

DATA_FOLDERS = ("config", "snap-graphs", "tasks", "workflows")


class BuildWithData(build_py):
    """Copies the data folders to ``skymend/_data``; an editable install reads the checkout."""

    def run(self) -> None:
        super().run()
        if self.editable_mode:
            return
        for name in DATA_FOLDERS:
            if Path(name).is_dir():
                target = Path(self.build_lib) / "skymend" / "_data" / name
                ignored = shutil.ignore_patterns("__pycache__", ".snakemake")
                shutil.copytree(name, target, dirs_exist_ok=True, ignore=ignored)


setup(cmdclass={"build_py": BuildWithData})
