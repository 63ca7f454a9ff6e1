"""``symdiff serve`` at the level of HTTP: who is answered, with what, and what it may cost."""

import http.client
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from test_report import Reader

import symdiff as sd
from codegen.cli import main
from codegen.serve.answers import answer
from codegen.serve.limits import LIMITS
from codegen.serve.page import EXAMPLES, page
from codegen.serve.server import MOST_BYTES, Server, ServerError
from codegen.serve.worker import Worker

SQUARES = {"expression": "sum((X @ w - y)**2)", "shapes": "X=n,d w=d y=n", "wrt": "w"}


@pytest.fixture(scope="module")
def server():
    with Server(0) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield running
        running.shutdown()


def send(server, method="GET", path=None, body=None, **headers):
    """``(status, headers, text)``; a header that is None is not sent."""
    connection = http.client.HTTPConnection("127.0.0.1", server.server_address[1], timeout=60)
    path = urlsplit(server.address).path if path is None else path
    connection.putrequest(method, path, skip_host=True)
    body = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
    sent = {"Host": f"127.0.0.1:{server.server_address[1]}"}
    if body is not None:
        sent |= {"Content-Type": "application/json", "Content-Length": str(len(body))}
    for name, value in (sent | {k.replace("_", "-"): v for k, v in headers.items()}).items():
        if value is not None:
            connection.putheader(name, value)
    connection.endheaders(body)
    response = connection.getresponse()
    result = response.status, dict(response.getheaders()), response.read().decode()
    connection.close()
    return result


def ask(server, body, **headers):
    return send(server, "POST", urlsplit(server.address).path + "ask", body, **headers)


def answered(server, action="derive", **fields):
    status, _, text = ask(server, {"action": action, **SQUARES, **fields})
    assert status == 200
    return json.loads(text)


# --- what is answered --------------------------------------------------------------------


def test_formula_steps_explanation_graph_and_kernel(server):
    found = answered(server)
    sections = {s["key"]: Reader(s["html"]).text for s in found["sections"]}
    assert list(sections) == ["formulas", "graph", "explanation", "steps", "operations", "kernel"]
    assert "2X⊤r" in sections["formulas"] and "∂L/∂w" in sections["explanation"]
    assert "X @ w - y" in sections["steps"] and "def run(" in sections["kernel"]
    assert "‖r‖" in Reader(found["headline"]).text


@pytest.mark.parametrize("name", EXAMPLES)
def test_examples_are_answered_and_right(name):
    fields = dict(zip(LIMITS, EXAMPLES[name], strict=True))
    assert "sections" in answer({"action": "derive", **fields})
    check = answer({"action": "check", **fields})["check"]
    assert float(check["error"]) < 1e-6


def test_a_check_compares_with_finite_differences(server):
    check = answered(server, "check")["check"]
    assert 0 <= float(check["error"]) < 1e-6 and check["where"] == "d = 3, n = 4"


def test_a_check_says_what_is_off(monkeypatch):
    monkeypatch.setattr(sd, "check_gradient", lambda *arguments: _mismatch())
    assert answer({"action": "check", **SQUARES})["error"]["message"] == "w[0]: wrong"


def _mismatch():
    raise sd.GradientMismatch("w[0]: wrong")


@pytest.mark.parametrize(
    ("expression", "shapes", "wrt"),
    [
        ("log(x) + sqrt(y)", "", "x y"),  # positive numbers alone
        ("logdet(A)", "A=k,k", "A"),
        ("sum(asin(x))", "x=5", "x"),  # between -1 and 1
        ("cross_entropy(z, t)", "z=n,4; t=n:int", "z"),
        ("3*x", "", "x"),
        ("sum(x**2) + n*y", "x=n v=2", "y v"),  # v is not in it
    ],
)
def test_random_values_lie_in_the_domain(expression, shapes, wrt):
    found = answer({"action": "check", "expression": expression, "shapes": shapes, "wrt": wrt})
    assert float(found["check"]["error"]) < 1e-6


def test_where_no_values_are_found_it_says_so():
    found = answer({"action": "check", "expression": "log(-x**2)", "wrt": "x"})
    assert "no random values" in found["error"]["message"]


@pytest.mark.parametrize(
    ("fields", "field", "column", "message"),
    [
        ({"expression": "sum((X @ w - y)**2) * * 2"}, "expression", 23, "expected"),
        ({"expression": "X @ q@w"}, "expression", 1, ""),
        ({"expression": "nosuch(w)"}, "expression", 1, "nosuch"),
        ({"expression": " "}, "expression", None, "type an expression"),
        ({"expression": "X @ w"}, "expression", None, "scalar"),
        ({"shapes": "X=n,,2"}, "shapes", None, "missing"),
        ({"shapes": "X=n X=n"}, "shapes", None, "twice"),
        ({"wrt": ""}, "wrt", None, "there are"),
        ({"wrt": "v"}, "wrt", None, "no such symbol"),
        ({"expression": "a" * (LIMITS["expression"] + 1)}, "expression", None, "reads 4000"),
        ({"shapes": ["X"]}, "shapes", None, "not text"),
        ({"action": "eval"}, "expression", None, "no action"),
    ],
)  # fmt: skip
def test_errors_point_into_what_was_typed(fields, field, column, message):
    error = answer({"action": "derive", **SQUARES, **fields})["error"]
    assert (error["field"], message in error["message"]) == (field, True)
    if column is not None:
        assert error["column"] is not None and error["column"] >= column


HOSTILE = "<img src=x onerror=alert(1)>"


@pytest.mark.parametrize(
    "fields",
    [
        {"expression": HOSTILE},
        {"expression": f"sum(w) + '{HOSTILE}'"},
        {"shapes": f"{HOSTILE}=n"},
        {"shapes": f"w={HOSTILE}"},
        {"wrt": HOSTILE},
        {"expression": "__import__('os').system('true')"},
        {"expression": "().__class__"},
    ],
)
def test_hostile_text_is_refused_as_text(server, fields):
    status, headers, text = ask(server, {"action": "derive", **SQUARES, **fields})
    assert status == 200 and headers["Content-Type"].startswith("application/json")
    assert headers["X-Content-Type-Options"] == "nosniff"
    found = json.loads(text)
    assert set(found) == {"error"} and "sections" not in found


# --- who is answered ---------------------------------------------------------------------


def test_it_listens_on_this_machine_alone(server):
    assert server.server_address[0] == "127.0.0.1"
    assert server.address.startswith("http://127.0.0.1:") and len(server.token) >= 20


def test_the_page_and_what_it_may_load(server):
    status, headers, text = send(server)
    assert status == 200 and text == page()
    policy = headers["Content-Security-Policy"]
    for part in ("default-src 'none'", "connect-src 'self'", "frame-ancestors 'none'"):
        assert part in policy
    assert "script-src 'sha256-" in policy
    assert headers["Referrer-Policy"] == "no-referrer" and headers["Cache-Control"] == "no-store"
    assert not any(name.lower().startswith("access-control") for name in headers)
    reader = Reader(text)
    labels = {a["for"] for t, a in reader.elements if t == "label"}
    fields = {a["id"] for t, a in reader.elements if t in ("input", "textarea")}
    assert labels == fields == set(LIMITS)
    assert not any(name.startswith("on") for _, a in reader.elements for name in a)


@pytest.mark.parametrize("path", ["/", "/ask", "/wrong/", "/wrong/ask", "/../", "//", "/%00"])
def test_without_the_token_nothing_is_there(server, path):
    assert send(server, path=path)[0] == 404
    assert send(server, "POST", path, SQUARES)[0] == 404


@pytest.mark.parametrize("host", ["example.org", "127.0.0.1", "evil.test:{port}", "", None])
def test_another_host_is_not_answered(server, host):
    """A name that points to this machine is no way in."""
    named = host and host.format(port=server.server_address[1])
    assert send(server, Host=named)[0] == 421
    assert ask(server, SQUARES, Host=named)[0] == 421


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Origin": "http://evil.test"}, 403),
        ({"Origin": "null"}, 403),
        ({"Sec_Fetch_Site": "cross-site"}, 403),
        ({"Sec_Fetch_Site": "none"}, 403),
        ({"Content_Type": "text/plain"}, 415),
        ({"Content_Type": "application/x-www-form-urlencoded"}, 415),
        ({"Content_Length": None}, 411),
        ({"Content_Length": "-1"}, 411),
        ({"Content_Length": "²"}, 411),
        ({"Content_Length": str(MOST_BYTES + 1)}, 413),
        ({"Content_Length": "9" * 40}, 413),
    ],
)
def test_requests_of_others_are_refused(server, headers, status):
    if headers.get("Content_Length") == "²":
        headers = {"Content_Length": "²".encode("latin-1")}
    assert ask(server, SQUARES, **headers)[0] == status


def test_its_own_page_is_answered(server):
    origin = server.address.rpartition("/")[0].rpartition("/")[0]
    found = ask(
        server, {"action": "derive", **SQUARES}, Origin=origin, Sec_Fetch_Site="same-origin"
    )
    assert found[0] == 200 and "sections" in json.loads(found[2])


@pytest.mark.parametrize("body", [b"", b"{", b"[1]", b"3", b"\xff\xfe", b"[" * 60_000])
def test_what_is_no_request_is_refused(server, body):
    assert ask(server, body)[0] == 400


@pytest.mark.parametrize("method", ["PUT", "DELETE", "OPTIONS", "HEAD", "TRACE"])
def test_there_are_no_other_methods(server, method):
    assert send(server, method)[0] == 501


# --- what it may cost --------------------------------------------------------------------


def test_an_answer_that_takes_too_long_is_given_up():
    worker = Worker(seconds=1e-4)
    try:
        assert "more than" in worker.ask({"action": "derive", **SQUARES})["error"]["message"]
        worker.seconds = 60
        assert "sections" in worker.ask({"action": "derive", **SQUARES})
    finally:
        worker.close()
    assert worker._process is None


def test_a_process_that_ends_is_replaced(server):
    worker = server.worker
    assert "sections" in worker.ask({"action": "derive", **SQUARES})
    worker._process.kill()
    worker._process.wait()
    assert "sections" in worker.ask({"action": "derive", **SQUARES})


@pytest.mark.skipif(sys.platform != "linux", reason="the address space is limited on Linux")
def test_memory_is_limited(server):
    huge = {"expression": "sum(x**2)", "shapes": "x=10000000000", "wrt": "x"}
    assert "memory" in answered(server, "check", **huge)["error"]["message"]
    assert "sections" in answered(server)


def test_of_those_that_wait_only_the_last_is_answered(server):
    worker, found = server.worker, []

    def request(number):
        found.append((number, worker.ask({"action": "derive", **SQUARES}, "page")))

    threads = [threading.Thread(target=request, args=(n,)) for n in range(4)]
    with worker._busy:
        for thread in threads:
            thread.start()
            time.sleep(0.05)
    for thread in threads:
        thread.join()
    answers = dict(found)
    assert [n for n in range(4) if "sections" in answers[n]] == [3]
    assert all(answers[n] == {"stale": True} for n in range(3))


def test_pages_do_not_disturb_each_other(server):
    worker, found = server.worker, {}

    def request(name):
        found[name] = worker.ask({"action": "derive", **SQUARES}, name)

    threads = [threading.Thread(target=request, args=(n,)) for n in "abc"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all("sections" in answer for answer in found.values())


# --- the command -------------------------------------------------------------------------

ROOT = Path(__file__).resolve().parent.parent


@pytest.mark.skipif(os.name != "posix", reason="signals")
def test_the_command_prints_the_address_and_ends_by_ctrl_c(tmp_path):
    command = [sys.executable, "-m", "codegen", "serve", "--port", "0", "--no-browser"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        command, cwd=tmp_path, env=environment, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as process:  # fmt: skip
        address = urlsplit(process.stdout.readline().strip())
        connection = http.client.HTTPConnection(address.hostname, address.port, timeout=60)
        connection.request("GET", address.path)
        assert connection.getresponse().status == 200
        connection.close()
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (0, "")


def test_a_port_that_is_taken_is_an_error(server, capsys):
    port = str(server.server_address[1])
    assert main(["serve", "--no-browser", "--port", port]) == 1
    assert f"port {port} cannot be used" in capsys.readouterr().err
    with pytest.raises(ServerError, match="--port 0"):
        Server(int(port))


@pytest.mark.parametrize("port", ["-1", "70000", "many"])
def test_a_port_that_is_none_is_a_bad_command(port, capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["serve", "--port", port])
    assert "--port" in capsys.readouterr().err
