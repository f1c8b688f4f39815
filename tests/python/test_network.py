"""The way to a server: a proxy of the environment, and certificates by path."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import talkwire
from helpers import run
from talkwire.testing import LocalServer


def _head(client: socket.socket) -> bytes:
    head = b""
    while not head.endswith(b"\r\n\r\n") and (more := client.recv(1)):
        head += more
    return head


def _copy(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65_536):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)


@pytest.fixture
def proxy() -> Iterator[tuple[str, list[str]]]:
    """The URL of a proxy to which every name is this machine, and what it was asked for."""
    asked: list[str] = []

    def serve(client: socket.socket) -> None:
        target = _head(client).split(b" ")[1].decode()
        asked.append(target)
        with client, contextlib.suppress(ConnectionRefusedError):
            with socket.create_connection(("127.0.0.1", int(target.split(":")[1]))) as server:
                client.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
                back = threading.Thread(target=_copy, args=(server, client))
                back.start()
                _copy(client, server)
                back.join()

    with socket.create_server(("127.0.0.1", 0)) as listener:

        def accept() -> None:
            with contextlib.suppress(OSError):
                while True:
                    client, _ = listener.accept()
                    threading.Thread(target=serve, args=(client,)).start()

        thread = threading.Thread(target=accept)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}", asked
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    """An environment without proxies."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


def greeted(url: str, **options: object) -> None:
    async def main() -> None:
        async with talkwire.connect(url, api_key="a-key", **options) as connection:  # type: ignore[arg-type]
            assert (await connection.recv()).type == "session.created"

    run(main())


@pytest.mark.parametrize("variable", ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"])
def test_a_proxy_of_the_environment_is_taken(
    variable: str, proxy: tuple[str, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    url, asked = proxy
    monkeypatch.setenv(variable, url)
    with LocalServer() as server:
        hidden = server.url.replace("127.0.0.1", "server.test")
        greeted(hidden)
        assert asked == [hidden.split("/")[2]]
        # This machine, and what the exceptions name, is reached without it.
        greeted(server.url)
        monkeypatch.setenv("NO_PROXY", "other.test, .test")
        with pytest.raises(talkwire.ConnectError):
            greeted(hidden, connect_timeout_ms=5_000)
        # An option is stronger than the environment.
        greeted(hidden, proxy=url)
        assert len(asked) == 2


def test_a_secure_endpoint_has_its_own_variable(
    proxy: tuple[str, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    url, asked = proxy
    monkeypatch.setenv("HTTP_PROXY", url)
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        secure = f"wss://server.test:{nobody.getsockname()[1]}/v1/realtime"
    with pytest.raises(talkwire.ConnectError):
        greeted(secure, connect_timeout_ms=5_000)
    assert asked == []
    monkeypatch.setenv("HTTPS_PROXY", url)
    with pytest.raises(talkwire.ConnectError):
        greeted(secure, connect_timeout_ms=5_000)
    assert asked == [secure.split("/")[2]]


def test_certificates_may_be_paths(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.pem"
    wrong.write_text("no certificate")
    for given in (wrong, str(wrong), wrong.read_bytes(), "-----no certificate"):
        with pytest.raises(talkwire.ConfigError, match="certificate"):
            greeted("ws://127.0.0.1:1/", only_ca=given)
    with pytest.raises(talkwire.ConfigError, match="client_key"):
        greeted("ws://127.0.0.1:1/", client_cert=wrong)
