"""What was certainly not handed over is tried again; what may be on its way never is, and the doctor names it."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from sqlalchemy import select

from hotline.cli.doctor import check_carrier
from hotline.core import clock
from hotline.core.errors import HotlineError, Unavailable
from hotline.core.permissions import SYSTEM
from hotline.telephony.actions import AGAIN_AFTER, STUCK_AFTER, queue_text, send_waiting
from hotline.telephony.models import MessageState, TextMessage
from hotline.telephony.ports import CarrierRefused, HandOverUnknown
from hotline.telephony.twilio_gateway import TwilioTextMessages
from hotline.wiring import Installation

TAKEN = b'{"sid": "SM1", "status": "queued"}'
WRONG_NUMBER = b'{"code": 21211, "message": "Invalid To", "status": 400}'


def answer(status: int, body: bytes, *, told: int | None = None) -> bytes:
    """Return an answer of HTTP; `told` is a length that the head tells and the body may not have."""
    length = len(body) if told is None else told
    return b"HTTP/1.1 %d X\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % (status, length) + body


class CarrierOnTheLoopback:
    """A way to api.twilio.com that ends here: a proxy that speaks TLS under that name with its own certificate."""

    def __init__(self, folder: Path) -> None:
        """Listen on a free port of the loopback; nothing leaves the machine."""
        self.says = answer(201, TAKEN)
        self.tunnel = b"HTTP/1.1 200 OK\r\n\r\n"
        self.silent_s = 0.0
        #: How many messages came through to the carrier as a whole.
        self.taken = 0
        self.certificate = folder / "carrier.pem"
        self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._certify(folder / "carrier.key")
        self._quiet = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def close(self) -> None:
        """Stop listening."""
        self._quiet.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(10)

    def _certify(self, key_file: Path) -> None:
        key, name = (
            ec.generate_private_key(ec.SECP256R1()),
            x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")]),
        )
        today = clock.now()
        made = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(today - timedelta(days=1))
            .not_valid_after(today + timedelta(days=1))
            .add_extension(x509.SubjectAlternativeName([x509.DNSName("api.twilio.com")]), critical=False)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(key, hashes.SHA256())
        )
        pem = serialization.Encoding.PEM
        self.certificate.write_bytes(made.public_bytes(pem))
        key_file.write_bytes(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
        self._tls.load_cert_chain(self.certificate, key_file)

    def _serve(self) -> None:
        while True:
            try:
                plain, _ = self._listener.accept()
            except OSError:
                return
            with plain:
                plain.settimeout(10)
                try:
                    self._talk(plain)
                except OSError:
                    continue  # whoever called does not like our certificate

    def _talk(self, plain: socket.socket) -> None:
        plain.recv(65_536)
        plain.sendall(self.tunnel)
        if b"200" not in self.tunnel:
            return
        with self._tls.wrap_socket(plain, server_side=True) as secret:
            heard = b""
            while b"Body=" not in heard:
                heard += secret.recv(65_536)
            self.taken += 1
            self._quiet.wait(self.silent_s)
            secret.sendall(self.says)


@pytest.fixture
def way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[CarrierOnTheLoopback]:
    made = CarrierOnTheLoopback(tmp_path)
    for name in ("https_proxy", "no_proxy", "NO_PROXY", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HTTPS_PROXY", made.address)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(made.certificate))
    yield made
    made.close()


@pytest.fixture
def carrier() -> TwilioTextMessages:
    return TwilioTextMessages(account="AC0", token="t", sender="+8600000000000")


def send(carrier: TwilioTextMessages) -> str:
    return carrier.send(to="13900001234", body="x", key="k-1")


def test_a_message_that_was_taken_has_the_carriers_name(way: CarrierOnTheLoopback, carrier: TwilioTextMessages) -> None:
    assert send(carrier) == "SM1"
    assert way.taken == 1


@pytest.mark.parametrize(
    ("says", "error"),
    [
        (b"", HandOverUnknown),  # broke off after the hand-over
        (answer(201, TAKEN[:9], told=len(TAKEN)), HandOverUnknown),  # broke off in the middle of "taken"
        (answer(201, b"<html>"), HandOverUnknown),
        (answer(500, b"{}"), HandOverUnknown),
        (answer(502, b"<html>"), HandOverUnknown),
        (answer(503, b"{}"), Unavailable),
        (answer(429, b"{}"), Unavailable),
        (answer(401, b'{"code": 20003, "message": "Authenticate", "status": 401}'), Unavailable),
        (answer(400, WRONG_NUMBER), CarrierRefused),
    ],
)
def test_what_the_carrier_says_or_leaves_unsaid(
    way: CarrierOnTheLoopback, carrier: TwilioTextMessages, says: bytes, error: type[HotlineError]
) -> None:
    way.says = says
    with pytest.raises(error) as told:
        send(carrier)
    assert type(told.value) is error
    assert way.taken == 1
    assert "13900001234" not in str(told.value)


def test_a_proxy_that_does_not_let_us_through_took_nothing(
    way: CarrierOnTheLoopback, carrier: TwilioTextMessages
) -> None:
    way.tunnel = b"HTTP/1.1 502 Bad Gateway\r\n\r\n"
    with pytest.raises(Unavailable):
        send(carrier)
    assert way.taken == 0


def test_somebody_who_is_not_the_carrier_gets_nothing(
    way: CarrierOnTheLoopback, carrier: TwilioTextMessages, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("REQUESTS_CA_BUNDLE")
    with pytest.raises(Unavailable):
        send(carrier)
    assert way.taken == 0


def test_a_carrier_that_never_answers_is_not_asked_again(
    way: CarrierOnTheLoopback, carrier: TwilioTextMessages, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hotline.telephony.twilio_gateway._PATIENCE_S", 0.5)
    way.silent_s = 2
    with pytest.raises(HandOverUnknown):
        send(carrier)
    assert way.taken == 1


def test_a_message_that_may_have_arrived_is_never_sent_twice_and_the_doctor_names_it(
    tools: Installation, now: datetime, way: CarrierOnTheLoopback, carrier: TwilioTextMessages
) -> None:
    with tools.db.begin() as session:
        for key in ("k-1", "k-2"):
            queue_text(session, key=key, purpose="test", to="13900001234", body=key, by=SYSTEM, now=now)
    way.says = b""
    assert send_waiting(tools.db.begin, carrier, now=now, limit=1) == 0
    way.says = answer(201, TAKEN)
    for wait in (timedelta(0), *AGAIN_AFTER, timedelta(days=1)):
        send_waiting(tools.db.begin, carrier, now=now + wait)
    assert way.taken == 2, "the other message is not kept back, and the first is not repeated"
    with tools.db.read() as session:
        states = {row.key: row.state for row in session.execute(select(TextMessage.key, TextMessage.state))}
    assert states == {"k-1": MessageState.SENDING, "k-2": MessageState.SENT}
    named = list(check_carrier(tools, now + STUCK_AFTER + timedelta(seconds=1)))
    assert len(named) == 1
    assert "不能确定短信是否已发出" in named[0].what
