"""The files of our pages: style, script and icon."""

from importlib.resources import files

from fastapi.responses import Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

YEAR = 365 * 86400


class Assets(StaticFiles):
    """Files that browsers keep: their addresses change with their content."""

    def __init__(self) -> None:
        super().__init__(directory=str(files("diracx_api.ui") / "static"))

    async def get_response(self, path: str, scope: Scope) -> Response:
        """The file."""
        answer = await super().get_response(path, scope)
        answer.headers["Cache-Control"] = f"public, max-age={YEAR}, immutable"
        answer.headers["X-Content-Type-Options"] = "nosniff"
        return answer
