"""How the pilots' routes are reached: the HTTP side of the small server."""

import json
from typing import Any

from tests.storing import Storing


class Handler(Storing):
    """Answers who shows the state's token, as the state says; what is stored is among its requests."""

    def do_PATCH(self) -> None:
        """Answer JSON."""
        self.do_POST()

    def keep(self, parts: dict[str, bytes]) -> int:
        """Note that a file came, and keep it."""
        self.state.requests.append("POST /store")
        return super().keep(parts)

    def answer(self, body: Any) -> None:
        """Answer JSON."""
        if self.headers["Authorization"] != f"Bearer {self.state.token}":
            self.send(401, b'{"detail": "the token does not hold"}')
            return
        status, answer = self.state.answer(self.command, self.path, body)
        self.send(status, b"" if answer is None else json.dumps(answer).encode())
