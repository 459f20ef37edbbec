"""aiosqlite: a thread that does the work and tells the loop."""

import asyncio
import random

import pytest

aiosqlite = pytest.importorskip("aiosqlite")

ROWS = [(number, random.Random(number).randbytes(number)) for number in range(300)]


def test_rows_come_back_as_they_were_written(run, tmp_path):
    async def main():
        async with aiosqlite.connect(tmp_path / "rows") as database:
            await database.execute("CREATE TABLE rows (number int, data blob)")
            await asyncio.gather(
                *(database.execute("INSERT INTO rows VALUES (?, ?)", row) for row in ROWS)
            )
            await database.commit()
        async with (
            aiosqlite.connect(tmp_path / "rows") as database,
            database.execute("SELECT number, data FROM rows ORDER BY number") as cursor,
        ):
            return [row async for row in cursor]

    assert run(main()) == ROWS


def test_an_error_of_the_data_base_reaches_who_asked(run):
    async def main():
        async with aiosqlite.connect(":memory:") as database:
            with pytest.raises(aiosqlite.OperationalError, match="nowhere"):
                await database.execute("SELECT * FROM nowhere")
            async with database.execute("SELECT 6 * 7") as cursor:
                return await cursor.fetchone()

    assert run(main()) == (42,)
