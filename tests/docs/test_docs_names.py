"""What a document names exists: tests, files, settings; and each threat has a defence and a test."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest
from bot.settings import Settings

ROOT = Path(__file__).parents[2]
DOCUMENTS = [*sorted(ROOT.glob("*.md")), *sorted(ROOT.glob("docs/**/*.md"))]
TEST = re.compile(r"`(tests/[\w/]+\.py)(?:::(\w+))?`")
PATH = re.compile(r"`((?:bot|sandbox|tests|docs|benchmarks)/[\w./-]*)`")


def threats() -> list[list[str]]:
    """The cells of the threat table, without its head and its headings."""
    section = (ROOT / "docs" / "security.md").read_text().split("## Threats")[1].split("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return [row for row in rows[2:] if row[1]]


@cache
def functions_in(path: Path) -> frozenset[str]:
    nodes = ast.walk(ast.parse(path.read_text()))
    return frozenset(node.name for node in nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


@pytest.mark.parametrize("row", threats(), ids=lambda row: row[0][:60])
def test_every_threat_has_a_defence_and_a_test(row: list[str]):
    threat, defence, test = row
    assert threat
    assert defence
    assert TEST.findall(test)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_test_and_file_that_a_document_names_exists(document: Path):
    text = document.read_text()
    links = [link.split("#")[0] for link in re.findall(r"\]\(([^)\s]+)\)", text)]
    paths = [document.parent / link for link in links if link and "://" not in link]
    paths += [ROOT / path for path in PATH.findall(text)]
    missing = [str(path) for path in paths if not path.exists()]
    for path, name in TEST.findall(text):
        if not (ROOT / path).is_file() or (name and name not in functions_in(ROOT / path)):
            missing.append(f"{path}::{name}")
    assert missing == []


def test_every_setting_is_in_the_document_and_no_other():
    document = (ROOT / "docs" / "configure.md").read_text()
    documented = re.findall(r"^\| `([A-Z][A-Z_]+)`", document, re.MULTILINE)
    assert set(documented) == {name.upper() for name in Settings.model_fields}
