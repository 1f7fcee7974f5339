"""Threads, shields, concurrency and throttles, on asyncio and trio alike."""
