"""Files that pages need: kept by browsers for long under an address with their hash; components for any origin."""

import os
from hashlib import sha256
from pathlib import Path

from starlette.responses import FileResponse, Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

FOR_LONG = "public, max-age=31536000, immutable"
ASK_AGAIN = "public, max-age=60, must-revalidate"


class _Kept(StaticFiles):
    """Files of ours, which are few and small, from memory.

    From the disk, each answer that is not read would hold an open file, and a thread while it is opened.
    """

    def __init__(self, directory: Path) -> None:
        super().__init__(directory=directory)
        self._kept: dict[str, tuple[float, bytes]] = {}  # by path: when it was changed last, and what it holds

    def file_response(
        self, full_path: str | os.PathLike[str], stat_result: os.stat_result, scope: Scope, status_code: int = 200
    ) -> Response:
        """The file, or that it has not changed."""
        answer = super().file_response(full_path, stat_result, scope, status_code)
        if not isinstance(answer, FileResponse):
            return answer
        name = os.fspath(full_path)
        changed, content = self._kept.get(name, (0.0, b""))
        if changed != stat_result.st_mtime:
            content = Path(name).read_bytes()
            self._kept[name] = (stat_result.st_mtime, content)
        headers = {
            key: value for key, value in answer.headers.items() if key not in {"accept-ranges", "content-length"}
        }
        return Response(content, status_code, headers)


class Versioned(_Kept):
    """Our own files. `url` names one with its hash, so that a changed file is fetched at once."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
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


class Components(_Kept):
    """Web components, which applications on other origins load from here as modules."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        """The module, readable from everywhere: it holds no secret."""
        answer = await super().get_response(path, scope)
        answer.headers["Cache-Control"] = ASK_AGAIN
        answer.headers["Access-Control-Allow-Origin"] = "*"
        return answer
