"""Functions called in other threads: executors and ``to_thread``, on both loops."""
