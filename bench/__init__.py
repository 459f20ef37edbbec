"""Ouroloop measured side by side with asyncio, its other loops, and a bare epoll server."""
