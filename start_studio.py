"""The command line's front door: `python3 start_studio.py` sets everything up and starts the studio."""

from studio.bootstrap import ensure

if __name__ == "__main__":
    ensure()
    from studio.cli import main

    raise SystemExit(main())
