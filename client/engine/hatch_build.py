"""Puts Scrip's packages into the wheel's folder `scrip_engine`, from the checkout that this file is in."""
# ruff: noqa: INP001 - hatchling runs it, in no package

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

ROOT = Path(__file__).parents[2]
PACKAGES = ("api", "domain", "infra", "projections")


class Packages(BuildHookInterface[Any]):
    """The modules and the licence; pages and schemas are not needed."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Called before the wheel is built."""
        del version
        files = [file for package in PACKAGES for file in (ROOT / package).rglob("*.py")]
        for file in (*files, ROOT / "LICENSE"):
            build_data["force_include"][str(file)] = f"scrip_engine/{file.relative_to(ROOT)}"
