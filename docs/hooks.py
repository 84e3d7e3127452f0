"""What MkDocs does besides: the pages of the root, which forges show, are pages of the site too."""

from __future__ import annotations

import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[1]
FROM_ROOT = ("CHANGELOG.md", "CONTRIBUTING.md")


def on_page_markdown(markdown: str, **_: object) -> str:
    """Lead links to the pages of the root to where they are in the site."""
    return re.sub(rf"\.\./({'|'.join(FROM_ROOT)})", lambda match: match[1].lower(), markdown)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages of the root under their names in small letters, with their links as seen from docs/."""
    for name in FROM_ROOT:
        text = re.sub(r"\]\(docs/", "](", (ROOT / name).read_text("utf-8"))
        files.append(File.generated(config, name.lower(), content=text))
    return files
