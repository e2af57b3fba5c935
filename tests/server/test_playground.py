"""The page in a real browser, cut off from every other machine."""

import json
import shutil
import time

import pytest

playwright = pytest.importorskip("playwright.sync_api")

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

pytestmark = [pytest.mark.browser, pytest.mark.skipif(CHROMIUM is None, reason="needs chromium")]

REPORT_VIOLATIONS = """
window.violations = [];
document.addEventListener("securitypolicyviolation", (event) => window.violations.push(event.violatedDirective));
"""


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as driver:
        # Containers run as root, where Chromium's own sandbox cannot start.
        running = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield running
        running.close()


@pytest.fixture
def open_page(browser):
    """Open the page of a server; whatever the page complains of or asks elsewhere fails the test."""
    opened = []

    def open_page(server, **options):
        context = browser.new_context(**options)
        page = context.new_page()
        complaints = []
        page.add_init_script(REPORT_VIOLATIONS)
        page.on("console", lambda line: complaints.append(line.text) if line.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on(
            "request",
            lambda request: None if request.url.startswith((server.url, "data:")) else complaints.append(request.url),
        )
        page.goto(server.url)
        page.wait_for_selector("#dot.ok, #dot.bad")
        opened.append((context, page, complaints))
        return page, complaints

    yield open_page
    for context, page, complaints in opened:
        assert complaints == []
        assert page.evaluate("window.violations") == []
        context.close()


def fill(page, prompt, **settings):
    page.fill("#prompt", prompt)
    for name, value in settings.items():
        page.fill(f"#{name.replace('_', '-')}", str(value))


def wait_for(page, condition, seconds=20):
    """Poll from outside: the page's own policy forbids the `eval` that Playwright would wait with."""
    deadline = time.monotonic() + seconds
    while not page.evaluate(condition):
        assert time.monotonic() < deadline, f"{condition} did not come true"
        time.sleep(0.02)


def wait_for_end(page):
    page.wait_for_selector("#output[aria-busy=false]")


def test_the_text_comes_piece_by_piece(server, open_page):
    page, _ = open_page(server)
    assert "tiny-model" in page.inner_text("#model-name")
    page.evaluate(
        "() => { window.lengths = []; new MutationObserver(() => window.lengths.push("
        "document.getElementById('answer').textContent.length)).observe("
        "document.getElementById('answer'), {childList: true}); }"
    )
    fill(page, "the", max_tokens=300, seed=5, temperature=1)
    page.click("#generate")
    wait_for(page, "document.getElementById('answer').textContent.length > 0")
    wait_for_end(page)
    lengths = page.evaluate("window.lengths")
    assert len(lengths) > 5, "the text came at once"
    assert lengths == sorted(lengths)
    assert page.inner_text("#echo") == "the"
    assert "tokens/s" in page.inner_text("#stats")


def test_the_page_shows_what_the_api_gives(server, open_page):
    import httpx

    page, _ = open_page(server)
    body = {"prompt": "the 日本", "max_tokens": 60, "seed": 7, "temperature": 1, "top_k": 40, "top_p": 0.9, "stop": "e"}
    expected = httpx.post(f"{server.url}/v1/completions", json=body, timeout=60).json()
    fill(page, "the 日本", max_tokens=60, seed=7, temperature=1, top_k=40, top_p=0.9, stop_text="e")
    page.press("#prompt", "Control+Enter")
    wait_for(page, "document.getElementById('stats').textContent.includes('tokens/s')")
    wait_for_end(page)
    assert page.evaluate("document.getElementById('answer').textContent") == expected["choices"][0]["text"]
    assert f"{expected['usage']['completion_tokens']} tokens" in page.inner_text("#stats")


def test_stop_keeps_the_text_and_frees_the_slot(server, open_page):
    page, _ = open_page(server)
    aborted = server.health()["aborted_total"]
    # The key comes from within: on a busy machine the answer may have ended by itself before one from outside arrives.
    page.evaluate(
        "() => new MutationObserver(() => document.getElementById('answer').textContent.length > 3 && "
        "document.dispatchEvent(new KeyboardEvent('keydown', {key: 'Escape', bubbles: true}))).observe("
        "document.getElementById('answer'), {childList: true})"
    )
    fill(page, "the", max_tokens=2000, temperature=0.2, seed=1)
    page.click("#generate")
    wait_for(page, "document.getElementById('answer').textContent.length > 3")
    wait_for_end(page)
    text = page.evaluate("document.getElementById('answer').textContent")
    assert text
    assert "stopped" in page.inner_text("#stats")
    assert page.is_hidden("#error")
    server.wait_until(lambda state: state["running"] == 0 and state["aborted_total"] == aborted + 1, seconds=1)
    assert page.evaluate("document.getElementById('answer').textContent") == text


def test_continue_goes_on_from_the_answer(server, open_page):
    page, _ = open_page(server)
    fill(page, "the", max_tokens=5, seed=5)
    page.click("#generate")
    page.wait_for_selector("#continue:not([disabled])")
    first = page.evaluate("document.getElementById('answer').textContent")
    page.click("#continue")
    wait_for(page, f"document.getElementById('prompt').value === 'the' + {json.dumps(first)}")
    wait_for_end(page)


def test_markup_in_a_prompt_is_only_text(server, open_page):
    page, _ = open_page(server)
    hostile = '<img src=x onerror="window.hacked = 1"><script>window.hacked = 1</script>'
    fill(page, hostile, max_tokens=5, seed=2)
    page.click("#generate")
    page.wait_for_selector("#continue:not([disabled])")
    assert page.evaluate("document.getElementById('echo').textContent") == hostile
    assert page.evaluate("document.querySelectorAll('#output img, #output script').length") == 0
    assert page.evaluate("window.hacked") is None


def test_a_refusal_is_shown(server, open_page):
    page, complaints = open_page(server)
    fill(page, "x" * 9000, max_tokens=16)
    page.click("#generate")
    page.wait_for_selector("#error:not([hidden])")
    assert "has room for 4096" in page.inner_text("#error")
    wait_for_end(page)
    # The browser itself notes the status 400.
    assert all("400" in complaint for complaint in complaints)
    complaints.clear()


def test_a_key_is_asked_for_and_used(start_server, open_page):
    server = start_server(env={"SLM_API_KEY": "0123456789abcdef-key"})
    page, complaints = open_page(server)
    assert "API key is missing" in page.inner_text("#error")
    page.fill("#key", "0123456789abcdef-key")
    page.press("#key", "Tab")
    page.wait_for_selector("#dot.ok")
    fill(page, "the", max_tokens=5, seed=2)
    page.click("#generate")
    page.wait_for_selector("#continue:not([disabled])")
    assert page.is_hidden("#error")
    complaints[:] = [complaint for complaint in complaints if "401" not in complaint]


def test_the_page_can_be_used_by_keyboard_and_has_names_for_everything(server, open_page):
    page, _ = open_page(server, viewport={"width": 390, "height": 800})
    unnamed = page.evaluate(
        "[...document.querySelectorAll('input, textarea, button')].filter("
        "(one) => !one.labels?.length && !one.ariaLabel && !one.textContent.trim()).map((one) => one.id)"
    )
    assert unnamed == []
    assert page.evaluate("document.activeElement.id") == "prompt"
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), "the page is wider than a phone"
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "generate"
