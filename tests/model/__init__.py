"""The object model: futures, tasks, handles, loops, on stock asyncio and on Ouroloop."""
