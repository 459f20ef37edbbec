"""Every program of `examples/`, run on stock asyncio and on Ouroloop."""
