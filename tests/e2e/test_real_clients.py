"""The program as real clients see it: curl, openssl s_client, Python's http.client, wrk."""

from __future__ import annotations

import http.client
import re
import subprocess
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from tests.harness.stage import Stage
from tests.harness.tools import require


def run(*command: str, stdin: str = "", seconds: float = 30) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, input=stdin, capture_output=True, text=True, timeout=seconds, check=False
    )


def curl(stage: Stage, scheme: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run curl so that every name leads to the gate."""
    port = stage.gate.ports["http" if scheme == "http" else "tls"]
    return run(
        require("curl"),
        "--silent",
        "--show-error",
        "--noproxy",
        "*",
        "--cacert",
        str(stage.certificates.authority),
        "--connect-to",
        f"::127.0.0.1:{port}",
        *arguments,
    )


def test_curl_gets_a_filed_site(stage: Stage, path: str) -> None:
    done = curl(stage, "http", f"http://www.filed.com{path}")
    assert (done.returncode, done.stdout) == (0, f"origin: GET www.filed.com {path}")


def test_curl_is_redirected_from_an_unfiled_site_and_finds_the_notice(stage: Stage) -> None:
    done = curl(stage, "http", "-o", "/dev/null", "-w", "%{http_code} %{redirect_url}",
                "http://unfiled.com/")  # fmt: skip
    assert done.stdout == f"302 {stage.gate.notice_url}?domain=unfiled.com&reason=unfiled"
    with urllib.request.urlopen(done.stdout.split()[1], timeout=10) as page:
        text = page.read().decode()
    assert "备案" in text
    assert "unfiled.com" in text


def test_curl_gets_a_filed_site_over_tls(stage: Stage) -> None:
    done = curl(stage, "https", "--http1.1", "https://filed.com/secure")
    assert (done.returncode, done.stdout) == (0, "tls origin: filed.com /secure")


def test_curl_is_reset_at_an_unfiled_site_over_tls(stage: Stage) -> None:
    done = curl(stage, "https", "https://unfiled.com/")
    assert done.returncode == 35, done.stderr  # CURLE_SSL_CONNECT_ERROR
    assert "reset" in done.stderr.lower()


@pytest.mark.parametrize("version", ["--tlsv1.2", "--tlsv1.3"])
def test_curl_with_each_tls_version(stage: Stage, version: str) -> None:
    highest = version.removeprefix("--tlsv")
    done = curl(stage, "https", "--http1.1", version, "--tls-max", highest, "https://filed.com/v")
    assert done.stdout == "tls origin: filed.com /v"


def test_curl_uploads_with_100_continue(stage: Stage, path: str, tmp_path: Path) -> None:
    upload = tmp_path / "upload"
    upload.write_bytes(b"u" * 3_000_000)
    done = curl(stage, "http", "-T", str(upload), "-H", "Expect: 100-continue", "-w",
                "%{http_code}", f"http://filed.com{path}")  # fmt: skip
    assert done.stdout.endswith("200")
    (seen,) = stage.origin.about(path)
    assert len(seen.body) == 3_000_000


def test_curl_uploads_chunked(stage: Stage, path: str) -> None:
    done = curl(stage, "http", "-H", "Transfer-Encoding: chunked", "-H", "Expect:", "-d",
                "x" * 100_000, f"http://filed.com{path}")  # fmt: skip
    assert done.returncode == 0
    (seen,) = stage.origin.about(path)
    assert len(seen.body) == 100_000


def test_curl_that_wants_http_2_stays_on_http_1(stage: Stage, path: str) -> None:
    done = curl(stage, "http", "--http2", "-w", " %{http_version}", f"http://filed.com{path}")
    assert done.stdout == f"origin: GET filed.com {path} 1.1"


def test_curl_with_http_2_prior_knowledge_fails(stage: Stage, path: str) -> None:
    done = curl(stage, "http", "--http2-prior-knowledge", f"http://filed.com{path}")
    assert done.returncode != 0
    assert stage.origin.about(path) == []


def test_curl_with_http_1_0(stage: Stage, path: str) -> None:
    done = curl(stage, "http", "--http1.0", f"http://filed.com{path}")
    assert done.stdout == f"origin: GET filed.com {path}"


def test_curl_as_through_a_forward_proxy(stage: Stage, path: str) -> None:
    proxy = f"http://127.0.0.1:{stage.gate.ports['http']}"
    for host, status in (("filed.com", "200"), ("unfiled.com", "302")):
        done = run(require("curl"), "-s", "-x", proxy, "-o", "/dev/null", "-w", "%{http_code}",
                   f"http://{host}{path}")  # fmt: skip
        assert done.stdout == status
    done = run(require("curl"), "-sS", "-p", "-x", proxy, f"http://filed.com{path}")
    assert done.returncode == 56
    assert "405" in done.stderr


def test_curl_reuses_one_connection_for_filed_then_unfiled(stage: Stage, path: str) -> None:
    port = stage.gate.ports["http"]
    done = run(
        require("curl"), "-s", "-w", "%{http_code} ", "-o", "/dev/null", "-o", "/dev/null",
        "-H", "Host: filed.com", f"http://127.0.0.1:{port}{path}1",
        "--next", "-s", "-w", "%{http_code} ", "-o", "/dev/null",
        "-H", "Host: unfiled.com", f"http://127.0.0.1:{port}{path}2",
    )  # fmt: skip
    assert done.stdout.split() == ["200", "302"]
    assert len(stage.origin.about(path)) == 1


def s_client(stage: Stage, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    return run(
        require("openssl"),
        "s_client",
        "-connect",
        f"127.0.0.1:{stage.gate.ports['tls']}",
        "-CAfile",
        str(stage.certificates.authority),
        *arguments,
        stdin=stdin,
    )


def test_s_client_verifies_a_filed_site(stage: Stage) -> None:
    done = s_client(stage, "-servername", "filed.com", "-verify_hostname", "filed.com",
                    "-verify_return_error", "-quiet", "-no_ign_eof")  # fmt: skip
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", [["-servername", "unfiled.com"], ["-noservername"]])
def test_s_client_is_reset(stage: Stage, name: list[str]) -> None:
    done = s_client(stage, *name)
    assert done.returncode != 0
    assert "errno=104" in done.stderr or "reset" in done.stderr.lower()
    assert "read 0 bytes" in done.stdout


@pytest.mark.parametrize("curves", ["X25519", "P-256", "P-521:P-384"])
def test_s_client_with_other_key_shares(stage: Stage, curves: str) -> None:
    done = s_client(stage, "-servername", "filed.com", "-curves", curves)
    assert "Verification: OK" in done.stdout


def test_s_client_resumes_through_the_gate(stage: Stage, tmp_path: Path) -> None:
    ticket = str(tmp_path / "session")
    common = ["-servername", "filed.com", "-tls1_2"]
    assert "New, TLS" in s_client(stage, *common, "-sess_out", ticket).stdout
    assert "Reused, TLS" in s_client(stage, *common, "-sess_in", ticket).stdout
    done = s_client(stage, "-servername", "unfiled.com", "-tls1_2", "-sess_in", ticket)
    assert "read 0 bytes" in done.stdout
    assert done.returncode != 0


def test_python_http_client_keeps_its_connection(stage: Stage, path: str) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", stage.gate.ports["http"], timeout=10)
    for number in range(10):
        connection.request("GET", f"{path}{number}", headers={"Host": "filed.com"})
        response = connection.getresponse()
        assert (response.status, response.read().decode()) == (
            200,
            f"origin: GET filed.com {path}{number}",
        )
        assert not response.will_close
    connection.close()


def wrk(stage: Stage, host: str, path: str, connections: int) -> str:
    url = f"http://127.0.0.1:{stage.gate.ports['http']}{path}"
    done = run(require("wrk"), "-t1", f"-c{connections}", "-d2s", "-H", f"Host: {host}", url)
    assert done.returncode == 0, done.stderr
    return done.stdout


def counted(report: str) -> int:
    match = re.search(r"(\d+) requests in", report)
    assert match is not None, report
    return int(match[1])


def test_wrk_on_a_filed_site_has_no_failed_request(stage: Stage, path: str) -> None:
    report = wrk(stage, "filed.com", path, 32)
    assert "Socket errors" not in report
    assert "Non-2xx" not in report
    assert counted(report) > 100
    assert len(stage.origin.about(path)) >= counted(report)


def test_wrk_on_an_unfiled_site_gets_redirects_only(stage: Stage, path: str) -> None:
    report = wrk(stage, "unfiled.com", path, 16)
    match = re.search(r"Non-2xx or 3xx responses: (\d+)", report)
    assert match is None, report
    assert counted(report) > 100
    assert stage.origin.about(path) == []


def test_notice_page_is_not_itself_a_way_to_script(stage: Stage) -> None:
    url = f"{stage.gate.notice_url}?domain=%3Cscript%3Ealert(1)%3C/script%3E&reason=unfiled"
    try:
        with urllib.request.urlopen(url, timeout=10) as page:
            text = page.read().decode()
    except urllib.error.HTTPError as error:
        text = error.read().decode()
    assert "<script>alert" not in text
