"""Exceptions: one class for every kind of the core, and who is to blame in each."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import talkwire
from helpers import ONE_LINK, run
from talkwire import _errors, _native
from talkwire.testing import LocalServer


def opened(url: str | None, **options: object) -> BaseException:
    """What opening a session there raises."""

    async def main() -> BaseException:
        with pytest.raises(Exception) as caught:
            async with talkwire.connect(url, **options):  # type: ignore[arg-type]
                pass
        return caught.value

    return run(main())


def test_every_kind_of_the_core_has_its_class() -> None:
    names = [name for _, name, _ in _native.kinds()]
    assert [number for number, _, _ in _native.kinds()] == [-i - 1 for i in range(len(names))]
    assert list(_errors.CLASSES) == names
    assert all(issubclass(c, talkwire.RealtimeError) for c in _errors.CLASSES.values())
    public = {c.__name__ for c in _errors.CLASSES.values()}
    assert public <= set(talkwire.__all__)


def test_nobody_listens() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        error = opened(f"ws://127.0.0.1:{free.getsockname()[1]}/v1/realtime")
    assert isinstance(error, talkwire.UnreachableError) and isinstance(error, ConnectionError)
    assert (error.kind, error.who, error.retryable) == ("unreachable", "network", True)


def test_a_wrong_key_is_an_auth_error_with_the_answer_of_the_server() -> None:
    with LocalServer(api_key="right") as server:
        error = opened(server.url, api_key="wrong")
        assert isinstance(error, talkwire.AuthError) and error.http_status == 401
        assert error.body and "wrong" not in str(error)
        assert isinstance(opened(server.url), talkwire.AuthError)

        async def main() -> None:
            async with talkwire.connect(server.url, api_key="right") as connection:
                assert (await connection.recv()).type == "session.created"

        run(main())


def test_a_missing_key_is_an_error_that_names_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("YANDEX_API_KEY", raising=False)
    error = opened("wss://example.invalid/v1/realtime")
    assert isinstance(error, talkwire.AuthError) and "YANDEX_API_KEY" in str(error)


def test_the_variable_is_read_where_a_key_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("YANDEX_API_KEY", "from-the-environment")
    error = opened("ws://talkwire.invalid/v1/realtime", connect_timeout_ms=5_000)
    assert not isinstance(error, talkwire.AuthError)
    assert isinstance(error, talkwire.UnreachableError | talkwire.DeadlineError)


def test_the_variable_is_not_sent_to_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("YANDEX_API_KEY", "right")
    with LocalServer(api_key="right") as server:
        assert isinstance(opened(server.url), talkwire.AuthError)


def test_what_is_known_to_be_wrong_is_refused_before_dialling() -> None:
    nowhere = "ws://127.0.0.1:1/v1/realtime"
    assert isinstance(opened(nowhere, model="bare"), talkwire.RefusedError)
    role = {"audio": {"output": {"voice": "filipp", "role": "evil"}}}
    assert isinstance(opened(nowhere, session=role), talkwire.RefusedError)
    assert isinstance(opened(nowhere, waive=["rolle"]), talkwire.ConfigError)
    assert isinstance(opened(nowhere, nosuch=1), talkwire.ConfigError)
    assert isinstance(opened(nowhere, dialect="nosuch"), ValueError)
    assert isinstance(opened(nowhere, session=role, waive=["role"]), talkwire.UnreachableError)


def test_a_server_that_never_answers_is_a_deadline() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"ws://127.0.0.1:{silent.getsockname()[1]}/v1/realtime"
        error = opened(url, handshake_timeout_ms=100)
    assert isinstance(error, talkwire.DeadlineError) and isinstance(error, TimeoutError)


def test_a_server_with_an_unknown_certificate_is_a_tls_error_and_extra_ca_makes_it_known(
    tmp_path: Path,
) -> None:
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    made = subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
         "-nodes", "-keyout", key, "-out", cert, "-days", "2", "-subj", "/CN=localhost",
         "-addext", "subjectAltName=IP:127.0.0.1", "-addext", "basicConstraints=critical,CA:FALSE"],
        capture_output=True, check=False,
    )  # fmt: skip
    if made.returncode != 0:
        pytest.skip("openssl is needed to make a certificate")
    with LocalServer(tls=(cert, key)) as server:
        assert isinstance(opened(server.url), talkwire.TlsError)

        async def main() -> None:
            for ca in (cert, cert.read_text(), cert.read_bytes()):
                async with talkwire.connect(server.url, extra_ca=ca) as connection:
                    assert (await connection.recv()).type == "session.created"

        run(main())


def test_a_killed_server_is_a_loss_and_a_stopped_one_is_its_own_doing() -> None:
    async def main(how: str) -> talkwire.End:
        with LocalServer() as server:
            async with talkwire.connect(server.url, **ONE_LINK) as connection:
                await connection.recv()
                await asyncio.to_thread(getattr(server, how))
                with pytest.raises(talkwire.ConnectionClosedError) as caught:
                    await connection.recv()
        assert caught.value.end is not None
        return caught.value.end

    killed, stopped = run(main("kill")), run(main("stop"))
    assert (killed.who, killed.why, killed.code) == ("network", "lost", None)
    assert (stopped.who, stopped.why, stopped.code) == ("server", "server_closed", 1001)


FORK = """
import asyncio, os, sys, talkwire
from talkwire.testing import LocalServer
async def main():
    with LocalServer() as server:
        async with talkwire.connect(server.url) as connection:
            child = os.fork()
            if child == 0:
                code = 0
                for call in (connection.recv, connection.response.create, talkwire.connect(server.url).enter):
                    try:
                        await call()
                        code = 1
                    except talkwire.ForkedProcessError:
                        pass
                looks = ["history", "usage", "stats", "capabilities", "transcript", "flight_record"]
                for look in looks:
                    try:
                        value = getattr(connection, look)
                        callable(value) and value()
                        code = 1
                    except talkwire.ForkedProcessError:
                        pass
                del connection
                os._exit(code)
            _, status = await asyncio.to_thread(os.waitpid, child, 0)
            await connection.recv()
            return os.waitstatus_to_exitcode(status)
sys.exit(asyncio.run(main()))
"""


def test_a_forked_child_gets_a_clear_error_and_leaves_its_parent_alone() -> None:
    # Newer interpreters warn of the fork itself, as the process has other threads.
    program = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", FORK]
    done = subprocess.run(program, capture_output=True, text=True, timeout=30)
    assert (done.returncode, done.stderr) == (0, "")
