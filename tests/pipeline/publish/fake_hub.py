"""A Hugging Face hub on localhost: as much of its API as an upload by huggingface_hub, and loading by datasets, use.

Every file is a "regular" one, sent within the commit; or, with `large_files`, tars go through git LFS.
"""

import base64
import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit

TOKEN = "hf_of_the_test"
SHA = "0" * 40
"""The one revision that there is."""
RANGE = re.compile(r"bytes=(\d+)-(\d*)")
RESOLVE = re.compile(r"/(?:datasets/)?([^/]+/[^/]+)/resolve/[^/]+/(.+)")


@dataclass
class Hub:
    """What the hub holds, and how it behaves."""

    url: str = ""
    repositories: dict[str, dict[str, bytes]] = field(default_factory=dict)
    """Name to path to content."""
    private: set[str] = field(default_factory=set)
    commits: list[list[str]] = field(default_factory=list)
    """What each commit did: "+ path" or "- path"."""
    forbidden_paths: set[str] = field(default_factory=set)
    """Commits with one of these are refused."""
    large_files: bool = False
    large: dict[str, bytes] = field(default_factory=dict)
    """sha256 to content that came through LFS."""
    transfers: int = 0


@contextmanager
def fake_hub() -> Iterator[Hub]:
    """Serve an empty hub while the block runs."""
    hub = Hub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("BoundHandler", (_Handler,), {"hub": hub}))
    hub.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    hub: Hub

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        path = unquote(urlsplit(self.path).path)
        if not self._is_authorised():
            return
        if match := RESOLVE.fullmatch(path):
            self._send_file(*match.groups())
            return
        repository, _, tree = re.sub(r"/revision/\w+$", "", _in_api(path)).partition("/tree/")
        if repository not in self.hub.repositories:
            self._answer(404, {"error": "Repository not found"}, {"X-Error-Code": "RepoNotFound"})
        elif tree:
            files = self.hub.repositories[repository]
            folder = tree.partition("/")[2]
            inside = _inside(files, folder, is_deep="recursive=true" in urlsplit(self.path).query.lower())
            if inside:
                self._answer(200, inside)
            else:
                self._answer(404, {"error": "no such folder"}, {"X-Error-Code": "EntryNotFound"})
        else:
            private = repository in self.hub.private
            siblings = [{"rfilename": name} for name in self.hub.repositories[repository]]
            self._answer(200, {"id": repository, "private": private, "sha": SHA, "siblings": siblings, "tags": []})

    def do_HEAD(self) -> None:
        self.do_GET()

    def _send_file(self, repository: str, name: str) -> None:
        content = self.hub.repositories.get(repository, {}).get(name)
        if content is None:
            self._answer(404, {"error": "Entry not found"}, {"X-Error-Code": "EntryNotFound"})
            return
        headers = {"ETag": f'"{_git_oid(content)}"', "X-Repo-Commit": SHA}
        if wanted := RANGE.fullmatch(self.headers.get("Range", "")):
            first, last = int(wanted[1]), min(int(wanted[2] or len(content)), len(content) - 1)
            headers["Content-Range"] = f"bytes {first}-{last}/{len(content)}"
            content = content[first : last + 1]
        headers["Content-Length"] = str(len(content))
        self.send_response(206 if wanted else 200)
        for header, value in headers.items():
            self.send_header(header, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content)

    def do_PUT(self) -> None:
        content = self._body()
        self.hub.large[hashlib.sha256(content).hexdigest()] = content
        self.hub.transfers += 1
        self._answer(200, {})

    def do_POST(self) -> None:
        path = urlsplit(self.path).path
        body = self._body()
        if not self._is_authorised():
            return
        if path == "/api/repos/create":
            self._create(json.loads(body))
        elif path == "/api/validate-yaml":
            self._answer(200, {"errors": [], "warnings": []})
        elif "/paths-info/" in path:
            self._paths_info(_in_api(path).partition("/paths-info/")[0], body)
        elif path.endswith("/preupload/main"):
            self._preupload(_in_api(path).split("/preupload/")[0], json.loads(body))
        elif path.endswith("/info/lfs/objects/batch"):
            self._batch(json.loads(body))
        elif path.endswith("/commit/main"):
            self._commit(_in_api(path).split("/commit/")[0], body)
        else:
            self._answer(404, {"error": f"no such place: {path}"})

    def _create(self, wanted: dict[str, str | None]) -> None:
        name = f"{wanted['organization']}/{wanted['name']}"
        if wanted["organization"] != "me":
            self._answer(403, {"error": f'You don\'t have the rights to create a dataset under "{name}"'})
            return
        status = 409 if name in self.hub.repositories else 200
        if status == 200:
            self.hub.repositories[name] = {".gitattributes": b""}
            if wanted.get("visibility") == "private":
                self.hub.private.add(name)
        folder = "datasets/" if wanted.get("type") == "dataset" else ""
        self._answer(status, {"url": f"{self.hub.url}/{folder}{name}", "error": "You already created this repo"})

    def _paths_info(self, repository: str, body: bytes) -> None:
        files = self.hub.repositories.get(repository, {})
        wanted = parse_qs(body.decode()).get("paths", []) if not body.startswith(b"{") else json.loads(body)["paths"]
        folders = [name for name in wanted if any(path.startswith(f"{name}/") for path in files)]
        entries = [_entry(name, files[name]) for name in wanted if name in files]
        self._answer(200, [*entries, *map(_folder, folders)])

    def _preupload(self, repository: str, wanted: dict[str, list[dict[str, str]]]) -> None:
        there = self.hub.repositories[repository]
        files = []
        for each in wanted["files"]:
            large = self.hub.large_files and each["path"].endswith(".tar")
            content = there.get(each["path"])
            digest = None if content is None else _sha256(content) if large else _git_oid(content)
            mode = "lfs" if large else "regular"
            files.append({"path": each["path"], "uploadMode": mode, "shouldIgnore": False, "oid": digest})
        self._answer(200, {"files": files})

    def _batch(self, wanted: dict[str, list[dict[str, object]]]) -> None:
        objects = []
        for each in wanted["objects"]:
            actions = {"upload": {"href": f"{self.hub.url}/large/{each['oid']}"}}
            objects.append(each | ({} if each["oid"] in self.hub.large else {"actions": actions}))
        self._answer(200, {"transfer": "basic", "objects": objects})

    def _commit(self, repository: str, body: bytes) -> None:
        operations = [json.loads(line) for line in body.splitlines()]
        changes: dict[str, bytes | None] = {}
        for operation in operations:
            value = operation["value"]
            if operation["key"] == "file":
                changes[value["path"]] = base64.b64decode(value["content"])
            elif operation["key"] == "lfsFile":
                changes[value["path"]] = self.hub.large[value["oid"]]
            elif operation["key"] == "deletedFile":
                changes[value["path"]] = None
        if self.hub.forbidden_paths & changes.keys():
            self._answer(403, {"error": "Forbidden: pass a token with write access"})
            return
        files = self.hub.repositories[repository]
        for path, content in changes.items():
            if content is None:
                del files[path]
            else:
                files[path] = content
        self.hub.commits.append([f"{'-' if content is None else '+'} {path}" for path, content in changes.items()])
        oid = f"{len(self.hub.commits):040x}"
        self._answer(200, {"commitUrl": f"{self.hub.url}/datasets/{repository}/commit/{oid}", "commitOid": oid})

    def _is_authorised(self) -> bool:
        if self.headers.get("Authorization") == f"Bearer {TOKEN}":
            return True
        self._answer(401, {"error": "Invalid username or password."})
        return False

    def _body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def _answer(self, status: int, content: object, headers: dict[str, str] | None = None) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


def _inside(files: dict[str, bytes], folder: str, is_deep: bool) -> list[dict[str, object]]:
    """The entries of a folder, of those below it too if it is listed deep."""
    prefix = f"{folder}/" if folder else ""
    below = {name.removeprefix(prefix): name for name in files if name.startswith(prefix)}
    folders = {name.partition("/")[0] for name in below if "/" in name}
    here = [_entry(name, files[name]) for short, name in below.items() if is_deep or "/" not in short]
    return [*here, *(_folder(prefix + name) for name in sorted(folders))]


def _folder(path: str) -> dict[str, object]:
    return {"type": "directory", "path": path, "size": 0, "oid": SHA}


def _in_api(path: str) -> str:
    """The path without the part that says whether it is of a data set or a model."""
    return re.sub(r"^/api/(datasets|models)/", "", path)


def _entry(path: str, content: bytes) -> dict[str, object]:
    return {"type": "file", "path": path, "size": len(content), "oid": _git_oid(content)}


def _git_oid(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
