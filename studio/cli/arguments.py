"""The command line's grammar: sub-commands and their options; without a sub-command it is ``serve``."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import studio
from studio.cli.clientoptions import EPILOG, add_options

COMMANDS = ("serve", "render", "client", "prepare", "check", "export", "build", "test")
EXAMPLES = """examples:
  start_studio.py                                     start the studio on http://localhost:8080
  start_studio.py --port 9000 --verbose
  start_studio.py prepare --image me.jpg --id me      turn a photo into an avatar and say how good it is
  start_studio.py render --avatar mira --audio speech.wav --output talk.mp4
  start_studio.py client --avatar mira --audio_path speech.wav --report measured.html
  start_studio.py check                               what runs here, what is missing, and the remedy
"""


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """Read the arguments; exits with code 2 and a sentence when they are wrong.

    Args:
        argv: Without the program's name.
    """
    words = list(argv)
    if not words or (words[0] not in COMMANDS and words[0] not in ("-h", "--help", "--version")):
        words.insert(0, "serve")
    theirs = words[1:] if words[0] == "test" else []  # pytest's, options too
    arguments = _parser().parse_args(words[: len(words) - len(theirs)])
    arguments.arguments = theirs
    return arguments


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="start_studio.py",
        description="Give a voice a face: serve avatars to browsers, render films, prepare portraits.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"Avatar Studio {studio.__version__}")
    parser.set_defaults(verbose=False, log_format="text")
    commands = parser.add_subparsers(dest="command", metavar="command", required=True)
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--config", type=Path, metavar="FILE", help="configuration (default: configs/avatars.yaml)")
    common.add_argument("--verbose", action="store_true", help="log more")
    common.add_argument("--log-format", choices=("text", "json"), default="text", help="json is for machines")
    _serve(commands.add_parser("serve", parents=[common], help="start the studio (what happens without a command)"))
    _render(commands.add_parser("render", parents=[common], help="an avatar speaks a sound file into an mp4"))
    client = commands.add_parser(
        "client",
        parents=[common],
        help="visit a studio and measure what it sends",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_options(client)
    _prepare(commands.add_parser("prepare", parents=[common], help="turn a portrait into an avatar, with a report"))
    commands.add_parser("check", parents=[common], help="what runs here, what is missing, and the remedy")
    _export(commands.add_parser("export", parents=[common], help="make ONNX networks of weights released for PyTorch"))
    _build(commands.add_parser("build", parents=[common], help="make TensorRT engines of a checkpoint for this GPU"))
    tests = commands.add_parser("test", help="run the tests; further arguments go to pytest")
    tests.add_argument("arguments", nargs=argparse.REMAINDER, metavar="...")
    return parser


def _serve(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--host", help="address to listen on; 0.0.0.0 for other machines")
    parser.add_argument("--port", type=_port, help="port; 0 for any free one")
    parser.add_argument("--tls-cert", metavar="FILE", help="PEM certificate with its chain: serve HTTPS")
    parser.add_argument("--tls-key", metavar="FILE", help="its PEM key (default: in the same file)")
    parser.add_argument("--skip-checks", action="store_true", help="start without looking at the machine first")


def _render(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--avatar", required=True, metavar="ID", help="an avatar of the configuration")
    parser.add_argument("--audio", required=True, type=Path, metavar="FILE", help="any sound file")
    parser.add_argument("--output", type=Path, metavar="OUT.mp4", help="the film")
    parser.add_argument(
        "--mode",
        choices=("live", "offline"),
        default="live",
        help="offline: the engine hears the whole sound first, as upstream's films do (ditto, musetalk)",
    )
    parser.add_argument(
        "--debug-curves",
        type=Path,
        metavar="OUT.png",
        help="plot sound, mouth, eyes and head over time",
    )


def _prepare(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--id", required=True, help="of the new avatar, or of one of the configuration")
    parser.add_argument("--image", type=Path, metavar="FILE", help="photo, or folder of a drawing; makes a new avatar")
    parser.add_argument("--name", default="", help="what the page will call it (default: made from the id)")
    parser.add_argument("--sheet", type=Path, metavar="OUT.png", help="draw a sheet of what the avatar can do")


def _build(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("engine", choices=("ditto", "musetalk"), help="whose networks")
    parser.add_argument(
        "--checkpoint", type=Path, metavar="DIR", help="folder of the networks (default: the engine's own)"
    )


def _export(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("engine", choices=("musetalk",), help="whose networks")
    parser.add_argument("--weights", required=True, type=Path, metavar="DIR", help="folder of the released files")
    parser.add_argument("--output", type=Path, metavar="DIR", help="where they go (default: checkpoints/musetalk)")
    parser.add_argument(
        "--allow-small-networks", action="store_true", help="take networks that are far too small: stand-ins for tests"
    )


def _port(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) > 65_535:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port (0 to 65535)")
    return int(text)
