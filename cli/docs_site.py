"""The hook of mkdocs.yml: adds the reference pages, written from the code of this moment, to the site that is built."""

from __future__ import annotations

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from typer.main import get_group

from cli.app import app
from cli.reference import pages


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Replace what `scrip docs` may have left in docs/reference; mkdocs calls this with the files of docs/."""
    for name, write in pages(get_group(app)).items():
        address = f"reference/{name}"
        if (left := files.get_file_from_path(address)) is not None:
            files.remove(left)
        files.append(File.generated(config, address, content=write()))
    return files
