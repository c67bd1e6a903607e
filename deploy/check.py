"""Try deploy/nginx.conf for real: `python -m deploy.check [--pages lens,atlas]`.

Starts nginx with a certificate of its own making and two processes of the app behind it, all on
loopback and on free ports, opens pages in Chromium through https and looks at what comes back: the
headers, the console, a change of a select box over the socket, an upload that is too large, what is
closed; whether each visitor stays with one process, and goes to the other when that ends. Needs
nginx, openssl, Chromium and playwright. Exit status 0 if all is well, else 1 with what is not.
"""

import argparse
import contextlib
import http.client
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

from benchmarks.served import served

HERE = Path(__file__).parent
PAGES = ("", "data", "lens", "geometry", "atlas", "routing_drift", "experts", "curves", "slices",
         "interventions", "attribution", "compare", "bench", "relations", "impact", "paper", "lab",
         "own", "story", "report")  # fmt: skip
HEADERS = {
    "content-security-policy": "frame-ancestors 'none'",
    "strict-transport-security": "max-age=31536000",
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
}
CLOSED = ("/_stcore/metrics", "/_stcore/agent/openapi.json")
READY = """() => document.querySelector('[data-test-script-state="notRunning"]')
  && document.querySelector('.st-key-global-bar, .st-key-story')
  && [...document.querySelectorAll('[class*="st-key-chart-"]')]
       .every(c => c.querySelector('.js-plotly-plot .main-svg'))"""
SEEN = """() => ({
  script: document.querySelector('[data-test-script-state]')?.dataset.testScriptState,
  charts: [...document.querySelectorAll('[class*="st-key-chart-"]')]
       .map(c => [c.className.match(/st-key-chart-\\S+/)[0], !!c.querySelector('.main-svg')]),
  text: document.body.innerText.slice(0, 500)})"""
UPSTREAM = re.compile(r"    server 127\.0\.0\.1:8501;\n.*?(?=})", re.DOTALL)
PROCESSES, VISITORS = 2, 24
PATIENCE = 120_000  # ms
MAIN = """{user}worker_processes 1;
daemon off;
pid {place}/nginx.pid;
error_log {place}/error.log;
events {{ worker_connections 512; }}
http {{
    include /etc/nginx/mime.types;
    log_format whom '$aesm2_visitor $upstream_addr';
    access_log {place}/access.log whom;
    client_body_temp_path {place}/body; proxy_temp_path {place}/proxy;
    fastcgi_temp_path {place}/f; uwsgi_temp_path {place}/u; scgi_temp_path {place}/s;
    include {place}/app.conf;
}}
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Start everything, look, and tell what is wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pages", default=",".join(PAGES))
    pages = parser.parse_args(arguments).pages.split(",")
    with tempfile.TemporaryDirectory(prefix="aesm2-proxy-") as folder:
        place = Path(folder)
        (place / "serving.toml").write_text('[people]\nwithout_login = "analyst"\n', "utf-8")
        own = {"AESM2_SERVING": str(place / "serving.toml"), "HOME": folder,
               "AESM2_LAB": f"{folder}/lab", "AESM2_DATA": f"{folder}/data"}  # fmt: skip
        with contextlib.ExitStack() as stack:
            servers = [stack.enter_context(served(more=own)) for _ in range(PROCESSES)]
            url = stack.enter_context(proxy(place, [server.url for server in servers]))
            problems = [*requests(url), *looked_at(url, pages)]
            problems += stays(url, place / "access.log", servers[0].pid)
    for problem in problems:
        print(problem, file=sys.stderr)
    print(f"{len(pages)} pages through {url.partition(':')[0]}: {len(problems)} problems")
    return 1 if problems else 0


@contextlib.contextmanager
def proxy(place: Path, apps: Sequence[str]) -> Iterator[str]:
    """Run nginx with the configuration, but for ports, name and certificate, before the apps."""
    port, plain = _free(), _free()
    certificate(place)
    text = (HERE / "nginx.conf").read_text("utf-8")
    behind = "".join(f"    server {app.removeprefix('http://')};\n" for app in apps)
    text, found = UPSTREAM.subn(behind, text)
    if found != 1:
        raise RuntimeError("nginx.conf names its servers in another way")
    for old, new in (
        ("listen 443", f"listen 127.0.0.1:{port}"),
        ("listen 80;", f"listen 127.0.0.1:{plain};"), ("aesm2.example", "127.0.0.1"),
        ("/etc/ssl/aesm2", str(place)),
    ):  # fmt: skip
        if old not in text:
            raise RuntimeError(f"nginx.conf holds no '{old}' any more")
        text = text.replace(old, new)
    (place / "app.conf").write_text(text, "utf-8")
    user = "user root;\n" if os.geteuid() == 0 else ""  # who else may not write what it buffers
    (place / "nginx.conf").write_text(MAIN.format(place=place, user=user), "utf-8")
    command = ["nginx", "-p", str(place), "-c", str(place / "nginx.conf")]
    with subprocess.Popen([*command, "-e", str(place / "error.log")]) as nginx:
        try:
            _wait(port, nginx, place / "error.log")
            yield f"https://127.0.0.1:{port}"
        finally:
            nginx.terminate()


def certificate(place: Path) -> None:
    """Make a certificate for 127.0.0.1 that nobody but this check trusts."""
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj",
         "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout",
         str(place / "key.pem"), "-out", str(place / "fullchain.pem")],
        check=True, capture_output=True,
    )  # fmt: skip


def requests(url: str) -> Iterator[str]:
    """Ask without a browser; tell what is not as it should be."""
    status, headers, _ = ask(url, "GET", "/")
    if status != 200:
        yield f"/: status {status}"
    for name, part in HEADERS.items():
        if part not in headers.get(name, ""):
            yield f"/: {name} is {headers.get(name)!r}"
    for path in CLOSED:
        if (status := ask(url, "GET", path)[0]) != 404:
            yield f"{path}: status {status}, not 404"
    status, headers, _ = ask(url, "GET", "/_stcore/health")
    if "secure" not in headers.get("set-cookie", "secure").lower():
        yield "a cookie without Secure"
    status, headers, said = ask(url, "PUT", "/_stcore/upload_file/a/b", length=60 * 2**20)
    if status != 413 or "too large" not in said or "content-security-policy" not in headers:
        yield f"an upload of 60 MB: status {status}, {said!r}"


def stays(url: str, log: Path, process: int) -> Iterator[str]:
    """End one of the processes; tell which visitors went astray before, or got no answer then."""
    visitors = []
    for _ in range(VISITORS):
        cookie = re.search(r"aesm2_visitor=(\w+)", said := _cookies(url, ""))
        if cookie is None or not {"Secure", "HttpOnly", "SameSite=Lax"} <= set(said.split("; ")):
            yield f"/: the first page sets {said!r}"
            return
        visitors.append(cookie[1])
        if "aesm2_visitor" in (again := _cookies(url, cookie[1])):
            yield f"/: a visitor who has a cookie gets {again!r}"
        ask(url, "GET", "/_stcore/host-config", visitor=cookie[1])
    to = defaultdict(set)
    for line in log.read_text("utf-8").splitlines():
        visitor, _, server = line.partition(" ")
        to[visitor].add(server)
    if astray := [visitor for visitor in visitors if len(to[visitor]) > 1]:
        yield f"{len(astray)} of {VISITORS} visitors changed from one process to another"
    if len(set.union(*(to[visitor] for visitor in visitors))) < PROCESSES:
        yield f"{VISITORS} visitors all went to one process of {PROCESSES}"
    os.kill(process, signal.SIGKILL)
    for visitor in visitors:
        if (status := ask(url, "GET", "/_stcore/health", visitor=visitor)[0]) != 200:
            yield f"after a process ended, a visitor got status {status}"


def _cookies(url: str, visitor: str) -> str:
    return ask(url, "GET", "/", visitor=visitor)[1].get("set-cookie", "")


def ask(
    url: str, method: str, path: str, length: int = 0, visitor: str = ""
) -> tuple[int, dict[str, str], str]:
    """Send a request, of a length that is announced and not sent; return what comes back."""
    host = url.removeprefix("https://")
    trusting = ssl.create_default_context()
    trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
    connection = http.client.HTTPSConnection(host, timeout=30, context=trusting)
    with contextlib.closing(connection):
        connection.putrequest(method, path)
        if length:
            connection.putheader("Content-Length", str(length))
        if visitor:
            connection.putheader("Cookie", f"aesm2_visitor={visitor}")
        connection.endheaders()
        answer = connection.getresponse()
        headers = {name.lower(): value for name, value in answer.getheaders()}
        return answer.status, headers, answer.read(500).decode(errors="replace")


def looked_at(url: str, pages: Sequence[str]) -> Iterator[str]:
    """Open pages in a browser; tell what its console or the page complains of."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"),
            args=["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"],
        )
        page = browser.new_context(ignore_https_errors=True).new_page()
        page.set_default_timeout(PATIENCE)
        said: list[str] = []
        page.on("console", lambda m: said.append(f"{m.text} ({m.location.get('url')})")
                if m.type == "error" else None)  # fmt: skip
        page.on("pageerror", lambda error: said.append(str(error)))
        for path in pages:
            began = time.monotonic()
            page.goto(f"{url}/{path}")
            try:
                until(page, READY)
            except TimeoutError as error:
                yield str(error)
            yield from (f"/{path}: {line}" for line in said if not _probe(line, path))
            said.clear()
            if page.locator(".stException").count():
                yield f"/{path}: an exception on the page"
            print(f"/{path}: {time.monotonic() - began:.0f} s", flush=True)
        try:
            choose(page, url)
        except TimeoutError as error:
            yield f"/: a select box changed nothing: {error}"
        browser.close()


def until(page: Page, true: str) -> None:
    """Wait until a function holds on the page; playwright's own way to wait needs eval there."""
    end = time.monotonic() + PATIENCE / 1000
    while not page.evaluate(true):
        if time.monotonic() > end:
            raise TimeoutError(f"{page.url} was never ready: {page.evaluate(SEEN)}")
        page.wait_for_timeout(100)


def _probe(line: str, path: str) -> bool:
    """Whether this is Streamlit looking for its server below the path of a deep link first."""
    return bool(path) and "404" in line and f"/{path}/_stcore/" in line


def choose(page: Page, url: str) -> None:
    """Choose another task, until the address tells it; that comes back over the socket."""
    page.goto(url)
    until(page, READY)
    page.locator(".st-key-view-task input").click()
    page.get_by_role("option").first.click()
    until(page, "() => new URLSearchParams(location.search).get('task')")
    until(page, READY)


def _free() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def _wait(port: int, nginx: "subprocess.Popen[bytes]", log: Path) -> None:
    until = time.monotonic() + 30
    while time.monotonic() < until and nginx.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.1)
    raise RuntimeError(f"nginx did not start: {log.read_text() if log.exists() else ''}")


if __name__ == "__main__":
    sys.exit(main())
