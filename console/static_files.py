"""Files that pages need: kept by browsers for long under an address with their hash; components for any origin."""

from hashlib import sha256
from pathlib import Path

from starlette.responses import Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

FOR_LONG = "public, max-age=31536000, immutable"
ASK_AGAIN = "public, max-age=60, must-revalidate"


class Versioned(StaticFiles):
    """Our own files. `url` names one with its hash, so that a changed file is fetched at once."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory=directory)
        self._root = directory
        self._urls: dict[str, str] = {}

    def url(self, name: str) -> str:
        """The address of a file of the folder."""
        if name not in self._urls:
            digest = sha256((self._root / name).read_bytes()).hexdigest()[:12]
            self._urls[name] = f"/static/{name}?v={digest}"
        return self._urls[name]

    async def get_response(self, path: str, scope: Scope) -> Response:
        """The file, to be kept for long where the address has its hash."""
        answer = await super().get_response(path, scope)
        answer.headers["Cache-Control"] = FOR_LONG if scope.get("query_string") else ASK_AGAIN
        return answer


class Components(StaticFiles):
    """Web components, which applications on other origins load from here as modules."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory=directory)

    async def get_response(self, path: str, scope: Scope) -> Response:
        """The module, readable from everywhere: it holds no secret."""
        answer = await super().get_response(path, scope)
        answer.headers["Cache-Control"] = ASK_AGAIN
        answer.headers["Access-Control-Allow-Origin"] = "*"
        return answer
