"""What a wheel made of a compiled copy (`scripts/compile.py`) has to say of itself: its platform, its library."""

from __future__ import annotations

from pathlib import Path

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class CompiledHook(BuildHookInterface):  # type: ignore[type-arg]
    """Does nothing to a wheel of the sources as they are written."""

    def initialize(self, version: str, build_data: dict[str, object]) -> None:
        """Called by hatchling before the wheel is made."""
        del version
        libraries = sorted(Path(self.root).glob("*__mypyc*.so"))  # all modules live in it; those in guard/ lead there
        if not libraries:
            return
        build_data["pure_python"] = False
        build_data["infer_tag"] = True
        build_data["artifacts"] = ["guard/**/*.so"]
        build_data["force_include"] = {str(library): library.name for library in libraries}
