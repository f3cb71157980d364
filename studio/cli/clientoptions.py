"""The options of ``client``, apart from it: the grammar is read where what the client needs may be missing."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from studio.client.order import MAX_TIMEOUT, TIMEOUT, TRANSPORTS

EPILOG = """exit codes:
  0    every verdict is good
  1    a verdict is not
  2    nothing could be measured: wrong options, no server, refused, no picture
  3    the stream ended early: stalled, lost, or broken off; what came was measured
  130  stopped by Ctrl-C; what came was measured
"""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the client's options; those that existing clients write with ``_`` may be written with ``-`` too."""
    add = parser.add_argument
    add(
        "--server", default="http://localhost:8080", metavar="URL", help="http, https, ws or wss (default: %(default)s)"
    )
    add("--client_id", "--client-id", metavar="ID", type=_client_id, help="name in /ws/{client_id} (default: random)")
    add(
        "--audio_path", "--audio-path", metavar="F", help="sound: a file here, which is sent, or a path of the server's"
    )
    add("--source_path", "--source-path", metavar="F", help="portrait, likewise; without it an avatar speaks")
    add("--avatar", metavar="ID", help="of the studio's gallery (default: the first)")
    add("--transport", choices=TRANSPORTS, default="webrtc", help="frames over a WebSocket: binary, json")
    add(
        "--timeout",
        type=_Number(1, MAX_TIMEOUT),
        default=TIMEOUT,
        metavar="S",
        help="the longest stream (default: %(default)g)",
    )
    add("--engine", metavar="NAME", help="for a portrait (default: the server's choice)")
    add("--frame-scale", "--frame_scale", type=_Number(0.1, 1), metavar="X", help="of the pictures' sides, 0.1 to 1")
    add("--sampling-timesteps", "--sampling_timesteps", type=int, metavar="N", help="of diffusion engines, 5 to 100")
    add(
        "--chunk-config",
        "--chunk_config",
        type=_chunks,
        metavar="A,B,C",
        help="past, present, future pictures of a chunk",
    )
    add("--save_frames", "--save-frames", type=Path, metavar="DIR", help="keep every picture there")
    add("--record-file", "--record_file", type=Path, metavar="OUT", help="record a film: .webm or .mp4")
    add("--json", type=Path, metavar="OUT.json", help="write the numbers")
    add("--report", type=Path, metavar="OUT.html", help="write a page with plots")
    add("--tls-ca", metavar="FILE", help="PEM certificate that the server's is, or comes from")
    add("--token-file", "--token_file", type=Path, metavar="FILE", help="token to send, where the studio wants one")
    add("--insecure", action="store_true", help="believe any certificate")


class _Number:
    """A number between two others, for argparse."""

    def __init__(self, low: float, high: float) -> None:
        self._low, self._high = low, high

    def __call__(self, text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = float("nan")
        if not self._low <= value <= self._high:
            raise argparse.ArgumentTypeError(f"{text!r} is no number from {self._low:g} to {self._high:g}")
        return value


def _chunks(text: str) -> Sequence[int]:
    parts = text.split(",")
    if len(parts) != 3 or not all(part.strip().isdecimal() and 0 < int(part) <= 64 for part in parts):
        raise argparse.ArgumentTypeError(f"{text!r} is not three whole numbers from 1 to 64, such as 3,5,2")
    return [int(part) for part in parts]


def _client_id(text: str) -> str:
    if not 0 < len(text) <= 128 or not text.isprintable() or text in (".", ".."):
        raise argparse.ArgumentTypeError(f"{text[:40]!r} is no name: up to 128 printable characters")
    return text
