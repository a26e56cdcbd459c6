#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A stand-in for the Hugging Face Hub, with the faults that a network and a hostile server can have.

    hub.py ROOT [CERTIFICATE KEY]

serves ROOT/models/OWNER/NAME/REVISION/... as models: the API that tells what a revision has, and the files, of which
those that would be in Git LFS (*.bin, *.safetensors) are redirected to a second port, the "CDN". ROOT/ports gets the
numbers of both ports when it serves; ROOT/log one JSON object a request. With a certificate the Hub's port speaks TLS.

ROOT/faults.json, read again when it changes, says what goes wrong. Its keys are "OWNER/NAME" (the model), and
"OWNER/NAME api" and "OWNER/NAME FILE" (one thing of it). Values that are lists are used up, one element a request.

    model:  "token": "files" or "all" (what needs the token "good"), "gated": true (and says so),
            "siblings": [...] (more entries of the listing), "move": {"FILE": "HASH"} (a wrong hash in it)
    api:    "status": [...], "body": "raw text", "endless": true, "head": true (endless headers)
    FILE:   "status": [...], "cdn_status": [...], "retry_after": seconds, an HTTP date or a RateLimit,
            "break_at": [...] (bytes of the body, then the connection breaks), "stall_at": N (the same, then silence),
            "ignore_range": true, "etag": "...", "corrupt": [true, ...], "extra": N (bytes too many),
            "length": N (a wrong Content-Length), "short": N (bytes too few, and a clean end), "redirect": "URL"
"""
import functools
import hashlib
import http.server
import json
import os
import re
import ssl
import sys
import threading
import time
import urllib.parse

ROOT = sys.argv[1]
LOCK = threading.Lock()


class Faults:
    """faults.json as it is now; what has been used up of its lists is forgotten when the file changes."""

    def __init__(self):
        self.stamp, self.table, self.used = None, {}, {}

    def _refresh(self):
        path = os.path.join(ROOT, "faults.json")
        stamp = os.stat(path).st_mtime_ns if os.path.exists(path) else None
        if stamp != self.stamp:
            self.table = json.load(open(path)) if stamp else {}
            self.stamp, self.used = stamp, {}
        return stamp

    def get(self, key, name, default=None):
        with LOCK:
            self._refresh()
            value = self.table.get(key, {}).get(name, default)
            if not isinstance(value, list) or name == "siblings":
                return value
            n = self.used.get((key, name), 0)
            self.used[key, name] = n + 1
            return value[n] if n < len(value) else default

    def version(self):
        with LOCK:
            return self._refresh()


FAULTS = Faults()


def files_of(path):
    for at, _, files in sorted(os.walk(path)):
        for file in sorted(files):
            yield os.path.relpath(os.path.join(at, file), path)


def commit_of(model, revision):
    """The commit that a revision's files are; a revision may be the commit itself."""
    folder = os.path.join(ROOT, "models", model)
    for name in os.listdir(folder) if os.path.isdir(folder) else []:
        path, digest = os.path.join(folder, name), hashlib.sha1(model.encode())
        for file in files_of(path):
            digest.update((file + hashes(os.path.join(path, file))[0]).encode())
        if revision in (urllib.parse.unquote(name), digest.hexdigest()):
            return digest.hexdigest(), path
    return None, None


def is_lfs(name):
    return name.endswith((".bin", ".safetensors"))


@functools.lru_cache(None)
def hashes_at(path, _stamp):
    data = open(path, "rb").read()
    return hashlib.sha256(data).hexdigest(), hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


def hashes(path):
    return hashes_at(path, os.stat(path).st_mtime_ns)


def sibling(model, path, name):
    size = os.path.getsize(os.path.join(path, name))
    sha256, git = hashes(os.path.join(path, name))
    moved = FAULTS.get(model, "move", {}).get(name)
    entry = {"rfilename": name, "size": size, "blobId": git if is_lfs(name) or not moved else moved}
    if is_lfs(name):
        entry["lfs"] = {"sha256": moved or sha256, "size": size, "pointerSize": 134}
    return entry


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def send(self, code, body=b"", **headers):
        self.send_response(code)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), str(value))
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def fault(self, name, default=None):
        return FAULTS.get(self.key, name, default)

    def busy(self, name):
        """Answers with the next status of a list, if there is one."""
        code = self.fault(name)
        if code:
            after = self.fault("retry_after")
            header = "RateLimit" if str(after).startswith('"') else "Retry-After"
            self.send(code, b"busy", **({header: after} if after is not None else {}))
        return code

    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        where = "cdn" if self.server.is_cdn else "hub"
        with LOCK, open(os.path.join(ROOT, "log"), "a") as log:
            log.write(json.dumps({"where": where, "method": self.command, "path": self.path, "range":
                                  self.headers.get("Range"), "auth": self.headers.get("Authorization")}) + "\n")
        try:
            self.cdn() if self.server.is_cdn else self.hub()
        except (BrokenPipeError, ConnectionResetError, ssl.SSLError):
            self.close_connection = True

    # ---- The Hub ----

    def hub(self):
        path = urllib.parse.unquote(urllib.parse.urlparse(self.path).path)
        api = re.fullmatch(r"/api/models/([^/]+/[^/]+)/revision/(.+)", path)
        tree = re.fullmatch(r"/api/models/([^/]+/[^/]+)/tree/([^/]+)/?", path)
        file = re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path)
        if api or tree:
            self.api(*(api or tree).groups(), tree=bool(tree))
        elif file:
            self.resolve(*file.groups())
        else:
            self.send(404)

    def refused(self, model, what):
        needs = FAULTS.get(model, "token")
        gated = {"X-Error-Code": "GatedRepo"} if FAULTS.get(model, "gated") else {}
        if needs not in ("all", what) or self.headers.get("Authorization") == "Bearer good":
            return False
        if self.headers.get("Authorization"):
            self.send(403, b"", **gated, **{"X-Error-Message": "Access to model %s is restricted" % model})
        else:
            self.send(401, b"", **gated, **{"X-Error-Message": "Invalid username or password."})
        return True

    def api(self, model, revision, tree):
        self.key = model + " api"
        if self.busy("status") or self.refused(model, "api"):
            return
        if self.fault("endless"):
            self.endless()
        if self.fault("head"):
            self.endless_head()
        commit, path = commit_of(model, revision)
        if not os.path.isdir(os.path.join(ROOT, "models", model)):
            self.send(401, **{"X-Error-Message": "Invalid username or password."})
        elif not commit:
            self.send(404, **{"X-Error-Code": "RevisionNotFound", "X-Error-Message": "Invalid rev id: " + revision})
        elif tree:
            self.send(200, json.dumps([self.entry(sibling(model, path, f)) for f in files_of(path)]).encode())
        else:
            entries = [sibling(model, path, f) for f in files_of(path)] + FAULTS.get(model, "siblings", [])
            body = {"id": model, "sha": commit, "siblings": entries, "config": {"model_max_length": 10**30}}
            self.send(200, self.fault("body", json.dumps(body)).encode(), Content_Type="application/json")

    @staticmethod
    def entry(s):
        lfs = {"lfs": {"oid": s["lfs"]["sha256"], "size": s["size"], "pointerSize": 134}} if "lfs" in s else {}
        return {"type": "file", "path": s["rfilename"], "size": s["size"], "oid": s["blobId"], **lfs}

    def endless(self):
        self.send_response(200)
        self.end_headers()
        while True:
            self.wfile.write(b" " * 65536)

    def endless_head(self):
        self.send_response(200)
        self.flush_headers()
        while True:
            self.wfile.write(b"X-Long: %s\r\n" % (b"x" * 1000))

    def resolve(self, model, revision, name):
        self.key = "%s %s" % (model, name)
        commit, path = commit_of(model, revision)
        if self.busy("status") or self.refused(model, "files"):
            return
        if not commit or not os.path.isfile(os.path.join(path, name)):
            self.send(404, **{"X-Error-Code": "EntryNotFound"})
            return
        data = open(os.path.join(path, name), "rb").read()
        sha256, git = hashes(os.path.join(path, name))
        self.facts = {"X-Repo-Commit": commit}
        redirect = self.fault("redirect")
        if not redirect and is_lfs(name):
            self.facts.update({"X-Linked-Etag": '"%s"' % self.fault("etag", sha256), "X-Linked-Size": len(data)})
            redirect = "http://127.0.0.1:%d/%s?signature=secret" % (CDN.server_port, urllib.parse.quote(
                "%s/%s/%s" % (model, revision, name)))
        if redirect:
            self.send(302, b"Found. Redirecting", Location=redirect, **self.facts)
        else:
            self.facts["ETag"] = '"%s"' % self.fault("etag", git)
            self.body(data)

    # ---- The CDN ----

    def cdn(self):
        path = urllib.parse.unquote(urllib.parse.urlparse(self.path).path)
        owner, model, revision, name = path[1:].split("/", 3)
        model = "%s/%s" % (owner, model)
        self.key = "%s %s" % (model, name)
        if self.busy("cdn_status"):
            return
        if self.headers.get("Authorization"):
            self.send(400, b"a signed address takes no token")
            return
        _, path = commit_of(model, revision)
        self.facts = {"ETag": '"an-etag-of-its-own"'}
        self.body(open(os.path.join(path, name), "rb").read())

    def body(self, data):
        first, total = 0, len(data)
        wanted = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range") or "")
        if wanted and not self.fault("ignore_range"):
            first = int(wanted[1])
            if first >= total:
                self.send(416, Content_Range="bytes */%d" % total)
                return
        if self.fault("corrupt"):
            data = data[:-1] + bytes([data[-1] ^ 1])
        piece = data[first:] + b"x" * self.fault("extra", 0)
        piece = piece[:len(piece) - self.fault("short", 0)]
        partial = wanted and first
        self.send_response(206 if partial else 200)
        if partial:
            self.send_header("Content-Range", "bytes %d-%d/%d" % (first, total - 1, total))
        for header, value in self.facts.items():
            self.send_header(header, str(value))
        if len(piece) == total - first or self.fault("length"):
            self.send_header("Content-Length", str(self.fault("length", len(piece))))
        else:
            self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.deliver(piece)

    def deliver(self, piece):
        break_at, stall_at = self.fault("break_at"), self.fault("stall_at")
        end = min(x for x in (break_at, stall_at, len(piece)) if x is not None)
        self.wfile.write(piece[:end])
        self.wfile.flush()
        version = FAULTS.version()
        while stall_at is not None and FAULTS.version() == version:
            time.sleep(0.02)
        if end < len(piece) or break_at is not None:
            self.close_connection = True


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, is_cdn):
        super().__init__(("127.0.0.1", 0), Handler)
        self.is_cdn = is_cdn

    def handle_error(self, *_):
        pass


HUB, CDN = Server(False), Server(True)
if len(sys.argv) > 2:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(sys.argv[2], sys.argv[3])
    HUB.socket = context.wrap_socket(HUB.socket, server_side=True)
threading.Thread(target=CDN.serve_forever, daemon=True).start()
threading.Thread(target=HUB.serve_forever, daemon=True).start()
with open(os.path.join(ROOT, "ports.tmp"), "w") as ports:
    ports.write("%d %d\n" % (HUB.server_port, CDN.server_port))
os.rename(os.path.join(ROOT, "ports.tmp"), os.path.join(ROOT, "ports"))
parent = os.getppid()
while os.getppid() == parent:  # nobody has to end it
    time.sleep(0.2)
