"""The sandbox company as a process of its own, so that what is measured does not share its processor time.

Prints its address on one line and serves until it is killed.
"""

from __future__ import annotations

import socket
import sys
from pathlib import Path

import uvicorn

from ps_qb_pipeline.sandbox.books.app import BooksOptions, create_app


def main() -> None:
    """Serve a company of the country that the first argument names, in the file of the second."""
    path = Path(sys.argv[2]) if len(sys.argv) > 2 else None
    app = create_app(BooksOptions(company=sys.argv[1], path=path))
    listener = socket.create_server(("127.0.0.1", 0))
    print(f"http://127.0.0.1:{listener.getsockname()[1]}", flush=True)
    uvicorn.Server(uvicorn.Config(app, log_level="error")).run(sockets=[listener])


if __name__ == "__main__":
    main()
