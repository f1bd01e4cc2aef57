"""Record what real clients send first: one `data/<client>.bin` each (`python -m` this module).

Every client is pointed at a loopback port of ours that reads its ClientHello and hangs up. Run it
again when a client changes its hello; the golden tests name what each file must say.
"""

from __future__ import annotations

import argparse
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tests.harness.hello import real_hello

NAME = "www.example.com.cn"
DATA = Path(__file__).parent / "data"
GO = """package main
import ("crypto/tls"; "os")
func main() {
    tls.Dial("tcp", os.Args[1], &tls.Config{ServerName: os.Args[2], InsecureSkipVerify: true})
}
"""
JAVA = """import javax.net.ssl.*;
public class Hello {
    public static void main(String[] a) throws Exception {
        var port = Integer.parseInt(a[0]);
        var s = (SSLSocket) SSLSocketFactory.getDefault().createSocket("127.0.0.1", port);
        var p = s.getSSLParameters();
        p.setServerNames(java.util.List.of(new SNIHostName(a[1])));
        s.setSSLParameters(p);
        s.startHandshake();
    }
}
"""
NODE = "require('tls').connect({port:PORT,host:'127.0.0.1',servername:'NAME'}).on('error',()=>0)"
OPENSSL = "openssl s_client -connect 127.0.0.1:PORT"


def commands(work: Path) -> dict[str, list[str]]:
    """The clients; PORT and NAME are filled in."""
    (work / "hello.go").write_text(GO)
    (work / "Hello.java").write_text(JAVA)
    return {
        "curl": ["curl", "-ks", "--resolve", "NAME:PORT:127.0.0.1", "https://NAME:PORT/"],
        "wget-gnutls": ["wget", "-qO-", "-t1", "--no-check-certificate", "https://localhost:PORT/"],
        "openssl-tls12": f"{OPENSSL} -servername NAME -tls1_2".split(),
        "openssl-tls13": f"{OPENSSL} -servername NAME".split(),
        "openssl-no-sni": f"{OPENSSL} -noservername".split(),
        "node": ["node", "-e", NODE],
        "go": ["go", "run", str(work / "hello.go"), "127.0.0.1:PORT", "NAME"],
        "java": ["java", str(work / "Hello.java"), "PORT", "NAME"],
        # X25519MLKEM768 key share, ECH grease, extensions in random order.
        "chromium": [
            *[
                "chromium",
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--disable-background-networking",
            ],
            "--no-first-run",
            f"--user-data-dir={work / 'chromium'}",
            "--host-resolver-rules=MAP NAME 127.0.0.1",
            "https://NAME:PORT/",
        ],
    }


def first_bytes(start: Callable[[int], None]) -> bytes:
    """What the client started by `start(port)` sends until it waits for an answer."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(240)  # `go run` compiles first
        start(server.getsockname()[1])
        connection, _ = server.accept()
        received = b""
        with connection:
            connection.settimeout(2)
            try:
                while data := connection.recv(65536):
                    received += data
            except TimeoutError:
                pass  # it waits for our ServerHello now
        return received


def record_command(command: list[str]) -> bytes:
    """The hello of a program."""
    running: list[subprocess.Popen[bytes]] = []

    def start(port: int) -> None:
        filled = [word.replace("PORT", str(port)).replace("NAME", NAME) for word in command]
        running.append(
            subprocess.Popen(
                filled,
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
        )

    try:
        return first_bytes(start)
    finally:
        for process in running:
            process.terminate()
            process.wait()


def record_early_data(work: Path) -> bytes:
    """A resumed hello of openssl with 0-RTT data right behind it, in records of their own."""
    key, certificate, session = work / "key.pem", work / "certificate.pem", work / "session"
    subprocess.run(
        f"openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN={NAME}"
        f" -keyout {key} -out {certificate}".split(),
        check=True,
        capture_output=True,
    )
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    server = subprocess.Popen(
        f"openssl s_server -accept 127.0.0.1:{port} -cert {certificate} -key {key}"
        " -early_data".split(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    try:
        assert server.stdout is not None
        while b"ACCEPT" not in (line := server.stdout.readline()):
            assert line, "openssl s_server ended"
        client = subprocess.Popen(
            f"openssl s_client -connect 127.0.0.1:{port} -servername {NAME}"
            f" -sess_out {session}".split(),
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + 30
        while not (session.exists() and session.stat().st_size):
            assert time.monotonic() < deadline, "openssl s_client was given no session"
            time.sleep(0.05)
        client.terminate()
        client.wait()
    finally:
        server.terminate()
        server.wait()
    (work / "request").write_bytes(b"GET / HTTP/1.0\r\n\r\n")
    resumed = f"{OPENSSL} -servername NAME -sess_in {session} -early_data {work / 'request'}"
    return record_command(resumed.split())


def main() -> None:
    """Record every client, or those named on the command line."""
    arguments = argparse.ArgumentParser(description=main.__doc__)
    arguments.add_argument("client", nargs="*")
    wanted = arguments.parse_args().client
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        recorders: dict[str, Callable[[], bytes]] = {
            client: lambda command=command: record_command(command)  # type: ignore[misc]
            for client, command in commands(work).items()
        }
        recorders["python"] = lambda: real_hello(NAME, ["h2", "http/1.1"])
        recorders["openssl-early-data"] = lambda: record_early_data(work)
        for client in wanted or recorders:
            hello = recorders[client]()
            (DATA / f"{client}.bin").write_bytes(hello)
            print(f"{client}: {len(hello)} bytes")


if __name__ == "__main__":
    main()
