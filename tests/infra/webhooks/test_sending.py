"""One try: to the address that was checked, by the name in the certificate, without redirects, in bounded time."""

import asyncio
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from infra.webhooks.sending import Sender, Try
from tests.infra.webhooks.receiver import Receiver, receiving

HOST = "hooks.example.com"


def send(*answers: int | None, **options: Any) -> tuple[Try, Receiver]:
    """A try, and the receiver that it went to."""

    async def whole() -> tuple[Try, Receiver]:
        async with receiving(*answers) as receiver:
            sender = Sender(**{"allow_private": True, "timeout_s": 0.3, **options})
            return await sender.send(receiver.url, {"webhook-id": "m1"}, b"{}"), receiver

    return asyncio.run(whole())


@pytest.mark.parametrize("status", [200, 204, 299])
def test_any_answer_of_2xx_is_a_delivery(status: int) -> None:
    tried, receiver = send(status)
    assert (tried.delivered, tried.status_code, tried.error) == (True, status, None)
    (request,) = receiver.received
    assert request.line == "POST /hook HTTP/1.1"
    assert (request.body, request.headers["webhook-id"]) == (b"{}", "m1")
    assert request.headers["host"] == receiver.url.split("/")[2]


@pytest.mark.parametrize("status", [301, 302, 307, 308, 400, 404, 410, 500])
def test_everything_else_is_none_and_redirects_are_not_followed(status: int) -> None:
    tried, receiver = send(status)
    assert (tried.delivered, tried.status_code, tried.error) == (False, status, f"answered {status}")
    assert len(receiver.received) == 1


def test_a_receiver_that_does_not_answer_is_given_up() -> None:
    tried, _ = send(None)
    assert (tried.delivered, tried.status_code) == (False, None)
    assert "no answer within" in (tried.error or "")


def test_a_private_address_is_not_even_connected_to() -> None:
    tried, receiver = send(200, allow_private=False)
    assert tried.error
    assert receiver.received == []


def test_a_refused_connection_is_told() -> None:
    tried = asyncio.run(Sender(allow_private=True).send("http://127.0.0.1:1/", {}, b""))
    assert (tried.delivered, tried.status_code) == (False, None)
    assert tried.error


def certificate(folder: Path) -> tuple[ssl.SSLContext, Path]:
    """A server's TLS for HOST, and the certificate that it is known by."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, HOST)])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(HOST)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    file = folder / "server.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    file.write_bytes(private + made.public_bytes(serialization.Encoding.PEM))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    return context, file


def test_the_certificate_must_be_for_the_name_although_the_address_is_connected_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tls, authority = certificate(tmp_path)

    async def whole() -> tuple[Try, Try, Receiver]:
        async with receiving(200, tls=tls) as receiver:

            async def resolve(*_: Any, **__: Any) -> str:
                return "127.0.0.1"

            monkeypatch.setattr("infra.webhooks.sending.resolve", resolve)
            sender = Sender(timeout_s=5)
            sender._tls.load_verify_locations(authority)
            port = receiver.url.split(":")[2]
            right = await sender.send(f"https://{HOST}:{port}", {}, b"{}")
            wrong = await sender.send(f"https://other.example.com:{port}", {}, b"{}")
            return right, wrong, receiver

    right, wrong, receiver = asyncio.run(whole())
    assert right.delivered, right
    assert not wrong.delivered
    assert "TLS" in (wrong.error or "")
    assert len(receiver.received) == 1
    assert receiver.received[0].headers["host"].startswith(f"{HOST}:")
