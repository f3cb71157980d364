"""Pictures that a network failed to make: what came out is no number, as half precision or a driver's fault makes it.

One of them is no reason to end a visit: the beat shows the avatar's own picture instead. Too many in a row are: the
visitor would look at a face that never speaks, and gets a sentence. Knows no network.
"""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
from numpy.typing import NDArray

from studio.engines.device import is_finite
from studio.errors import EngineFault

log = logging.getLogger(__name__)

MOST = 25
"""Pictures in a row that may be missing: a second of speech."""


class Blanks:
    """Of one visit; used by one thread at a time.

    Args:
        what: The network's name, for the log.
    """

    def __init__(self, what: str) -> None:
        self._what = what
        self._in_a_row = 0

    def takes(self, picture: NDArray[Any] | None) -> bool:
        """Tell whether a picture can be shown: it is there, and all of it are numbers.

        Raises:
            EngineFault: It is one too many that cannot.
        """
        if picture is not None and (picture.dtype == np.uint8 or is_finite(picture)):
            self._in_a_row = 0
            return True
        self._in_a_row += 1
        if self._in_a_row > MOST:
            raise EngineFault(detail=f"{self._what} answered {self._in_a_row} times with something that is no number")
        if self._in_a_row == 1:
            log.warning("%s answered with something that is no number: the avatar's own picture is shown", self._what)
        return False
