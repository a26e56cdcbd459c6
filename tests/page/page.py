#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The page of `gptjt serve` in a real browser: page.py DIRECTORY (of page.html and page.policy) tests it on a stand-in
for the server (mock.py); with --server URL on that server, leaving out what only a stand-in can do on purpose.

Exits with 77 where there is no Chromium. Every test gets a tab of its own, must leave no error or warning in the
console, and must have asked nobody but the server.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import mock
from browser import CONTROL, SHIFT, Browser, Failure, Page

EXAMPLES = Path(__file__).resolve().parents[2] / "models" / "examples"
SKIPPED = 77
TESTS = []


def test(only_mock=False, **view):
    """Registers a test, a claim about the page; view: arguments of Page."""

    def register(function):
        TESTS.append((function, only_mock, view))
        return function

    return register


class Server:
    """The server under test: its address, what it says without a browser, and the stand-in, if it is one."""

    def __init__(self, url: str, stand_in=None):
        self.url, self.mock = url, stand_in

    def ask(self, path: str, body=None):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=120) as answer:
            return json.load(answer)


def check(truth, message: str):
    if not truth:
        raise Failure(message)


def equal(one, other, what: str):
    check(one == other, f"{what}: {one!r} is not {other!r}")


def example(name: str) -> str:
    return (EXAMPLES / f"{name}.txt").read_text().removesuffix("\n")


def ready(page: Page):
    page.wait("info", "the server's /info")


def run(page: Page, answers: int = 1):
    page.click("#run")
    page.wait(f"document.querySelectorAll('.answer[aria-busy=false]').length === {answers} && !running", "the answer")


def classify(page: Page):
    page.eval("document.querySelector('#results').replaceChildren()")
    page.click("#classify-run")
    page.wait("document.querySelector('.result, #classify-trouble p') && !classifying", "the classification")
    equal(page.text("#classify-trouble"), "", "trouble")


def sent(page: Page, path: str) -> list[dict]:
    return [
        json.loads(e["request"]["postData"])
        for e in page.events("Network.requestWillBeSent")
        if e["request"]["url"].endswith("/" + path) and "postData" in e["request"]
    ]


def requested(page: Page) -> dict:
    """The last /generate_stream, without what the page adds for its own views."""
    body = sent(page, "generate_stream")[-1]
    equal((body["parameters"].pop("details"), body["parameters"].pop("top_n_tokens")), (True, 5), "what the page adds")
    return body


# ---- Generate ----


@test()
def it_opens_with_the_models_name_and_mask(page: Page, server: Server):
    ready(page)
    info = server.ask("info")
    equal(page.text("#model"), info["model_id"], "the model")
    check(info["prompt_mask_reason"] in page.text("#mask-reason"), "the reason of the mask is not shown")
    check(str(info["threads"]) in page.text("#facts") and info["weights"] in page.text("#facts"), "facts are missing")
    equal(
        page.eval("document.querySelector('#panel-generate [name=mask]:checked').value"),
        info["prompt_mask"],
        "the chosen mask",
    )
    page.wait("document.querySelector('#prompt-count').textContent", "the count of tokens")
    tokens = len(server.ask("tokenize", {"inputs": example("currency")}))
    check(
        page.text("#prompt-count").startswith(f"{tokens} tokens"),
        f"{page.text('#prompt-count')} is not {tokens} tokens",
    )


@test()
def the_cards_examples_are_there_byte_for_byte(page: Page, server: Server):
    ready(page)
    names = sorted(path.stem for path in EXAMPLES.glob("*.txt"))
    equal(
        sorted(page.eval("[...document.querySelectorAll('#examples button')].map((b) => b.dataset.name)")),
        names,
        "examples",
    )
    for name in names:
        page.click(f"#examples [data-name={name}]")
        equal(page.eval("document.querySelector('#prompt').value"), example(name), name)


@test()
def an_example_is_answered_as_the_server_answers_it(page: Page, server: Server):
    ready(page)
    page.click("#examples [data-name=sentiment]")
    run(page)
    body = requested(page)
    equal(body, {"inputs": example("sentiment"), "parameters": {"max_new_tokens": 64, "stop": ["\n"]}}, "the request")
    equal(
        page.eval("document.querySelector('.said').textContent"),
        server.ask("generate", body)["generated_text"],
        "the answer",
    )
    stats = page.text(".stats")
    check(
        re.search(r"^\d+ tokens? .*first after \d+\.\d\d s · prompt of \d+ · met a stop string$", stats),
        f"statistics: {stats}",
    )
    equal(page.text(".lead"), "Output:", "the line that the answer goes on with")


@test()
def an_answer_streams_and_is_read_out(page: Page, server: Server):
    ready(page)
    page.fill("#prompt", "[slow] Tell me a long story about a house by the sea.")
    page.eval(f"set('stop', []); set('max_new_tokens', {12 if server.mock else 100})")
    page.eval("""window.lengths = []; new MutationObserver(() => {
        const said = document.querySelector('.said');
        if (said && document.querySelector('[aria-busy=true]')) lengths.push(said.textContent.length);
    }).observe(document.querySelector('#answers'), {subtree: true, childList: true, characterData: true})""")
    run(page)
    lengths = page.eval("lengths")
    check(len(set(lengths)) > 3 and lengths == sorted(lengths), f"the text grew as {lengths}")
    said = page.eval("document.querySelector('.said').textContent")
    squeezed = " ".join(said.split())
    equal(
        " ".join(page.eval("document.querySelector('#live').textContent").split())[: len(squeezed)].replace(" ", ""),
        squeezed.replace(" ", ""),
        "what is read out",
    )
    check(page.text("#news").startswith("Complete"), "the end is not announced")
    check(re.search(r"tokens/s", page.text(".stats")), "no speed is shown")


@test(only_mock=True)
def stop_and_escape_end_an_answer(page: Page, server: Server):
    ready(page)
    most = 800
    for way in ("button", "key"):
        page.fill("#prompt", f"[slow] Tell me a long story {way}")
        page.eval(f"set('stop', []); set('max_new_tokens', {most})")
        page.click("#run")
        page.wait("answers[0]?.generated.length > 2 && meantToStop(document.querySelector('#run'))", "some tokens")
        equal(page.text("#run"), "Stop", "the button")
        if way == "button":
            page.click("#run")
        else:
            page.key("Escape")
        page.wait("!running", "the end", 5)
        check("stopped" in page.text(".stats"), f"{page.text('.stats')} does not say stopped")
        equal(page.text("#run"), "Run", "the button")
        check(0 < page.eval("answers[0].generated.length") < most, "it was not stopped")
        end = time.monotonic() + 5
        while not any(way in prompt for prompt in server.mock.hung_up) and time.monotonic() < end:
            page.browser.pump(0.05)
        check(any(way in prompt for prompt in server.mock.hung_up), "the connection was not closed")


@test()
def an_answer_that_comes_fast_can_be_stopped_too(page: Page, server: Server):
    """A small model is done before anybody could press a key, so the page presses it at the second token."""
    ready(page)
    most = min(400, server.ask("info")["max_total_tokens"] - 50)
    page.fill("#prompt", "Tell me a long story")
    page.eval(f"set('stop', []); set('max_new_tokens', {most})")
    page.eval(
        """new MutationObserver(() => answers[0]?.generated.length > 1 && document.dispatchEvent(new KeyboardEvent("keydown", {key: "Escape"})))
        .observe(document.querySelector("#answers"), {subtree: true, childList: true})"""
    )
    run(page)
    check(
        "stopped" in page.text(".stats") and 1 < page.eval("answers[0].generated.length") < most,
        f"it was not stopped: {page.text('.stats')}",
    )
    page.eval("set('prompt', 'And now?'); set('max_new_tokens', 1)")
    run(page)
    check(page.eval("answers[0].finished"), "the next answer does not come")


@test()
def settings_go_into_the_request(page: Page, server: Server):
    ready(page)
    for name, value in {
        "temperature": "0.7",
        "top_k": "12",
        "top_p": "0.9",
        "seed": "7",
        "max_new_tokens": "5",
        "repetition_penalty": "1.2",
    }.items():
        page.fill(f"#{name}", value)
    page.click(".chips[data-setting=stop] .chip button")
    page.fill("#stop-new", "\\n\\n")
    page.key("Enter")
    page.fill("#stop-new", "END, not \\\\n")
    page.key("Enter")
    run(page)
    equal(
        requested(page)["parameters"],
        {
            "do_sample": True,
            "temperature": 0.7,
            "top_k": 12,
            "top_p": 0.9,
            "seed": 7,
            "max_new_tokens": 5,
            "repetition_penalty": 1.2,
            "stop": ["\n\n", "END, not \\n"],
        },
        "parameters",
    )
    page.fill("#seed", "")
    page.fill("#top_k", "0")
    page.fill("#top_p", "1")
    run(page)
    parameters = requested(page)["parameters"]
    check(not {"seed", "top_k", "top_p"} & set(parameters), f"{parameters} has what is off")
    page.fill("#max_new_tokens", "0")
    before = len(sent(page, "generate_stream"))
    page.click("#run")
    equal(len(sent(page, "generate_stream")), before, "requests with a number out of range")


@test()
def settings_are_remembered_and_travel_in_a_link(page: Page, server: Server):
    ready(page)
    page.fill("#prompt", "a & b = 'c' #d\n\"e\" ü ✓")
    page.fill("#temperature", "0.5")
    page.click("#panel-generate [name=mask][value=causal]")
    page.eval("set('labels', ['x', 'y, z'])")
    page.eval("new Promise((resolve) => setTimeout(resolve, 400))")
    page.go(page.url)
    ready(page)
    wanted = page.eval("settings")
    equal(
        [wanted["prompt"], wanted["temperature"], wanted["mask"]],
        ["a & b = 'c' #d\n\"e\" ü ✓", 0.5, "causal"],
        "what is remembered",
    )
    page.click("#panel-generate [data-act=link]")
    link = page.eval("navigator.clipboard.readText()")
    check(link.startswith(page.url + "#"), f"{link} is not of {page.url}")
    other = Page(page.browser, link)
    ready(other)
    equal(other.eval("settings"), wanted, "settings from the link")
    equal(other.eval("document.querySelector('#temperature').value"), "0.5", "the field")
    other.go("about:blank")
    other.go(
        page.url
        + "#temperature=1e999&top_k=%22a%22&stop=[1]&shots=[null]&mask=x&tab=%3Cb%3E&labels=[%22q%22]&nothing=1&__proto__=1&prompt=ok"
    )
    ready(other)
    equal(
        other.eval(
            "[settings.temperature, settings.top_k, settings.stop, settings.shots, settings.mask, settings.tab, settings.prompt, 'nothing' in settings]"
        ),
        [0, 40, ["\n"], other.eval("DEFAULTS.shots"), "", "generate", "ok", False],
        "settings from a bad link",
    )
    equal(other.complaints(), [], "complaints")
    other.close()
    page.click("#panel-generate [data-act=reset]")
    equal(page.eval("[settings.temperature, settings.prompt]"), [0, wanted["prompt"]], "after a reset")


# ---- Masks and tokens ----


@test()
def masks_are_switched_and_compared_side_by_side(page: Page, server: Server):
    ready(page)
    own = server.ask("info")["prompt_mask"]
    other = "causal" if own == "prefix" else "prefix"
    page.click(f"#panel-generate [name=mask][value={other}]")
    run(page)
    equal(requested(page)["parameters"].get("prompt_mask"), other, "prompt_mask")
    page.click(f"#panel-generate [name=mask][value={own}]")
    run(page)
    equal(requested(page)["parameters"].get("prompt_mask"), None, "the model's own mask")
    page.click("#panel-generate [name=mask][value=compare]")
    run(page, 2)
    equal(
        sorted(str(body["parameters"].get("prompt_mask")) for body in sent(page, "generate_stream")[-2:]),
        sorted(["None", other]),
        "both masks",
    )
    equal(
        page.eval("[...document.querySelectorAll('.answer h2')].map((h) => h.textContent)"),
        ["Bidirectional", "Causal"],
        "names",
    )
    left, right = page.eval("[...document.querySelectorAll('.answer')].map((a) => a.getBoundingClientRect().x)")
    check(left < right, "the answers are not side by side")
    for i, mask in enumerate(("prefix", "causal")):
        body = {
            "inputs": example("currency"),
            "parameters": {"max_new_tokens": 64, "stop": ["\n"], "prompt_mask": mask},
        }
        equal(
            page.eval(f"document.querySelectorAll('.said')[{i}].textContent"),
            server.ask("generate", body)["generated_text"],
            mask,
        )
    check(
        re.match("Both masks give the same answer|They part at token", page.text("#verdict")),
        "the difference is not told",
    )


# The cells of a drawn mask, row by row, each as the name of the custom property that its colour is.
CELLS = """((view) => {
    const {width, height} = view.canvas, scale = width / parseFloat(view.canvas.style.width);
    const pixels = view.canvas.getContext("2d").getImageData(0, 0, width, height).data;
    const colour = (x, y) => "#" + [0, 1, 2].map((i) => pixels[4 * (Math.floor(y * scale) * width + Math.floor(x * scale)) + i].toString(16).padStart(2, "0")).join("");
    const name = (hex) => ["earlier", "answer", "later", "none"].find((name) => view.colour("--mask-" + name) === hex) ?? hex;
    return view.tokens.map((_, row) => view.tokens.map((_, column) => name(colour(view.left + (column + .35) * view.cell, (row + .35) * view.cell))));
})"""


@test()
def each_mask_is_drawn_cell_by_cell(page: Page, server: Server):
    ready(page)
    page.click("#panel-generate [name=mask][value=compare]")
    run(page, 2)
    page.wait("answers.every((a) => a.prompt.length)", "the prompt's tokens")
    page.eval("new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve)))")
    for i, mask in enumerate(("prefix", "causal")):
        drawn = page.eval(f"{CELLS}(answers[{i}].maskView)")
        prompt = page.eval("answers[0].prompt.length")
        n = len(drawn)
        check(n > prompt > 0, f"{n} rows for a prompt of {prompt}")
        for row in range(n):
            for column in range(n):
                if column <= row:
                    wanted = "answer" if row >= prompt else "earlier"
                else:
                    wanted = "later" if mask == "prefix" and column < prompt else "none"
                equal(drawn[row][column], wanted, f"{mask}, row {row}, column {column}, prompt {prompt}")


@test()
def a_mask_tells_what_each_token_sees(page: Page, server: Server):
    ready(page)
    page.click("#panel-generate [name=mask][value=compare]")
    run(page, 2)
    page.wait("answers.every((a) => a.prompt.length)", "the prompt's tokens")
    tokens = [t["text"] for t in server.ask("tokenize", {"inputs": example("currency")})]
    page.eval("answers[0].maskView.canvas.focus()")
    page.key("ArrowDown", times=3)
    page.key("ArrowRight", times=5)
    n = len(tokens)
    told = page.eval("answers[0].maskView.canvas.getAttribute('aria-valuetext')")
    check(
        told.startswith(f"Prompt token 4, {tokens[3]}, sees all {n} of the prompt, {n - 4} of them later than itself.")
        and told.endswith("(6) is seen."),
        told,
    )
    equal(page.eval("answers[0].maskView.canvas.getAttribute('aria-valuenow')"), "4", "the row")
    page.eval("answers[1].maskView.canvas.focus()")
    page.key("ArrowDown", times=3)
    page.key("ArrowRight", times=5)
    told = page.eval("answers[1].maskView.canvas.getAttribute('aria-valuetext')")
    check(
        told.startswith(f"Prompt token 4, {tokens[3]}, sees 4: itself and what is before it.")
        and told.endswith("(6) is not seen."),
        told,
    )
    page.eval("document.activeElement.blur()")
    page.hover(".answer canvas")
    page.wait("answers[0].maskView.readout.textContent.includes('sees')", "the readout under the pointer")


@test()
def tokens_have_probabilities_and_alternatives(page: Page, server: Server):
    ready(page)
    run(page)
    page.click("[data-toggles=show_tokens]")
    page.wait("answers[0].prompt.length", "the prompt's tokens")
    prompt = server.ask("tokenize", {"inputs": example("currency")})
    equal(page.eval("document.querySelectorAll('.token.prompt').length"), len(prompt), "tokens of the prompt")
    equal(page.eval("answers[0].generated.at(-1).text"), "\n", "the name of the token that stopped it")
    equal(
        page.eval("document.querySelectorAll('.token:not(.prompt)').length"),
        page.eval("answers[0].generated.length"),
        "tokens of the answer",
    )
    label = page.eval("document.querySelector('.token:not(.prompt)').getAttribute('aria-label')")
    shown = page.eval("percent(Math.exp(answers[0].generated[0].logprob))")
    check(label.endswith(f", {shown}"), f"{label} does not tell {shown}")
    page.eval("document.querySelector('.token:not(.prompt)').focus()")
    equal(page.eval("document.querySelectorAll('#popover:not([hidden]) tr').length"), 5, "alternatives")
    check(
        page.text("#popover .taken").split()[0] == page.eval("answers[0].generated[0].text.trim()"),
        "the token itself is not marked",
    )
    page.key("ArrowRight")
    check(
        page.eval(
            "document.activeElement !== document.querySelector('.token:not(.prompt)') && document.activeElement.matches('.token')"
        ),
        "arrow keys do not move",
    )
    page.key("Escape")
    equal(page.eval("document.querySelector('#popover').hidden"), True, "the popover is hidden")
    page.click(".tokens + .legend button")
    page.wait("document.querySelectorAll('.token.prompt.scored').length", "scores of the prompt")
    equal(
        page.eval("document.querySelectorAll('.token.prompt.scored').length"),
        len(prompt) - 1,
        "scored tokens: all but the first",
    )


# ---- Classify ----


@test()
def a_text_is_classified_with_bars(page: Page, server: Server):
    ready(page)
    page.click("#tab-classify")
    page.click("#classify-examples [data-name=sentiment]")
    classify(page)
    body = sent(page, "classify")[-1]
    lines = example("sentiment").split("\n")
    equal(
        body,
        {
            "inputs": lines[8].removeprefix("Input: "),
            "labels": ["sadness", "joy", "love", "anger", "fear", "surprise"],
            "instruction": lines[0],
            "text_name": "Input",
            "label_name": "Output",
            "list_labels": False,
            "shots": [
                {"text": lines[2].removeprefix("Input: "), "label": "sadness"},
                {"text": lines[5].removeprefix("Input: "), "label": "anger"},
            ],
            "details": True,
        },
        "the request",
    )
    wanted = server.ask("classify", body)["results"][0]
    check(
        page.text(".result .verdict").startswith(wanted["label"]),
        f"{page.text('.result .verdict')} is not {wanted['label']}",
    )
    widths = page.eval(
        """Object.fromEntries([...document.querySelectorAll('.labels tr')].map((tr) =>
        [tr.querySelector('th').textContent, tr.querySelector('.bar').getBoundingClientRect().width / tr.querySelector('.bars').getBoundingClientRect().width]))"""
    )
    equal(sorted(widths), sorted(body["labels"]), "labels")
    for label, width in widths.items():
        check(
            abs(width - wanted["probabilities"][label]) < 0.02,
            f"the bar of {label} is {width}, its probability {wanted['probabilities'][label]}",
        )
    check(wanted["label"] in page.text("#news"), "the label is not announced")


@test()
def many_texts_are_classified_and_compared(page: Page, server: Server):
    ready(page)
    page.click("#tab-classify")
    texts = [
        f"i feel {word} today"
        for word in ("so happy", "rather sad", "very angry", "afraid", "in love", "surprised", "quite well")
    ]
    page.fill("#texts", "\n".join(texts) + "\n\n")
    page.click("[data-setting=each_line]")
    page.click("#panel-classify [name=classify-mask][value=compare]")
    classify(page)
    equal(page.eval("[...document.querySelectorAll('.excerpt')].map((e) => e.textContent)"), texts, "texts")
    for i, mask in enumerate(("prefix", "causal")):
        body = {**sent(page, "classify")[-1], "inputs": texts[:1], "prompt_mask": mask}
        equal(
            page.eval(f"classified[0].outcomes[{i}].result.label"),
            server.ask("classify", body)["results"][0]["label"],
            f"under the {mask} mask",
        )
    page.click("details.result summary")
    equal(
        page.eval("document.querySelector('details.result .labels tr').querySelectorAll('.bar').length"),
        2,
        "bars of a label",
    )
    check("mask" in page.text(".overview"), "the difference is not told")


@test()
def examples_are_edited_and_pasted(page: Page, server: Server):
    ready(page)
    page.click("#tab-classify")
    page.eval("set('shots', []); set('labels', [])")
    page.click("[data-act=add-shot]")
    page.write("first, by hand")
    page.key("Tab")
    page.write("a")
    page.click("[data-act=paste-csv]")
    page.write('Label,id,TEXT\nb,1,"with ""quotes"", commas\nand a line"\r\nc,2,plain\n,3,without a label\n')
    page.click("[data-act=add-csv]")
    page.fill("#csv", 'tabs\tb\n"x"\tc')
    page.click("[data-act=add-csv]")
    wanted = [
        {"text": "first, by hand", "label": "a"},
        {"text": 'with "quotes", commas\nand a line', "label": "b"},
        {"text": "plain", "label": "c"},
        {"text": "tabs", "label": "b"},
        {"text": "x", "label": "c"},
    ]
    equal(page.eval("settings.shots"), wanted, "examples")
    equal(page.eval("settings.labels"), ["b", "c"], "labels found in the rows")
    page.click("#shots tr:nth-child(3) .remove")
    page.fill("#labels-new", "a, d")
    page.key("Enter")
    equal(page.eval("settings.labels"), ["b", "c", "a", "d"], "labels")
    page.click("[data-setting=by_length]")
    page.click("[data-setting=calibrate]")
    page.fill("#texts", "some text")
    classify(page)
    body = sent(page, "classify")[-1]
    equal(
        (body["shots"], body["normalize"], body["calibrate"]), (wanted[:2] + wanted[3:], "length", True), "the request"
    )


# ---- Code ----


def open_code(page: Page):
    page.click("#code summary")
    page.wait("document.querySelector('#snippet').textContent", "the code")


def snippet(page: Page, language: str) -> str:
    page.click(f"[data-language={language}]")
    page.click("#copy-code")
    page.wait("document.querySelector('#news').textContent === 'Code copied'", "the copy")
    page.eval("say('')")
    return page.eval("navigator.clipboard.readText()")


def output_of(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    check(done.returncode == 0, f"{command[0]} failed: {done.stderr}")
    return done.stdout


def has_module(name: str) -> bool:
    return subprocess.run([sys.executable, "-c", f"import {name}"], capture_output=True).returncode == 0


@test()
def the_code_does_what_the_page_does(page: Page, server: Server):
    ready(page)
    page.fill("#prompt", example("currency") + " it's a \"quoted\" \\n 'one' $HOME `x`\nOutput:")
    page.eval("set('stop', ['\\n', '\"\\'']); set('max_new_tokens', 8); set('repetition_penalty', 1.1)")
    run(page)
    said = page.eval("document.querySelector('.said').textContent")
    open_code(page)
    equal(
        json.loads(output_of("bash", "-c", snippet(page, "curl").replace("curl ", "curl -sS ", 1)))["generated_text"],
        said,
        "curl",
    )
    for language, module in (("requests", "requests"), ("hub", "huggingface_hub"), ("openai", "openai")):
        code = snippet(page, language)
        compile(code, language, "exec")
        if has_module(module) and (language == "requests" or not server.mock):
            equal(
                output_of(sys.executable, "-c", code).removesuffix("" if language == "openai" else "\n"),
                said,
                language,
            )
    if shutil.which("node"):
        equal(
            output_of("node", "--input-type=module", "-e", snippet(page, "javascript")).removesuffix("\n"),
            said,
            "JavaScript",
        )


@test()
def the_code_of_a_classification_works(page: Page, server: Server):
    ready(page)
    page.click("#tab-classify")
    page.click("#classify-examples [data-name=hate]")
    open_code(page)
    equal(
        page.eval("[...document.querySelectorAll('#languages button:not([hidden])')].map((b) => b.dataset.language)"),
        ["curl", "requests", "javascript"],
        "languages",
    )
    classify(page)
    label = page.eval("classified[0].outcomes[0].result.label")
    equal(
        json.loads(output_of("bash", "-c", snippet(page, "curl").replace("curl ", "curl -sS ", 1)))["results"][0][
            "label"
        ],
        label,
        "curl",
    )
    compile(snippet(page, "requests"), "requests", "exec")


# ---- For everybody ----


@test(width=390, height=844, phone=True)
def nothing_is_wider_than_a_phone(page: Page, server: Server):
    ready(page)
    page.eval("set('show_tokens', true)")
    page.click("#panel-generate [name=mask][value=compare]")
    run(page, 2)
    page.eval("document.querySelectorAll('details').forEach((d) => (d.open = true))")
    for tab in ("generate", "classify"):
        page.click(f"#tab-{tab}")
        if tab == "classify":
            classify(page)
        for width in (390, 320):
            page.call("Emulation.setDeviceMetricsOverride", width=width, height=844, deviceScaleFactor=1, mobile=True)
            page.eval("new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve)))")
            widest = page.eval("document.documentElement.scrollWidth")
            check(widest <= width, f"{tab} is {widest} wide on {width}: {wide_elements(page, width)}")
    small = page.eval(
        """[...document.querySelectorAll('button, input:not([type=range]), textarea, summary')].filter((e) => e.checkVisibility() && !e.matches('.token'))
        .map((e) => [e.outerHTML.slice(0, 80), e.getBoundingClientRect()]).filter(([, r]) => r.width && (r.height < 24 && r.width < 24)).map(([html]) => html)"""
    )
    equal(
        [html for html in small if "checkbox" not in html], [], "too small to be touched"
    )  # a checkbox's label is touched, too


def wide_elements(page: Page, width: int) -> str:
    return page.eval(
        f"[...document.querySelectorAll('body *')].filter((e) => e.getBoundingClientRect().right > {width} + 1).map((e) => e.tagName + '.' + e.className).slice(0, 6).join(' ')"
    )


# The contrast of every text with what is behind it (WCAG 2.2, 1.4.3), the worst first. Canvas turns any colour into numbers.
CONTRASTS = """(() => {
    const g = Object.assign(document.createElement("canvas"), {width: 1, height: 1}).getContext("2d", {willReadFrequently: true});
    const over = (colours) => { g.clearRect(0, 0, 1, 1); for (const c of colours) { g.fillStyle = c; g.fillRect(0, 0, 1, 1); } return [...g.getImageData(0, 0, 1, 1).data]; };
    const light = ([r, g, b]) => { const f = (v) => (v /= 255) <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4; return .2126 * f(r) + .7152 * f(g) + .0722 * f(b); };
    const behind = (e) => { const all = []; for (; e; e = e.parentElement) all.unshift(getComputedStyle(e).backgroundColor); return all; };
    const out = [];
    for (const e of document.querySelectorAll("body *")) {
        if (!e.checkVisibility() || e.closest(".unseen, .greedy .sampling, svg") || ![...e.childNodes].some((n) => n.nodeType === 3 && n.data.trim())) continue;
        const back = behind(e), a = light(over(back)), b = light(over([...back, getComputedStyle(e).color]));
        out.push([(Math.max(a, b) + .05) / (Math.min(a, b) + .05), e.tagName + "." + e.className + " " + e.textContent.slice(0, 30)]);
    }
    return out.sort((x, y) => x[0] - y[0]);
})()"""


def check_contrast(page: Page):
    page.eval("set('show_tokens', true)")
    page.click("#panel-generate [name=mask][value=compare]")
    run(page, 2)
    page.eval("document.querySelectorAll('details').forEach((d) => (d.open = true))")
    for tab in ("generate", "classify"):
        page.click(f"#tab-{tab}")
        if tab == "classify":
            classify(page)
        contrasts = page.eval(CONTRASTS)
        check(len(contrasts) > 30, "no texts were found")
        equal([worst for worst in contrasts if worst[0] < 4.5], [], f"weak contrasts of {tab}")


@test()
def texts_are_legible_by_day(page: Page, server: Server):
    ready(page)
    check_contrast(page)


@test(dark=True)
def texts_are_legible_by_night(page: Page, server: Server):
    ready(page)
    check(
        page.eval("getComputedStyle(document.documentElement).backgroundColor") == "rgb(19, 20, 22)", "it is not dark"
    )
    check_contrast(page)


@test()
def the_keyboard_is_enough(page: Page, server: Server):
    ready(page)
    page.eval("window.scrollTo(0, 0)")
    passed = []

    def tab_until(selector: str, modifiers: int = 0):
        for _ in range(60):
            page.key("Tab", modifiers)
            passed.append(
                page.eval(
                    "document.activeElement.id || document.activeElement.className || document.activeElement.tagName"
                )
            )
            if page.eval(f"document.activeElement.matches({json.dumps(selector)})"):
                check(
                    page.eval("document.activeElement.matches(':focus-visible')"), f"{selector}: the focus is not seen"
                )
                return
        raise Failure(f"Tab does not reach {selector}: {passed}")

    tab_until("#tab-generate")
    page.key("ArrowRight")
    equal(page.eval("settings.tab"), "classify", "the tab after an arrow key")
    page.key("ArrowLeft")
    tab_until("#examples [data-name=entities]")
    page.key("Enter")
    tab_until("#prompt")
    equal(page.eval("document.activeElement.value"), example("entities"), "the prompt")
    tab_until("#panel-generate [name=mask]")
    page.key("ArrowRight")
    page.key("ArrowRight")
    equal(
        page.eval("settings.mask"),
        "compare" if server.ask("info")["prompt_mask"] == "prefix" else "prefix",
        "the mask after arrow keys",
    )
    page.eval("set('mask', '')")
    tab_until("#run")
    page.key("Enter")
    page.wait("answers[0]?.finished && !running", "the answer")
    tab_until("[data-toggles=show_tokens]")
    page.key("Space")
    tab_until(".token")
    page.key("ArrowLeft")  # from the first to the last
    check(
        page.eval(
            "document.activeElement.matches('.token:not(.prompt)') && !document.querySelector('#popover').hidden"
        ),
        "no popover at the last token",
    )
    tab_until("#temperature")
    page.key("Enter", CONTROL)
    page.wait("answers[0]?.finished && !running", "the second answer")
    equal(len(sent(page, "generate_stream")), 2, "runs")
    tab_until("#prompt", SHIFT)


@test()
def everything_that_takes_the_focus_has_a_name(page: Page, server: Server):
    ready(page)
    page.eval("set('show_tokens', true); set('show_mask', true)")
    run(page)
    page.eval("document.querySelectorAll('details').forEach((d) => (d.open = true))")
    for tab in ("generate", "classify"):
        page.click(f"#tab-{tab}")
        if tab == "classify":
            page.click("[data-act=paste-csv]")
            classify(page)
        nodes = page.call("Accessibility.getFullAXTree")["nodes"]
        focusable = [
            n
            for n in nodes
            if not n.get("ignored")
            and any(p["name"] == "focusable" and p["value"]["value"] for p in n.get("properties", []))
        ]
        check(len(focusable) > 15, f"only {len(focusable)} controls were found")
        equal(
            [
                n["role"]["value"]
                for n in focusable
                if not n.get("name", {}).get("value", "").strip() and n["role"]["value"] not in ("RootWebArea",)
            ],
            [],
            f"controls of {tab} without a name",
        )


@test()
def text_cannot_become_markup(page: Page, server: Server):
    ready(page)
    page.fill("#prompt", "<img src=x onerror=alert(1)><b>India</b>")
    page.eval("set('show_tokens', true); set('labels', ['<b>a</b>', '<script>']); set('shots', [])")
    run(page)
    page.click("#tab-classify")
    classify(page)
    equal(
        page.eval("document.querySelectorAll('#answers img, #answers b, #results script').length"),
        0,
        "elements made of text",
    )
    equal(
        page.eval(
            "(() => { try { document.body.innerHTML = '<p>'; return 'let through'; } catch (e) { return e.name; } })()"
        ),
        "TypeError",
        "innerHTML",
    )
    page.browser.events.clear()  # the policy has just complained, as it should


# ---- Trouble ----


@test(only_mock=True)
def a_refused_request_says_why_and_where(page: Page, server: Server):
    ready(page)
    page.fill("#prompt", "[bad]")
    run(page)
    check("more than it may be" in page.text(".answer .trouble"), "the message is not shown")
    equal(
        page.eval("document.querySelector('#temperature').getAttribute('aria-invalid')"), "true", "the field is marked"
    )
    page.fill("#prompt", example("currency"))
    page.click(".answer .trouble button")
    page.wait("answers[0]?.finished", "the next try")


@test(only_mock=True)
def a_busy_server_is_asked_again(page: Page, server: Server):
    ready(page)
    server.mock.busy = 1
    page.fill("#prompt", "[busy] India")
    page.click("#run")
    page.wait("document.querySelector('.answer .trouble')?.textContent.includes('Asking again in')", "the wait", 5)
    page.wait("answers[0]?.finished", "the answer")
    equal(page.text(".answer .trouble"), "", "what is left of the message")
    equal(page.eval("document.querySelector('.said').textContent"), " Indian Rupee", "the answer")


@test(only_mock=True)
def a_broken_stream_is_told(page: Page, server: Server):
    ready(page)
    page.fill("#prompt", "[gone]")
    run(page)
    check("before the answer was complete" in page.text(".answer .trouble"), "it is not told")
    check(page.eval("document.querySelector('.said').textContent"), "what had come is gone")


@test(only_mock=True)
def a_key_is_asked_for_and_used(page: Page, server: Server):
    server.mock.key = "secret"
    try:
        page.go("about:blank")
        page.go(page.url)
        page.wait("!document.querySelector('#key-form').hidden", "the field for the key")
        page.fill("#key", "wrong")
        page.key("Enter")
        page.wait("document.querySelector('#mask-reason').textContent.includes('does not know')", "the refusal")
        page.fill("#key", "secret")
        page.key("Enter")
        ready(page)
        equal(page.eval("document.querySelector('#key-form').hidden"), True, "the form is gone")
        run(page)
        equal(page.eval("document.querySelector('.said').textContent"), " Indian Rupee", "the answer")
        open_code(page)
        for language in ("curl", "requests", "hub", "openai", "javascript"):
            code = snippet(page, language)
            check("GPTJT_API_KEY" in code and "secret" not in code, f"{language}: {code}")
            if language in ("requests", "hub", "openai"):
                compile(code, language, "exec")
        check(
            "secret" not in page.eval("linkOf() + JSON.stringify(localStorage)"),
            "the key is in a link or stays in the browser",
        )
        os.environ["GPTJT_API_KEY"] = "secret"
        equal(
            json.loads(output_of("bash", "-c", snippet(page, "curl").replace("curl ", "curl -sS ", 1)))[
                "generated_text"
            ],
            " Indian Rupee",
            "curl with a key",
        )
    finally:
        server.mock.key = None


@test(only_mock=True)
def a_server_that_is_gone_is_told_and_found_again(page: Page, server: Server):
    ready(page)
    page.call("Network.emulateNetworkConditions", offline=True, latency=0, downloadThroughput=-1, uploadThroughput=-1)
    run(page)
    check("Is gptjt serve still running?" in page.text(".answer .trouble"), "it is not told")
    page.call("Network.emulateNetworkConditions", offline=False, latency=0, downloadThroughput=-1, uploadThroughput=-1)
    page.click(".answer .trouble button")
    page.wait("answers[0]?.finished", "the next try")


# ---- Running them ----


def run_test(browser: Browser, server: Server, function, view: dict) -> str:
    browser.events.clear()
    page = Page(browser, server.url, **view)
    try:
        function(page, server)
        equal(page.complaints(), [], "complaints of the browser")
        strangers = [url for url in page.asked() if not url.startswith((server.url, "about:", "data:", "blob:"))]
        equal(strangers, [], "requests to others")
        return ""
    except Exception as failure:  # a page that is not as it should be fails in many ways
        return f"{type(failure).__name__}: {failure} {page.complaints()}"
    finally:
        page.close()


PICTURES = {  # name: (what the tab is like, what is done before)
    "page-wide": (dict(width=1280, height=1190), "compare"),
    "page-phone": (dict(width=390, height=1080, phone=True, dark=True, scale=1.5), "classify"),
}


def take_pictures(browser: Browser, server: Server, directory: Path):
    for name, (view, what) in PICTURES.items():
        page = Page(browser, server.url, **view)
        ready(page)
        if what == "compare":
            page.click("#panel-generate [name=mask][value=compare]")
            run(page, 2)
            page.wait("answers.every((a) => a.prompt.length)", "the prompt's tokens")
        else:
            page.click("#tab-classify")
            page.fill("#texts", "i did not see that coming and i am not sure how i feel about it")
            page.click("#panel-classify [name=classify-mask][value=compare]")
            classify(page)
        page.eval("document.activeElement.blur(); window.scrollTo(0, 0)")
        page.hover("header h1")
        if what == "compare":
            page.eval("answers[0].maskView.select({row: 3, column: 21})")
        page.eval("new Promise((resolve) => setTimeout(resolve, 300))")
        page.picture(directory / f"{name}.png")
        page.close()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("directory", type=Path, nargs="?", help="of the packed page, page.html and page.policy")
    parser.add_argument("--server", help="address of a running server to test instead of the stand-in")
    parser.add_argument(
        "--chromium",
        default=shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome"),
    )
    parser.add_argument("--only", default="", help="tests whose names hold this")
    parser.add_argument(
        "--pictures", type=Path, help="take the screenshots of the documentation, into this directory; no tests"
    )
    args = parser.parse_args()
    if not args.chromium:
        print("skipped: no chromium here")
        return SKIPPED
    stand_in = None if args.server else mock.start(args.directory)
    server = Server(args.server.rstrip("/") + "/" if args.server else stand_in.url, stand_in)
    browser = Browser(args.chromium)
    failed = 0
    try:
        if args.pictures:
            take_pictures(browser, server, args.pictures)
            return 0
        for function, only_mock, view in TESTS:
            if args.only not in function.__name__:
                continue
            if only_mock and not stand_in:
                print(f"skip  {function.__name__}: needs the stand-in")
                continue
            trouble = run_test(browser, server, function, view)
            failed += bool(trouble)
            print(f"FAIL  {function.__name__}: {trouble}" if trouble else f"ok    {function.__name__}", flush=True)
    finally:
        browser.close()
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
