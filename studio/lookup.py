"""Names to addresses, in a thread that nobody waits for.

In the loop's own pool a resolver that does not answer would take the encoders' threads, and hold up the studio's end.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import threading

MOST = 32
"""Look-ups at once: with a resolver that never answers, each of them holds a thread until it gives up."""
_seats = threading.BoundedSemaphore(MOST)


async def look_up(host: str, port: int) -> list[str]:
    """Return the addresses of a name, in the resolver's order; an address is its own. Cancelling is fine.

    Raises:
        OSError: There is no such name, or too many are being looked up.
    """
    try:
        return [str(ipaddress.ip_address(host))]
    except ValueError:
        pass  # a name, or something that only the resolver understands
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[list[str]] = loop.create_future()

    def tell(found: list[str], wrong: str) -> None:
        if answer.done():
            return
        if wrong:
            answer.set_exception(OSError(wrong))
        else:
            answer.set_result(found)

    def ask() -> None:
        found, wrong = [], ""
        try:
            found = [str(line[4][0]) for line in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]
        except (OSError, ValueError) as error:  # a name with a NUL, or too long, is a ValueError
            wrong = str(error)
        finally:
            _seats.release()
        if not loop.is_closed():
            loop.call_soon_threadsafe(tell, found, wrong)

    if not _seats.acquire(blocking=False):
        raise OSError("too many names are being looked up")
    threading.Thread(target=ask, name="look-up", daemon=True).start()
    return await answer
