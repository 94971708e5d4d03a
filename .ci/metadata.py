"""What the package index shows, made from README.md and the address of the repository in pyproject.toml."""

import re
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface

PICTURE = re.compile(r"(!\[[^\]]*\]\()(?!\w+:|#)")
LINK = re.compile(r"(?<!!)(\[(?:[^\[\]]|!?\[[^\]]*\])*\]\()(?!\w+:|#)")


class CustomMetadataHook(MetadataHookInterface):
    """Gives the project's addresses, and the README with absolute links, which lead to the version that is built."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Set the dynamic fields."""
        repository, version = self.config["repository"], f"v{metadata['version']}"
        pages = f"{repository}/blob/{version}"
        text = Path(self.root, "README.md").read_text("utf-8")
        text = LINK.sub(rf"\1{pages}/", PICTURE.sub(rf"\1{repository}/raw/{version}/", text))
        metadata["readme"] = {"content-type": "text/markdown", "text": text}
        metadata["urls"] = {
            "Documentation": f"{pages}/.github/manual/index.md",
            "Changelog": f"{pages}/CHANGELOG.md",
            "Issues": f"{repository}/issues",
            "Source": repository,
        }
