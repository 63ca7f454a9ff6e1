"""Pages in Chromium: nothing overflows, nothing complains, nothing that was typed is run."""

import os
import re
import shutil
import threading
import unicodedata

import numpy as np
import pytest

import codegen
import symdiff as sd
from codegen.serve.page import EXAMPLES
from codegen.serve.server import Server

selenium = pytest.importorskip("selenium")

from selenium import webdriver  # noqa: E402
from selenium.webdriver.chrome.service import Service  # noqa: E402
from selenium.webdriver.common.by import By  # noqa: E402
from selenium.webdriver.common.keys import Keys  # noqa: E402
from selenium.webdriver.support.ui import WebDriverWait  # noqa: E402

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)
DRIVER = shutil.which("chromedriver")

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="Chromium and chromedriver are needed"),
]

OPTIONS = """--headless=new --disable-gpu --disable-background-networking --disable-component-update
--disable-sync --no-first-run --disable-dev-shm-usage""".split()
WIDE, NARROW = 1400, 400
SECONDS = 30


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for option in OPTIONS:
        options.add_argument(option)
    if os.name == "posix" and os.geteuid() == 0:
        options.add_argument("--no-sandbox")  # there is none for root
    options.add_argument(f"--user-data-dir={tmp_path_factory.mktemp('chromium')}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(DRIVER))
    yield driver
    driver.quit()


def resize(browser, width):
    browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600},
    )


def complaints(browser):
    return [entry["message"] for entry in browser.get_log("browser") if entry["level"] != "DEBUG"]


OVERFLOWING = """
const wide = document.documentElement.clientWidth;
const scrolls = (e) =>
  e && (getComputedStyle(e).overflowX !== 'visible' || scrolls(e.parentElement));
return [document.documentElement.scrollWidth - wide,
        [...document.querySelectorAll('body *')].filter((e) =>
          e.getBoundingClientRect().right > wide + 1 && e.getClientRects().length
          && !scrolls(e.parentElement)).map((e) => e.outerHTML.slice(0, 120))];
"""

FORMULAS = """
return [...document.querySelectorAll('math')].filter((m) => m.checkVisibility())
  .map((m) => { const b = m.getBoundingClientRect(); return [b.width, b.height]; });
"""


def looked_at(browser, width):
    """Nothing is wider than the page, and formulas have a size."""
    resize(browser, width)
    assert browser.execute_script(OVERFLOWING) == [0, []]
    sizes = np.array(browser.execute_script(FORMULAS))
    assert len(sizes) > 5 and (sizes > 3).all()
    assert complaints(browser) == []


def network():
    X, t = sd.tensor("X", "n", 64), sd.tensor("t", "n", dtype="int")
    W1, b1 = sd.tensor("W1", 64, 32), sd.tensor("b1", 32)
    W2, b2 = sd.tensor("W2", 32, 10), sd.tensor("b2", 10)
    logits = sd.sigmoid(X @ W1 + b1) @ W2 + b2
    loss = sd.losses.cross_entropy(logits, t) + sd.sum(W1**2) / 1000
    return loss, X, t, [W1, b1, W2, b2]


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    loss, X, t, parameters = network()
    trainer = codegen.Trainer(loss, dict.fromkeys(parameters, sd.init.glorot_uniform()))
    rng = np.random.default_rng(0)
    data = {X: rng.normal(size=(60, 64)), t: rng.integers(0, 10, 60)}
    trainer.fit(data, epochs=4, batch_size=20, validation=data)
    return trainer.report(tmp_path_factory.mktemp("report") / "page.html")


@pytest.mark.parametrize("width", [WIDE, NARROW])
def test_a_report_fits_the_page(browser, report, width):
    browser.get(report.as_uri())
    looked_at(browser, width)


def test_a_report_with_everything_open_fits_the_page(browser, report):
    browser.get(report.as_uri())
    browser.execute_script(
        "document.querySelectorAll('details').forEach((d) => { d.open = true; })"
    )
    looked_at(browser, NARROW)
    looked_at(browser, WIDE)


def test_a_minus_sign_in_front_is_close_and_one_between_is_not(browser, tmp_path):
    """What browsers make of the elements: the same sign, with and without space around it."""
    w, v = sd.tensor("w", 3), sd.tensor("v", 3)
    path = sd.derive(sd.sum(sd.exp(-w) * (v - w)), v).report(tmp_path / "page.html")
    browser.get(path.as_uri())
    gaps = browser.execute_script("""
        return [...document.querySelectorAll('#formulas mo')].filter((o) => o.textContent == '−')
          .map((o) => [o.previousElementSibling != null,
            o.nextElementSibling.getBoundingClientRect().left - o.getBoundingClientRect().right]);
    """)
    between = [gap for infix, gap in gaps if infix]
    front = [gap for infix, gap in gaps if not infix]
    assert between and front and max(front) + 1 < min(between)


HOSTILE = "<img src=x onerror=document.title='run'>"


def test_a_report_of_hostile_names_runs_nothing(browser, tmp_path):
    names = [HOSTILE, "<script>document.title='run'</script>", "</math></table>", "'\"]; x ["]
    vectors = [sd.tensor(name, f"n{name}") for name in names]
    loss = sum(sd.sum(sd.tanh(v) ** 2) for v in vectors)
    path = sd.derive(loss, vectors).report(tmp_path / "page.html")
    browser.get(path.as_uri())
    looked_at(browser, WIDE)
    assert browser.title != "run"
    assert not browser.find_elements(By.CSS_SELECTOR, "img, main script, [onerror]")


def test_a_report_can_be_copied(browser, report):
    browser.get(report.as_uri())
    browser.execute_cdp_cmd(
        "Browser.grantPermissions",
        {"permissions": ["clipboardReadWrite", "clipboardSanitizedWrite"]},
    )
    copy(browser, "Copy LaTeX", lambda text: text.startswith(r"\begin{aligned}"))
    copy(browser, "Copy code", lambda text: "def run(" in text)


def copy(browser, label, right):
    (button,) = browser.find_elements(By.XPATH, f"//button[text()='{label}']")
    browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", button)
    button.click()
    wait(browser, lambda: button.text == "Copied")
    text = browser.execute_async_script(
        "const done = arguments[0]; navigator.clipboard.readText().then(done, (e) => done(`${e}`));"
    )
    assert right(text), text[:200]


def test_a_report_works_without_its_script(browser, report):
    browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        browser.get(report.as_uri())
        assert "softmax" in browser.find_element(By.ID, "formulas").text
        assert not [b for b in browser.find_elements(By.TAG_NAME, "button") if b.is_displayed()]
        folded = browser.find_elements(By.CSS_SELECTOR, "#explanation details:not([open])")
        folded[0].find_element(By.TAG_NAME, "summary").click()
        assert folded[0].get_attribute("open") is not None
    finally:
        browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})


# --- symdiff serve -----------------------------------------------------------------------


@pytest.fixture(scope="module")
def server():
    with Server(0) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        running.worker.start()
        yield running
        running.shutdown()


def wait(browser, condition):
    WebDriverWait(browser, SECONDS, poll_frequency=0.05).until(lambda _: condition())


@pytest.fixture
def served(browser, server):
    resize(browser, WIDE)
    browser.get(server.address)
    wait(browser, lambda: browser.find_elements(By.ID, "kernel"))
    return browser


def typed(browser, field, text):
    element = browser.find_element(By.ID, field)
    element.send_keys(Keys.CONTROL, "a")
    element.send_keys(text)


def text_of(browser, place):
    """Read by the page itself, whose parts may be replaced at any time."""
    script = "return document.getElementById(arguments[0])?.innerText ?? ''"
    text = unicodedata.normalize("NFKC", browser.execute_script(script, place))
    return text if place in ("said", "mark", "checked") else re.sub(r"[\s\u2062]", "", text)


def test_formula_and_kernel_change_as_one_types(served):
    assert "λ" in text_of(served, "formulas")
    typed(served, "expression", "sum(tanh(X @ w))")
    wait(served, lambda: "tanh" in text_of(served, "formulas"))
    assert "λ" not in text_of(served, "formulas") and "tanh(" in text_of(served, "kernel")
    typed(served, "wrt", "w X")
    wait(served, lambda: text_of(served, "formulas").count("∂") > 2)
    for width in (NARROW, WIDE):
        looked_at(served, width)


def test_an_error_points_into_the_text_and_the_last_answer_stays(served):
    before = text_of(served, "formulas")
    typed(served, "expression", "sum((X @ w - y)**2) + ]w")
    wait(served, lambda: text_of(served, "said"))
    assert served.find_element(By.CSS_SELECTOR, "#mark mark").text == "]"
    assert text_of(served, "mark") == "sum((X @ w - y)**2) + ]w"
    assert served.find_element(By.ID, "expression").get_attribute("aria-invalid") == "true"
    assert text_of(served, "formulas") == before
    typed(served, "expression", "sum(w)")
    wait(served, lambda: not text_of(served, "said"))
    assert not served.find_element(By.ID, "mark").is_displayed()


def test_a_check_by_numbers(served):
    served.find_element(By.ID, "check").click()
    wait(served, lambda: "finite differences" in text_of(served, "checked"))
    assert "e-" in text_of(served, "checked")
    typed(served, "shapes", "X=n,d w=d y=n ")
    wait(served, lambda: not text_of(served, "checked"))


@pytest.mark.parametrize("field", ["expression", "shapes", "wrt"])
def test_hostile_text_is_not_run(served, field):
    typed(served, field, f"{HOSTILE}</math><script>document.title='run'</script>")
    wait(served, lambda: text_of(served, "said"))
    assert served.title == "symdiff"
    assert not served.find_elements(By.CSS_SELECTOR, "img, main script, [onerror]")
    assert complaints(served) == []


@pytest.mark.parametrize("name", EXAMPLES)
def test_examples_are_a_click_away(served, name):
    (button,) = served.find_elements(By.XPATH, f"//button[text()='{name}']")
    button.click()
    wait(served, lambda: served.find_element(By.ID, "answer").get_attribute("aria-busy") == "false")
    assert not text_of(served, "said")
    value = served.find_element(By.ID, "expression").get_property("value")
    assert value == EXAMPLES[name][0]
    looked_at(served, NARROW)


def test_it_can_be_used_by_keys(served):
    """Tab goes through all fields and buttons, and Enter presses what it stands on."""
    served.find_element(By.ID, "expression").send_keys(Keys.TAB)
    met = []
    for _ in range(12):
        element = served.switch_to.active_element
        met.append(element.get_attribute("id") or element.text)
        if element.text == "Quadratic form":
            element.send_keys(Keys.ENTER)
            break
        element.send_keys(Keys.TAB)
    assert met[:3] == ["shapes", "wrt", "check"]
    wait(served, lambda: "A" in text_of(served, "formulas"))


def test_what_is_served_can_be_copied(served):
    served.execute_cdp_cmd(
        "Browser.grantPermissions",
        {"permissions": ["clipboardReadWrite", "clipboardSanitizedWrite"]},
    )
    copy(served, "Copy LaTeX", lambda text: text.startswith(r"\begin{aligned}"))
    copy(served, "Copy text", lambda text: text.startswith("forward"))
    copy(served, "Copy code", lambda text: "def run(" in text)
