"""What a handler or the worker runs finds its rows by an index, however long the history is."""

import re
from typing import Any

from bot.store import requests, sign_ins, tables
from bot.store.database import Database
from bot.store.requests import Queue
from sqlalchemy import event, text
from tests.support.bot import Bot
from tests.support.bulk import HISTORY, RECORD, multiply
from tests.unit.store.conftest import owner
from tests.unit.store.rows import MEI, NOW

ROWS = 100_000


async def test_no_statement_reads_a_whole_table(database: Database, url: str):
    ran: dict[str, Any] = {}
    for engine in (database.engine, database.reader):
        event.listen(engine, "before_cursor_execute", lambda *given: ran.setdefault(given[2], given[3]))
    bot = Bot(database)
    id_ = await bot.done()
    for step in (bot.publish, bot.reveal, bot.publish):
        await step(id_)
    await bot.withdraw(await bot.pending())
    for queue in Queue:
        claim = {"queue": queue, "now": NOW, "lease": bot.deps.timing.lease, "limit": 16}
        await database.run(lambda tx, claim=claim: len(requests.claim(tx, **claim)))
        await database.read(lambda connection, queue=queue: requests.next_due(connection, queue))
    await database.read(lambda c: requests.backlog(c, now=NOW))
    await database.read(lambda c: requests.recent_requests(c, {MEI}, database.audit_log, limit=20))
    await database.read(lambda c: requests.count_requests(c, {MEI}))
    await database.read(lambda c: sign_ins.sign_ins_older(c, than=NOW, limit=100))
    await database.run(lambda tx: sign_ins.sweep_links(tx, now=NOW))
    with owner(url) as connection:
        multiply(connection, tables.requests, HISTORY, ROWS)
        multiply(connection, tables.audit, RECORD, ROWS)
        if not database.is_sqlite:  # which knows no more of its rows unless it is asked to
            connection.execute(text("ANALYZE"))
        explain = "EXPLAIN QUERY PLAN " if database.is_sqlite else "EXPLAIN "
        plans = {
            statement: str(connection.exec_driver_sql(explain + statement, values).all())
            for statement, values in ran.items()
            if re.match("SELECT (?!pg_)|UPDATE|DELETE|WITH", statement)
        }
    assert len(plans) > 15
    newest = "ORDER BY audit.seq DESC"  # reads one row from the end, which SQLite calls a scan
    scan = r"'SCAN (requests|audit)'" if database.is_sqlite else r"Seq Scan on (requests|audit)"
    scans = {statement: plan for statement, plan in plans.items() if re.search(scan, plan)}
    assert [statement for statement in scans if newest not in statement] == []
