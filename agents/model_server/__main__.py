"""Runs the embedded model server: `python -m agents.model_server`.

In: the command line. Out: a served port. Kept: nothing. Fails: with a sentence and exit code 1
where the encoders were not prepared or the port is taken.
"""

import argparse
import os
import sys
from pathlib import Path

from agents.encoding import EncodingError
from agents.model_server.server import serve


def main() -> int:
    """Run from the command line; return the exit code."""
    var = Path(os.environ.get("PENSTOCK_VAR", Path(__file__).resolve().parents[2] / "var"))
    parser = argparse.ArgumentParser(description="Serve the embedded models.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one (default)")
    parser.add_argument("--models", type=Path, default=var / "models")
    parser.add_argument("--run-file", type=Path, default=var / "run" / "models.json")
    chosen = parser.parse_args()
    try:
        serve(chosen.host, chosen.port, chosen.models, chosen.run_file)
    except (EncodingError, OSError) as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
