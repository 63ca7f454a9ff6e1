"""The server: one page, and one address to ask at, for this machine alone.

Another site in the same browser could send requests here. It does not know the token in the
address; a name of its own that it lets point to this machine is seen in the header ``Host``; and
what it may not read (there is no CORS) it cannot have. A request to be answered is JSON of a
limited length.
"""

from __future__ import annotations

import hmac
import json
import os
import secrets
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from symdiff.errors import SymdiffError
from symdiff.report.document import policy

from .page import page, script
from .worker import Worker

__all__ = ["PORT", "Server", "ServerError"]

PORT = 8765

MOST_BYTES = 64 * 1024
"""Of a request."""

PATIENCE = 15.0
"""Seconds that a sender may be silent within a request."""


class ServerError(SymdiffError, OSError):
    """The server cannot start; the message says why."""


class Server(ThreadingHTTPServer):
    """The page of ``symdiff serve``.

    Parameters
    ----------
    port : int
        0 takes any that is free.
    worker : Worker, optional
        Who answers.

    Attributes
    ----------
    address : str
        What to type into a browser.
    """

    daemon_threads = True
    allow_reuse_address = os.name == "posix"  # elsewhere two servers could share a port

    def __init__(self, port: int = PORT, worker: Worker | None = None) -> None:
        self.token = secrets.token_urlsafe(18)
        self.worker = worker if worker is not None else Worker()
        try:
            super().__init__(("127.0.0.1", port), _Handler)
        except OSError as error:
            raise ServerError(
                f"port {port} cannot be used: {error.strerror or error}; give another one by "
                "--port, or --port 0 for any"
            ) from error

    @property
    def origins(self) -> set[str]:
        """Hosts that this server is called by."""
        return {f"{name}:{self.server_address[1]}" for name in ("127.0.0.1", "localhost")}

    @property
    def address(self) -> str:
        """What to type into a browser."""
        return f"http://127.0.0.1:{self.server_address[1]}/{self.token}/"

    def server_close(self) -> None:
        """Stop listening, and end who answers."""
        super().server_close()
        self.worker.close()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A browser that hangs up is no error."""


class _Handler(BaseHTTPRequestHandler):
    server: Server
    server_version = "symdiff"
    sys_version = ""
    timeout = PATIENCE

    def do_GET(self) -> None:
        if not self._welcome("/"):
            return
        content = f"{policy(script(), connect=chr(39) + 'self' + chr(39))}; frame-ancestors 'none'"
        self._send(HTTPStatus.OK, page(), "text/html", {"Content-Security-Policy": content})

    def do_POST(self) -> None:
        if not self._welcome("/ask"):
            return
        origin = self.headers.get("Origin")
        if origin is not None and origin.removeprefix("http://") not in self.server.origins:
            return self._refuse(HTTPStatus.FORBIDDEN, "another site asks")
        if self.headers.get("Sec-Fetch-Site", "same-origin") != "same-origin":
            return self._refuse(HTTPStatus.FORBIDDEN, "another site asks")
        if self.headers.get_content_type() != "application/json":
            return self._refuse(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "send JSON")
        length = self.headers.get("Content-Length", "")
        if not (length.isascii() and length.isdecimal()):
            return self._refuse(HTTPStatus.LENGTH_REQUIRED, "say how long it is")
        if len(length) > 9 or int(length) > MOST_BYTES:
            return self._refuse(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "this is too long")
        try:
            request = json.loads(self.rfile.read(int(length)))
        except (ValueError, RecursionError):
            return self._refuse(HTTPStatus.BAD_REQUEST, "this is no JSON")
        if not isinstance(request, dict):
            return self._refuse(HTTPStatus.BAD_REQUEST, "send an object")
        asked = f"{request.get('page', '')!s:.40}{request.get('action', '')!s:.10}"
        answer = self.server.worker.ask(request, asked)
        self._send(HTTPStatus.OK, json.dumps(answer), "application/json")

    def _welcome(self, place: str) -> bool:
        """Whether the request is for this server and knows its token."""
        if self.headers.get("Host", "") not in self.server.origins:
            self._refuse(HTTPStatus.MISDIRECTED_REQUEST, "this is another host")
            return False
        wanted = f"/{self.server.token}{place}"
        if not hmac.compare_digest(self.path.encode(), wanted.encode()):
            self._refuse(HTTPStatus.NOT_FOUND, "the address is the one that symdiff serve printed")
            return False
        return True

    def _refuse(self, status: HTTPStatus, message: str) -> None:
        self.close_connection = True
        self._send(status, message + "\n", "text/plain")

    def _send(
        self, status: HTTPStatus, text: str, kind: str, more: dict[str, str] | None = None
    ) -> None:
        body = text.encode("utf-8", errors="replace")
        self.send_response(status)
        headers = {
            "Content-Type": f"{kind}; charset=utf-8",
            "Content-Length": str(len(body)),
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "no-referrer",
            "Cache-Control": "no-store",
            "Cross-Origin-Resource-Policy": "same-origin",
            "Cross-Origin-Opener-Policy": "same-origin",
            **(more or {}),
        }
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: Any) -> None:
        """Say nothing: what others send does not belong on a terminal."""
