"""asyncpg (transports) and psycopg (add_reader, add_writer) with a PostgreSQL."""

import asyncio
import random
from collections.abc import Iterator

import pytest

from .conftest import HOST, Certificates
from .postgres import USER, Postgres, running_postgres

ROWS = [(number, random.Random(number).randbytes(number * 7)) for number in range(500)]


@pytest.fixture(scope="module")
def postgres(certificates: Certificates) -> Iterator[Postgres]:
    with running_postgres(certificates) as running:
        yield running


class TestAsyncpg:
    @pytest.fixture
    def asyncpg(self):
        return pytest.importorskip("asyncpg")

    @pytest.fixture(params=["unix", "tls"])
    def where(self, request, postgres, certificates):
        where = {"user": USER, "database": "postgres", "port": postgres.port}
        if request.param == "unix":
            return {**where, "host": postgres.folder}
        return {**where, "host": HOST, "ssl": certificates.client()}

    def test_rows_come_back_as_they_were_written(self, run, asyncpg, where):
        async def main():
            connection = await asyncpg.connect(**where)
            await connection.execute("CREATE TEMP TABLE rows (number int, data bytea)")
            await connection.executemany("INSERT INTO rows VALUES ($1, $2)", ROWS[:250])
            await connection.copy_records_to_table("rows", records=ROWS[250:])
            rows = await connection.fetch("SELECT number, data FROM rows ORDER BY number")
            async with connection.transaction():
                streamed = [row[0] async for row in connection.cursor("SELECT number FROM rows")]
            await connection.close()
            return [tuple(row) for row in rows], sorted(streamed)

        rows, streamed = run(main())
        assert rows == ROWS
        assert streamed == [number for number, _ in ROWS]

    def test_a_query_that_takes_too_long_is_cancelled_and_the_connection_lives(
        self, run, asyncpg, where
    ):
        async def main():
            connection = await asyncpg.connect(**where)
            with pytest.raises(asyncio.TimeoutError):
                await connection.fetch("SELECT pg_sleep(50)", timeout=0.05)
            answer = await connection.fetchval("SELECT 6 * 7")
            await connection.close()
            return answer

        assert run(main()) == 42

    def test_a_pool_serves_many_tasks(self, run, asyncpg, where):
        async def ask(pool, number):
            async with pool.acquire() as connection, connection.transaction():
                return await connection.fetchval("SELECT $1::int * 2", number)

        async def main():
            async with asyncpg.create_pool(**where, min_size=1, max_size=3) as pool:
                return await asyncio.gather(*(ask(pool, number) for number in range(30)))

        assert run(main()) == [number * 2 for number in range(30)]

    def test_notifications_arrive(self, run, asyncpg, where):
        async def main():
            heard = asyncio.Queue()
            listener, speaker = await asyncio.gather(*(asyncpg.connect(**where) for _ in range(2)))
            await listener.add_listener("news", lambda *said: heard.put_nowait(said[2:]))
            for text in ("one", "two"):
                await speaker.execute("SELECT pg_notify('news', $1)", text)
            said = [await heard.get(), await heard.get()]
            await listener.close()
            await speaker.close()
            return said

        assert run(main()) == [("news", "one"), ("news", "two")]


class TestPsycopg:
    @pytest.fixture
    def psycopg(self):
        return pytest.importorskip("psycopg")

    @pytest.fixture
    def where(self, postgres):
        return f"host={postgres.folder} port={postgres.port} user={USER} dbname=postgres"

    def test_rows_come_back_as_they_were_written(self, run, psycopg, where):
        async def main():
            async with await psycopg.AsyncConnection.connect(where) as connection:
                cursor = connection.cursor()
                await cursor.execute("CREATE TEMP TABLE rows (number int, data bytea)")
                await cursor.executemany("INSERT INTO rows VALUES (%s, %s)", ROWS[:250])
                async with cursor.copy("COPY rows FROM STDIN") as copy:
                    for row in ROWS[250:]:
                        await copy.write_row(row)
                await cursor.execute("SELECT number, data FROM rows ORDER BY number")
                return [row async for row in cursor]

        assert run(main()) == ROWS

    def test_a_cancelled_query_leaves_the_connection_alive(self, run, psycopg, where):
        async def main():
            async with await psycopg.AsyncConnection.connect(where, autocommit=True) as connection:
                with pytest.raises(asyncio.TimeoutError):
                    await asyncio.wait_for(connection.execute("SELECT pg_sleep(50)"), 0.05)
                return await (await connection.execute("SELECT 6 * 7")).fetchone()

        assert run(main()) == (42,)

    def test_notifications_arrive(self, run, psycopg, where):
        async def main():
            connect = psycopg.AsyncConnection.connect
            async with (
                await connect(where, autocommit=True) as listener,
                await connect(where, autocommit=True) as speaker,
            ):
                await listener.execute("LISTEN news")
                for text in ("one", "two"):
                    await speaker.execute("SELECT pg_notify('news', %s)", [text])
                heard = listener.notifies(stop_after=2)
                return [said.payload async for said in heard]

        assert run(main()) == ["one", "two"]
