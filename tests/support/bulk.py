"""Many rows at once, for what must not grow with them."""

from sqlalchemy import Connection, Table, text

HISTORY = {"id": "'h' || i", "delivery": "'d' || i", "asked_by": "'U' || i % 1000", "status": "'withdrawn'"}
HISTORY |= dict.fromkeys(("open_target", "held_device", "next_at", "publish_at"), "NULL")
RECORD = {"seq": "-i", "request_id": "'h' || i", "event": "'withdrawn'"}
"""What each row of history has of its own; the rest is as in one that the bot wrote."""


def multiply(connection: Connection, table: Table, own: dict[str, str], rows: int) -> None:
    """Add copies of one row; `own`: SQL of what differs, where `i` counts from 1."""
    numbers = {
        "sqlite": f"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {rows})",  # noqa: S608
        "postgresql": f"WITH n(i) AS (SELECT generate_series(1, {rows}))",
    }
    key, names = next(iter(table.primary_key)).name, ", ".join(table.c.keys())
    values = ", ".join(own.get(column.name, f"one.{column.name}") for column in table.c)
    one = f"(SELECT * FROM {table.name} ORDER BY {key} LIMIT 1) AS one"  # noqa: S608  our own names
    begin = f"INSERT INTO {table.name} ({names}) {numbers[connection.dialect.name]}"
    connection.execute(text(f"{begin} SELECT {values} FROM n, {one}"))  # noqa: S608  as above
