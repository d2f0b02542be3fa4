"""The proxies' files work: real nginx and Caddy before the real API, and a signed webhook through each of them."""

import datetime
import http.client
import ssl
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from sqlalchemy import Engine, text

from tests.house.code import ROOT
from tests.support.api_process import free_port, served
from tests.support.tools import tool
from tests.support.webhook_sender import PATH, signature, wrapped

NAME = "tds.example.com"
#: Opens a connection to the proxy as a caller with this address of the loopback network.
Connect = Callable[[str], http.client.HTTPConnection]


@pytest.fixture
def api(database: str, tmp_path: Path) -> Iterator[int]:
    with served(database, tmp_path, TDS_PROXIES="1") as port:
        yield port


@contextmanager
def running(command: list[str], port: int, log: Path, **environ: str) -> Iterator[None]:
    with log.open("wb") as written:
        process = subprocess.Popen(command, stdout=written, stderr=written, env=environ or None)
        try:
            deadline = time.monotonic() + 20
            while not _listens(port):
                assert process.poll() is None and time.monotonic() < deadline, log.read_text()
                time.sleep(0.05)
            yield
        finally:
            process.terminate()
            process.wait(15)


def _listens(port: int) -> bool:
    probe = http.client.HTTPConnection("127.0.0.1", port, timeout=1)
    try:
        probe.connect()
    except OSError:
        return False
    probe.close()
    return True


def certificate(directory: Path) -> tuple[Path, Path]:
    """A self-signed certificate for `NAME`, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, NAME)])
    now = datetime.datetime.now(datetime.UTC)
    signed = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
        .serial_number(1).not_valid_before(now - datetime.timedelta(1)).not_valid_after(now + datetime.timedelta(1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(NAME)]), critical=False).sign(key, hashes.SHA256())
    )  # fmt: skip
    files = directory / "certificate.pem", directory / "key.pem"
    files[0].write_bytes(signed.public_bytes(serialization.Encoding.PEM))
    files[1].write_bytes(key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ))  # fmt: skip
    return files


def nginx_files(directory: Path, api: int, *, plain: int, encrypted: int) -> Path:
    """The main file of an nginx that includes deploy/nginx/tds.conf, with the ports and the certificate of a test."""
    shown, key = certificate(directory)
    ours = (ROOT / "deploy/nginx/tds.conf").read_text()
    for before, after in {
        "127.0.0.1:8800": f"127.0.0.1:{api}", "listen 80;": f"listen 127.0.0.1:{plain};", "listen [::]:80;": "",
        "listen 443 ssl": f"listen 127.0.0.1:{encrypted} ssl", "listen [::]:443 ssl http2;": "",
        f"/etc/letsencrypt/live/{NAME}/fullchain.pem": str(shown),
        f"/etc/letsencrypt/live/{NAME}/privkey.pem": str(key),
    }.items():  # fmt: skip
        assert before in ours
        ours = ours.replace(before, after)
    (directory / "tds.conf").write_text(ours)
    temporary = " ".join(f"{kind}_temp_path {directory}/{kind};" for kind in
                         ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))  # fmt: skip
    main = directory / "nginx.conf"
    main.write_text(
        f"pid {directory}/nginx.pid; daemon off; error_log stderr; events {{}}\n"
        f"http {{ access_log off; {temporary} include {directory}/tds.conf; }}\n"
    )
    return main


@contextmanager
def nginx_before(api: int, tmp_path: Path) -> Iterator[Connect]:
    plain, encrypted = free_port(), free_port()
    main = nginx_files(tmp_path, api, plain=plain, encrypted=encrypted)
    command = [tool("nginx", "Debian: nginx"), "-p", str(tmp_path), "-c", str(main)]
    checked = subprocess.run([*command, "-t"], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stderr
    assert "warn" not in checked.stderr
    trusting = ssl.create_default_context(cafile=str(tmp_path / "certificate.pem"))
    trusting.check_hostname = False

    def connect(address: str) -> http.client.HTTPConnection:
        return http.client.HTTPSConnection(
            "127.0.0.1", encrypted, context=trusting, timeout=10, source_address=(address, 0)
        )

    with running(command, encrypted, tmp_path / "nginx.log"):
        yield connect


@contextmanager
def caddy_before(api: int, tmp_path: Path) -> Iterator[Connect]:
    port, admin = free_port(), free_port()
    command = [
        tool("caddy", "Debian: caddy"),
        "run",
        "--adapter",
        "caddyfile",
        "--config",
        str(ROOT / "deploy/caddy/Caddyfile"),
    ]
    environ = {
        # Without a certificate, which only a name known everywhere gets.
        "PROXY_DOMAIN": f"http://{NAME}:{port}", "PROXY_UPSTREAM": f"127.0.0.1:{api}", "HOME": str(tmp_path),
        "CADDY_ADMIN": f"127.0.0.1:{admin}", "PROXY_HTTP_PORT": str(port),
    }  # fmt: skip

    def connect(address: str) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", port, timeout=10, source_address=(address, 0))

    with running(command, port, tmp_path / "caddy.log", **environ):
        yield connect


def ask(
    connect: Connect, method: str, path: str, body: bytes = b"", *, caller: str = "127.0.0.1", **headers: str
) -> int:
    """The status of one request."""
    connection = connect(caller)
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request(method, path, body or None, {"Host": NAME, "Content-Type": "application/json", **given})
    answer = connection.getresponse()
    answer.read()
    connection.close()
    return answer.status


def test_a_signed_webhook_comes_through_and_a_forged_one_tells_who_sent_it(
    api: int, tmp_path: Path, engine: Engine
) -> None:
    with nginx_before(api, tmp_path) as nginx, caddy_before(api, tmp_path) as caddy:
        for number, proxy in enumerate((nginx, caddy), start=7):
            send_both(proxy, engine, f"46000000000077{number}", caller=f"127.0.0.{number}")
            assert [ask(proxy, "GET", path) for path in ("/healthz", "/metrics", "/readyz")] == [200, 404, 404]
            # A proxy that has sent only part of it when TDS refuses and hangs up may not have read why.
            assert ask(proxy, "POST", PATH, b" " * 5_000_000) in (413, 502)


def send_both(proxy: Connect, engine: Engine, source_id: str, *, caller: str) -> None:
    """A webhook with its signature, which becomes an event, and one without, whose caller is written down."""
    body = wrapped(source_id)
    assert ask(proxy, "POST", PATH, body, X_Zoho_Webhook_Signature=signature(body)) == 202
    forged = {"X_Zoho_Webhook_Signature": "0" * 64, "X_Forwarded_For": "203.0.113.9"}
    assert ask(proxy, "POST", PATH, body, caller=caller, **forged) == 401
    with engine.connect() as connection:
        events = connection.execute(text("select source_id from tds_inbox_events")).scalars().all()
        callers = connection.execute(text("select remote_address from tds_rejected_deliveries")).scalars().all()
    assert source_id in events
    assert caller in callers, "the caller's address as the proxy saw it"
    assert "203.0.113.9" not in callers, "what a caller wrote is its own word"


def test_plain_http_is_led_to_tls_and_an_api_that_is_away_is_a_502(tmp_path: Path) -> None:
    with nginx_before(free_port(), tmp_path) as nginx:
        _plain_then_encrypted(nginx, tmp_path)


def _plain_then_encrypted(nginx: Connect, tmp_path: Path) -> None:
    plain = (tmp_path / "tds.conf").read_text().split("listen 127.0.0.1:")[1].split(";")[0]
    connection = http.client.HTTPConnection("127.0.0.1", int(plain), timeout=10)
    connection.request("GET", "/dashboard", headers={"Host": NAME})
    answer = connection.getresponse()
    assert (answer.status, answer.headers["Location"]) == (301, f"https://{NAME}/dashboard")
    connection.close()
    encrypted = nginx("127.0.0.1")
    encrypted.request("GET", "/healthz", headers={"Host": NAME})
    seen = encrypted.getresponse()
    assert (seen.status, "max-age" in seen.headers["Strict-Transport-Security"]) == (502, True)
    encrypted.close()
