"""What a document names exists, each threat has a defence and a test, and cheap commands run as written."""

import ast
import asyncio
import re
import shlex
import subprocess
import sys
from functools import cache, partial
from itertools import chain
from pathlib import Path

import pytest
from bot.domain.audit import Event
from bot.domain.errors import Code
from bot.domain.request import Status
from bot.settings import Settings
from sandbox.app import Sandbox, serve
from sandbox.demo import Bot, settings

ROOT = Path(__file__).parents[2]
DOCUMENTS = [*sorted(ROOT.glob("*.md")), *sorted(ROOT.glob("docs/**/*.md"))]
TEST = re.compile(r"`(tests/[\w/]+\.py)(?:::(\w+))?`")
PATH = re.compile(r"`((?:bot|sandbox|tests|docs|benchmarks)/[\w./-]*)`")
UNLATCH = ".venv/bin/unlatch "
BIN = Path(sys.executable).parent


def promises() -> list[list[str]]:
    """The cells of the tables of threats and of guarantees, without their heads and headings."""
    pages = [(ROOT / "docs" / name).read_text() for name in ("security.md", "reliability.md")]
    tables = [[line for line in page.splitlines() if line.startswith("|")][2:] for page in pages]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in chain(*tables)]
    return [row for row in rows if row[1]]


@cache
def functions_in(path: Path) -> frozenset[str]:
    nodes = ast.walk(ast.parse(path.read_text()))
    return frozenset(node.name for node in nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


@pytest.mark.parametrize("row", promises(), ids=lambda row: row[0][:60])
def test_every_threat_and_guarantee_has_what_keeps_it_and_a_test(row: list[str]):
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


def in_the_code(pattern: str) -> set[str]:
    return {found for path in ROOT.glob("bot/**/*.py") for found in re.findall(pattern, path.read_text())}


WORDS = {
    "status": {*Status},
    "refusal": {*Code},
    "audit event": {*Event},
    "log event": in_the_code(r'log(?:_crash|\.(?:info|warning|error|critical))\(\s*"(\w+)"'),
    "metric": in_the_code(r'"(unlatch_\w+(?:s|ready|published|aside))"'),
}


@pytest.mark.parametrize("kind", WORDS)
def test_every_word_that_an_operator_meets_is_in_the_documents(kind: str):
    documented = "".join(path.read_text() for path in ROOT.glob("docs/*.md"))
    assert len(WORDS[kind]) > 5
    assert [word for word in sorted(WORDS[kind]) if not re.search(rf"`{word}(_total)?`", documented)] == []


def commands_of(document: Path) -> list[str]:
    """The lines of its `console` blocks."""
    blocks = re.findall(r"```console\n(.*?)```", document.read_text(), re.DOTALL)
    return [line for block in blocks for line in block.splitlines()]


async def test_an_operators_commands_work_in_the_order_of_the_documents(tmp_path: Path):
    documents = (ROOT / "docs" / name for name in ("install.md", "operate.md"))
    commands = [line for each in documents for line in commands_of(each) if line.startswith(UNLATCH)]
    sandbox = Sandbox(bot_url="http://127.0.0.1:0")
    async with serve(sandbox):
        environment = settings(sandbox, 0, tmp_path, socket_mode=False) | {"PATH": str(BIN)}
        typed = {"input": "\n" * 10, "text": True}  # what `init` asks is left for later
        run = partial(subprocess.run, env=environment, cwd=tmp_path, capture_output=True, **typed)
        for command in commands:
            if command == f"{UNLATCH}serve":
                bot = Bot(environment, tmp_path)
                await bot.start()
                assert await bot.stop() == 0
                continue
            arguments = shlex.split(command)[1:]
            arguments += ["--help"] if "resume" in arguments else []  # only after a restore
            early = arguments == ["doctor"] and not (tmp_path / "unlatch.sqlite3").exists()
            ended = await asyncio.to_thread(run, [BIN / "unlatch", *arguments])
            assert ended.returncode == early, ended
            assert ended.stdout.count("✗") == early, ended
