"""Several QUIC connections on one UDP socket, each to another name."""

from __future__ import annotations

import socket
import time
from dataclasses import dataclass, field

from aioquic.buffer import Buffer
from aioquic.h3.connection import H3Connection
from aioquic.h3.events import DataReceived
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.connection import QuicConnection
from aioquic.quic.events import ConnectionTerminated, HandshakeCompleted
from aioquic.quic.packet import pull_quic_header

from tests.harness.certificates import Certificates
from tests.harness.waiting import patience


@dataclass(slots=True)
class _Asking:
    name: str
    path: str
    quic: QuicConnection
    http: H3Connection | None = None
    body: bytes = b""
    outcome: str | int | None = None
    stream: int = field(default=-1)


class SharedSocket:
    """One socket; `run` asks over it with a connection for each name."""

    def __init__(self, port: int, certificates: Certificates) -> None:
        self._there = ("127.0.0.1", port)
        self._certificates = certificates
        self._sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._sock.bind(("127.0.0.1", 0))

    def run(self, paths: dict[str, str], seconds: float = 20.0) -> dict[str, str | int]:
        """Ask each name for its path, all at a time: the body, or the error code of a close."""
        asking = [_Asking(name, path, self._connect(name)) for name, path in paths.items()]
        deadline = time.monotonic() + patience(seconds)
        while any(each.outcome is None for each in asking):
            assert time.monotonic() < deadline, [(each.name, each.outcome) for each in asking]
            for each in asking:
                self._flush(each)
            self._sock.settimeout(0.02)
            try:
                datagram = self._sock.recv(65536)
            except TimeoutError:
                now = time.monotonic()
                for each in asking:
                    timer = each.quic.get_timer()
                    if timer is not None and timer <= now:
                        each.quic.handle_timer(now)
                        self._look(each)
                continue
            cid = pull_quic_header(Buffer(data=datagram), host_cid_length=8).destination_cid
            for each in asking:
                if any(known.cid == cid for known in each.quic._host_cids):
                    each.quic.receive_datagram(datagram, self._there, time.monotonic())
                    self._look(each)
        return {each.name: each.outcome for each in asking if each.outcome is not None}

    def _connect(self, name: str) -> QuicConnection:
        configuration = QuicConfiguration(is_client=True, alpn_protocols=["h3"], server_name=name)
        configuration.load_verify_locations(str(self._certificates.authority))
        quic = QuicConnection(configuration=configuration)
        quic.connect(self._there, time.monotonic())
        return quic

    def _look(self, each: _Asking) -> None:
        """Take the events of a connection."""
        while (event := each.quic.next_event()) is not None:
            if isinstance(event, ConnectionTerminated) and each.outcome is None:
                each.outcome = event.error_code
            elif isinstance(event, HandshakeCompleted):
                each.http = H3Connection(each.quic)
                each.stream = each.quic.get_next_available_stream_id()
                fields = {":method": "GET", ":scheme": "https", ":authority": each.name}
                fields[":path"] = each.path
                lines = [(key.encode(), value.encode()) for key, value in fields.items()]
                each.http.send_headers(each.stream, lines, end_stream=True)
            if each.http is None:
                continue
            for item in each.http.handle_event(event):
                if isinstance(item, DataReceived):
                    each.body += item.data
                    if item.stream_ended:
                        each.outcome = each.body.decode()
        self._flush(each)

    def _flush(self, each: _Asking) -> None:
        for datagram, _ in each.quic.datagrams_to_send(time.monotonic()):
            self._sock.sendto(datagram, self._there)

    def __enter__(self) -> SharedSocket:
        return self

    def __exit__(self, *error: object) -> None:
        self._sock.close()
