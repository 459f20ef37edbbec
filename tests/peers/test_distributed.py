"""dask.distributed: a scheduler, workers and a client on one loop."""

import pytest

distributed = pytest.importorskip("distributed")


def test_work_is_spread_and_comes_back(run):
    async def main():
        async with (
            distributed.LocalCluster(
                n_workers=2,
                threads_per_worker=1,
                processes=False,
                protocol="tcp://",
                dashboard_address=None,
                asynchronous=True,
            ) as cluster,
            distributed.Client(cluster, asynchronous=True) as client,
        ):
            parts = client.map(lambda number: bytes([number]) * 10_000, range(40))
            whole = client.submit(b"".join, parts)
            wrong = client.submit(lambda: 1 / 0)
            with pytest.raises(ZeroDivisionError):
                await wrong
            return await whole, len(await client.run(lambda: None))

    assert run(main()) == (b"".join(bytes([number]) * 10_000 for number in range(40)), 2)
