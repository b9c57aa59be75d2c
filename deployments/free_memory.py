"""Returns freed memory to the operating system.

glibc keeps what was freed between blocks that are in use, in an arena for every thread: after large
requests, or hundreds of jobs, some megabytes that look as if something leaked.
"""

import asyncio
import ctypes

EVERY_S = 5.0


async def give_back_memory(every_s: float = EVERY_S) -> None:
    """Do so now and then; runs until it is cancelled. Other C libraries than glibc do it alone."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    while trim is not None:
        await asyncio.sleep(every_s)
        await asyncio.to_thread(trim, 0)  # without Python's interpreter, for a few milliseconds
