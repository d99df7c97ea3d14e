"""Every row of the threat table has a test that exists, and no link of the documents leads nowhere."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "security.md"
DOCUMENTS = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]
NODE = re.compile(r"`(tests/[\w/]+\.py)(?:::(\w+))?`")


def rows() -> list[list[str]]:
    """The cells of the threat table, without its head and its headings."""
    section = PAGE.read_text().split("## Threats")[1].split("\n## ")[0]
    cells = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in section.splitlines()
        if line.startswith("|")
    ]
    return [row for row in cells[2:] if row[1]]


def names_in(path: Path) -> set[str]:
    return {
        node.name
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }


@pytest.mark.parametrize("row", rows(), ids=lambda row: row[0][:60])
def test_every_threat_has_a_defence_and_a_test_that_exists(row: list[str]) -> None:
    threat, defence, named = row
    nodes = NODE.findall(named)

    assert threat
    assert defence
    assert nodes
    for path, test in nodes:
        assert (ROOT / path).is_file(), path
        assert test in names_in(ROOT / path), f"{path}::{test}"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_file_that_a_document_names_is_there(document: Path) -> None:
    text = document.read_text()
    links = [link.split("#")[0] for link in re.findall(r"\]\(([^)\s]+)\)", text)]
    files = [(document.parent / link).resolve() for link in links if link and "://" not in link]
    named = [ROOT / path for path, _ in NODE.findall(text)]

    assert [str(path) for path in [*files, *named] if not path.exists()] == []
