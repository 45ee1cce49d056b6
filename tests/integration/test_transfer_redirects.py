"""Where a download is sent on to, who may see its credentials, and headers that never end."""

import base64
import ssl
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from skymend.core.errors import ProductError, RetryableError
from skymend.sources.transfer import Remote, TransferOptions, download
from tests.transfer_case import FAST, Tokens


class Hosts(BaseHTTPRequestHandler):
    """Redirects to another port, or back and forth; keeps what Authorization it saw."""

    seen: list

    def do_GET(self):
        self.seen.append((self.path, self.headers.get("Authorization")))
        target = self.targets.get(self.path)
        self.send_response(302 if target else 200)
        body = b"" if target else b"content"
        if target:
            self.send_header("Location", target)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def hosts():
    """Two servers of different ports: different hosts in the sense of credentials."""
    servers = []
    for _ in range(2):
        handler = type("Handler", (Hosts,), {"seen": [], "targets": {}})
        server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append((f"http://127.0.0.1:{server.server_port}", handler, server))
    yield servers
    for *_, server in servers:
        server.shutdown()
        server.server_close()


def test_authorization_stays_with_its_host(hosts, tmp_path):
    (first, here, _), (second, there, _) = hosts
    here.targets |= {"/a": f"{second}/b", "/same": "/c"}
    download(Remote(f"{first}/a", "p", "a"), tmp_path, signer=Tokens(), options=FAST)
    download(Remote(f"{first}/same", "p", "c"), tmp_path, signer=Tokens(), options=FAST)
    assert there.seen == [("/b", None)]
    assert [auth for _, auth in here.seen] == ["Bearer token-0"] * 3
    trusted = Remote(f"{first}/a", "p", "d", trusted_hosts=("127.0.0.1",))
    download(trusted, tmp_path, signer=Tokens(), options=FAST)
    assert there.seen[-1] == ("/b", "Bearer token-0")


def test_a_proxy_of_the_environment(hosts, tmp_path, monkeypatch):
    (first, here, _), (_, there, server) = hosts
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    download(Remote("http://far.invalid/x", "p", "a"), tmp_path, options=FAST)
    assert there.seen == [("http://far.invalid/x", None)]
    download(Remote(f"{first}/y", "p", "b"), tmp_path, options=FAST)
    assert here.seen == [("/y", None)]


def test_the_login_of_a_proxy_stands_in_its_address():
    from skymend.sources.transfer.connections import pools

    proxied = pools("user:p%40ss@proxy:3128")
    assert proxied.proxy.url == "http://user:p%40ss@proxy:3128"
    basic = base64.b64encode(b"user:p@ss").decode()
    assert proxied.proxy_headers == {"proxy-authorization": f"Basic {basic}"}


@pytest.mark.parametrize("target", ["file:///etc/passwd", "ftp://h/x", "/loop"])
def test_redirects_that_are_not_followed(hosts, tmp_path, target):
    (first, here, _), _ = hosts
    here.targets["/loop"] = target
    with pytest.raises(ProductError, match="redirect"):
        download(Remote(f"{first}/loop", "p", "a"), tmp_path, options=FAST)


@pytest.mark.parametrize("target", ["http://127.0.0.1:99999999/x", "http://[::1/x"])
def test_a_redirect_that_is_no_address_is_one_sentence(hosts, tmp_path, target):
    (first, here, _), _ = hosts
    here.targets["/odd"] = target
    with pytest.raises(ProductError, match="as safe"):
        download(Remote(f"{first}/odd", "p", "a"), tmp_path, options=FAST)


def test_an_address_that_cannot_be_read_is_one_sentence(tmp_path):
    with pytest.raises(ProductError, match="the address of a file"):
        download(Remote("http://127.0.0.1:99999999/x", "p", "a"), tmp_path, options=FAST)


def test_the_usual_port_is_the_same_host():
    from skymend.sources.transfer.access import _place

    assert _place("https://h/a") == _place("https://h:443/b") != _place("https://h:8443/a")


def test_https_with_its_own_authority_and_no_way_down(hosts, tmp_path):
    import trustme

    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    handler = type("Handler", (Hosts,), {"seen": [], "targets": {"/down": f"{hosts[0][0]}/x"}})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"https://127.0.0.1:{server.server_port}"
    certs = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(certs)
    trusting = TransferOptions(attempts=1, backoff_s=0.01, ca_certs=certs)
    try:
        assert download(Remote(f"{url}/a", "p", "a"), tmp_path, options=trusting).bytes == 7
        with pytest.raises(ProductError, match="as safe"):
            download(Remote(f"{url}/down", "p", "b"), tmp_path, options=trusting)
        with pytest.raises(RetryableError, match="certificate"):
            download(Remote(f"{url}/a", "p", "c"), tmp_path, options=FAST)
    finally:
        server.shutdown()
        server.server_close()


def test_headers_that_trickle_end_at_the_wall(tmp_path):
    """A byte now and then keeps every stall timeout content; the wall timeout is not fooled."""
    import socket

    listener = socket.create_server(("127.0.0.1", 0))
    stop = threading.Event()

    def trickle():
        while not stop.is_set():
            sock, _ = listener.accept()
            with sock:
                try:
                    sock.sendall(b"HTTP/1.1 200 OK\r\n")
                    while not stop.wait(0.1):
                        sock.sendall(b"X")
                except OSError:
                    continue

    threading.Thread(target=trickle, daemon=True).start()
    start = time.monotonic()
    options = TransferOptions(stall_s=1.0, wall_s=1.5)
    wanted = Remote(f"http://127.0.0.1:{listener.getsockname()[1]}/x", "p", "a")
    with pytest.raises(RetryableError, match="wall timeout"):
        download(wanted, tmp_path, options=options)
    assert time.monotonic() - start < 4
    stop.set()
    listener.close()
