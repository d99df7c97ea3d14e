"""Every small change of a module that a test should notice, as text, so that lines stay where they are."""

import ast
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

COMPARISONS = {
    **{"<=": "<", "<": "<=", ">=": ">", ">": ">=", "==": "!=", "!=": "=="},
    **{"is not": "is", "is": "is not", "not in": "in", "in": "not in"},
}
ARITHMETIC = {"+": "-", "-": "+", "*": "+", "//": "*", "%": "*", "|": "&", "&": "|"}


@dataclass(frozen=True, slots=True)
class Mutant:
    path: str
    line: int
    function: str
    before: str
    after: str
    source: str

    @property
    def key(self) -> tuple[str, str, str, str]:
        """What names it wherever its line moves to."""
        return self.path, self.function, self.before, self.after

    def __str__(self) -> str:
        return f"{self.path}:{self.line}  {self.before}  →  {self.after}"


def mutants(path: Path, root: Path) -> Iterator[Mutant]:
    """Yield the mutants of a module, in the order of its lines."""
    source = path.read_text()
    lines = source.splitlines(keepends=True)
    starts = [0]
    for line in lines:
        starts.append(starts[-1] + len(line))

    def offset(line: int, column: int) -> int:
        return starts[line - 1] + len(lines[line - 1].encode()[:column].decode())

    tree = ast.parse(source)
    functions = list(_functions(tree))
    for begin, end, after in sorted(set(_changes(tree, source, offset))):
        line = source.count("\n", 0, begin) + 1
        changed = source[:begin] + after + source[end:]
        try:
            compile(changed, str(path), "exec")
        except SyntaxError:
            continue
        first, last = source.rfind("\n", 0, begin) + 1, source.find("\n", end)
        before = " ".join(source[first:last].split())
        shown = " ".join((source[first:begin] + after + source[end:last]).split())
        # Of those around it, the innermost begins last.
        function = next(
            (name for name, node in reversed(functions) if node.lineno <= line <= (node.end_lineno or 0)), ""
        )
        yield Mutant(str(path.relative_to(root)), line, function, before, shown, changed)


def _functions(node: ast.AST, around: str = "") -> Iterator[tuple[str, ast.stmt]]:
    """Yield each class and function by its whole name, in the order of their lines."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            name = f"{around}{child.name}"
            yield name, child
            yield from _functions(child, f"{name}.")
        else:
            yield from _functions(child, around)


def _code(node: ast.AST) -> Iterator[ast.AST]:
    """Yield what runs: no annotations, no decorators."""
    yield node
    for name, value in ast.iter_fields(node):
        if name not in ("annotation", "returns", "decorator_list"):
            for child in value if isinstance(value, list) else [value]:
                if isinstance(child, ast.AST):
                    yield from _code(child)


def _changes(  # noqa: C901  a table of kinds
    tree: ast.Module, source: str, offset: Callable[[int, int], int]
) -> Iterator[tuple[int, int, str]]:
    def span(node: ast.AST) -> tuple[int, int]:
        return offset(node.lineno, node.col_offset), offset(node.end_lineno, node.end_col_offset)  # type: ignore[attr-defined]

    def between(left: ast.AST, right: ast.AST, words: dict[str, str]) -> Iterator[tuple[int, int, str]]:
        begin, end = span(left)[1], span(right)[0]
        found = re.search("|".join(map(re.escape, words)), source[begin:end])
        if found:
            yield begin + found.start(), begin + found.end(), words[found.group()]

    for node in _code(tree):
        match node:
            case ast.Compare():
                for left, right in zip([node.left, *node.comparators], node.comparators, strict=False):
                    yield from between(left, right, COMPARISONS)
            case ast.BoolOp():
                for left, right in zip(node.values, node.values[1:], strict=False):
                    yield from between(left, right, {" and ": " or ", " or ": " and "})
            case ast.BinOp():
                yield from between(node.left, node.right, ARITHMETIC)
            case ast.UnaryOp(op=ast.Not()):
                begin, end = span(node)
                yield begin, end, source[slice(*span(node.operand))]
            case ast.Constant(value=bool(value)):
                yield *span(node), str(not value)
            case ast.Constant(value=int(value)):
                yield *span(node), str(value + 1)
            case ast.If() | ast.While() | ast.IfExp():
                begin, end = span(node.test)
                yield begin, end, f"not ({source[begin:end]})"
            case ast.Raise():
                yield *span(node), "pass"
            case ast.Expr(value=ast.Call() | ast.Await()) | ast.AugAssign():
                yield *span(node), "pass"
            case ast.Return(value=ast.expr() as value) if not isinstance(value, ast.Constant):
                yield *span(node), "return None"
