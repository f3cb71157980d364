"""The studio with an encoder of its own for each viewer of a broadcast, for `tests.bench.viewers` to compare with.

Everything else is the studio's: one render for all, the same encoders and settings, the same packets and sending.

Usage: python -m tests.bench.separate serve --config ... (the studio's own command line)
"""

from __future__ import annotations

import sys
from unittest import mock

from aiortc.rtcrtpparameters import RTCRtpCodecParameters

from studio import cli, viewers
from studio.broadcast import Broadcast, Keyframes, _Encoding
from studio.encode import BeatCoder, make_encoder
from studio.outlet import PacketTrack


class Separate(Broadcast):
    """Encodes for each viewer anew."""

    def join(self, codec: RTCRtpCodecParameters, track: PacketTrack) -> Keyframes:
        """Send to a track what an encoder makes for it alone."""
        self.was_watched = True
        coder = BeatCoder(self._stats, self._media.scale)
        coder.use(track.kind, make_encoder(codec, self._media))
        encoding = _Encoding(track.kind, coder)
        encoding.add(track)
        self._encodings = {**self._encodings, f"{codec.mimeType} {track.id}": encoding}
        return encoding.keyframes


def main() -> int:
    """Run the studio's command line with separate encoders."""
    with mock.patch.object(viewers, "Broadcast", Separate):
        return cli.main(sys.argv[1:])


if __name__ == "__main__":
    raise SystemExit(main())
