"""A network of this process's own, with nothing in it but 127.0.0.1: no test can reach anything else, by construction.

A browser offers every interface it has as an ICE candidate, and the studio answers checks from wherever they come (a
page on this machine is found that way). Only where there are no other interfaces does every check stay on loopback.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import socket
import struct
import sys

_CLONE_NEWNET = 0x40000000
_SIOCGIFFLAGS, _SIOCSIFFLAGS, _IFF_UP = 0x8913, 0x8914, 0x1


def isolate() -> bool:
    """Move this thread, and every thread and process it starts, to such a network; return False where that is refused.

    Needs Linux and root, as CI has.
    """
    if not sys.platform.startswith("linux") or os.geteuid() != 0:
        return False
    if ctypes.CDLL(None, use_errno=True).unshare(_CLONE_NEWNET) != 0:
        return False
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        asked = fcntl.ioctl(control, _SIOCGIFFLAGS, struct.pack("16sH14x", b"lo", 0))
        flags = struct.unpack("16sH14x", asked)[1]
        fcntl.ioctl(control, _SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", flags | _IFF_UP))
    return True
