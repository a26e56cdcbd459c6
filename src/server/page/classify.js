/* SPDX-License-Identifier: Apache-2.0
   The tab "Classify": which label does the model expect? One text or many, under one mask or both. */

let classifying = null; /* an AbortController while it works */
let classified = [];    /* {text, outcomes: [{mask, result}]} */

const MOST_AT_ONCE = 32; /* texts in a request, if the server does not say */
const BARS_SHOWN = 8;

/* All texts under one mask, in as many requests as the server takes. */
async function classifyUnder(mask, texts, signal, onDone) {
    const most = Math.max(1, Math.min(info?.max_client_batch_size ?? MOST_AT_ONCE, MOST_AT_ONCE));
    const results = [];
    for (let at = 0; at < texts.length; at += most) {
        const part = texts.slice(at, at + most);
        const request = {...classifyRequest(mask, part), details: true};
        const answer = await askJson("classify", request, signal, (s, why) => showWait($("#classify-trouble"), s, why));
        results.push(...answer.results);
        onDone(part.length);
    }
    return results;
}

async function runClassify() {
    clearProblem($("#classify-trouble"));
    classifying = new AbortController();
    showRunning($("#classify-run"), classifying);
    $("#results").replaceChildren();
    const texts = textsWanted(), masks = masksWanted(), all = texts.length * masks.length;
    let done = 0;
    const tell = () => ($("#classify-count").textContent = all > 1 ? `${done} of ${all}` : "Reading…");
    tell();
    try {
        const results = await Promise.all(masks.map((mask) => classifyUnder(mask, texts, classifying.signal, (n) => {
            done += n;
            tell();
        })));
        classified = texts.map((text, i) => ({text, outcomes: masks.map((mask, m) => ({mask, result: results[m][i]}))}));
        showResults();
        $("#classify-count").textContent = "";
        say(`${plural(texts.length, "text")} classified. ${texts.length === 1 ? classified[0].outcomes.map(spokenOutcome).join(" ") : ""}`);
    } catch (error) {
        $("#classify-count").textContent = error.name === "AbortError" ? "Stopped" : "";
        if (error.name !== "AbortError") showProblem($("#classify-trouble"), error, () => $("#classify-form").requestSubmit());
        else $("#classify-trouble").replaceChildren();
    }
    classifying = null;
    showRunning($("#classify-run"), null, "Classify");
}

const spokenOutcome = ({mask, result}) => `${MASK_NAMES[mask]}: ${result.label}, ${percent(result.score)}.`;

/* ---- Results ---- */

function showResults() {
    const many = classified.length > 3;
    const cards = classified.map((one) => (many ? foldedResult(one) : make("article", {class: "card result"}, ...resultParts(one))));
    $("#results").replaceChildren(...(classified.length > 1 ? [overview()] : []),
        ...(many ? [make("div", {class: "card folded"}, ...cards)] : cards));
}

function overview() {
    const counts = new Map();
    for (const {outcomes} of classified) counts.set(outcomes[0].result.label, (counts.get(outcomes[0].result.label) ?? 0) + 1);
    const differ = classified.filter(({outcomes}) => outcomes[1] && outcomes[0].result.label !== outcomes[1].result.label).length;
    const words = [...counts].sort((a, b) => b[1] - a[1]).map(([label, n]) => `${label} ${n}`).join(" · ");
    return make("div", {class: "overview"}, make("p", {}, words), settings.mask === "compare" ? make("p", {class: "hint"}, differ ? `The masks differ on ${plural(differ, "text")}.` : "Both masks agree on all.") : null,
        make("button", {type: "button", onclick: saveCsv}, "Save as CSV"));
}

function foldedResult(one) {
    const {label, score} = one.outcomes[0].result, second = one.outcomes[1]?.result;
    const other = second && second.label !== label ? make("span", {class: "other"}, `causal: ${second.label}`) : null;
    const bar = make("i", {class: "bar"});
    bar.style.setProperty("--p", score);
    return make("details", {class: "result"}, make("summary", {}, make("span", {class: "excerpt"}, one.text), make("span", {}, make("b", {}, label), other),
        make("span", {class: "bars"}, bar), make("span", {class: "number"}, percent(score))), ...resultParts(one));
}

function resultParts(one) {
    const {result} = one.outcomes[0];
    const compared = one.outcomes.length > 1;
    const order = Object.keys(result.probabilities).sort((a, b) => result.probabilities[b] - result.probabilities[a]);
    const shown = order.slice(0, BARS_SHOWN), rest = order.slice(BARS_SHOWN);
    return [
        make("p", {class: "verdict"}, ...one.outcomes.map(({mask, result: r}) => make("span", {}, compared ? make("span", {class: `key ${mask}`}, MASK_NAMES[mask]) : null,
            make("b", {}, r.label), ` ${percent(r.score)}`))),
        classified.length > 1 ? make("p", {class: "text"}, one.text) : null,
        labelTable(shown, one.outcomes),
        rest.length ? make("details", {class: "more"}, make("summary", {}, `${plural(rest.length, "label")} more`), labelTable(rest, one.outcomes)) : null,
        make("p", {class: "hint stats"}, notesOn(result)),
        result.prompt ? make("details", {class: "more"}, make("summary", {}, "The prompt it was asked with"), make("pre", {tabindex: 0}, result.prompt)) : null,
    ];
}

function notesOn(result) {
    const notes = [`prompt of ${plural(result.prompt_tokens, "token")}`];
    if (settings.shots.length) notes.push(`${plural(result.n_shots, "example")} in it`);
    if (result.n_dropped) notes.push(`${plural(result.n_dropped, "token")} of the text did not fit`);
    return notes.join(" · ");
}

function labelTable(labels, outcomes) {
    const table = make("table", {class: "labels", "aria-label": "Probability of each label"}, make("tbody", {}, ...labels.map((label) => {
        const best = outcomes.some(({result}) => result.label === label);
        return make("tr", {class: best ? "taken" : null}, make("th", {scope: "row"}, label),
            make("td", {class: "bars"}, ...outcomes.map(({mask, result}) => {
                const bar = make("i", {class: outcomes.length > 1 ? `bar ${mask}` : "bar"});
                bar.style.setProperty("--p", result.probabilities[label]);
                return bar;
            })),
            make("td", {class: "number"}, ...outcomes.map(({mask, result}) => make("span", {title: `log-likelihood ${result.log_likelihoods?.[label]?.toFixed(3) ?? "unknown"}`},
                outcomes.length > 1 ? make("span", {class: "unseen"}, `${MASK_NAMES[mask]} `) : null, percent(result.probabilities[label])))));
    })));
    table.style.setProperty("--widest", `${0.62 * Math.min(24, Math.max(...labels.map((label) => label.length))) + 1.5}em`);
    return table;
}

function saveCsv() {
    const labels = Object.keys(classified[0].outcomes[0].result.probabilities);
    const masks = classified[0].outcomes.map(({mask}) => mask), suffix = (mask) => (masks.length > 1 ? `_${mask}` : "");
    const head = ["text", ...masks.flatMap((mask) => [`label${suffix(mask)}`, ...labels.map((label) => `p(${label})${suffix(mask)}`)])];
    const rows = classified.map(({text, outcomes}) => [text, ...outcomes.flatMap(({result}) => [result.label, ...labels.map((label) => result.probabilities[label])])]);
    const blob = new Blob([[head, ...rows].map((row) => row.map(csvField).join(",")).join("\r\n") + "\r\n"], {type: "text/csv"});
    const link = make("a", {href: URL.createObjectURL(blob), download: "classified.csv"});
    link.click();
    URL.revokeObjectURL(link.href);
}

/* ---- The card's classification examples: their few-shot prompts, taken apart ---- */

const EXAMPLE_LABELS = {sentiment: ["sadness", "joy", "love", "anger", "fear", "surprise"], hate: ["hate speech", "not hate speech"]};

function takeExample(name) {
    const [head, ...blocks] = EXAMPLES[name].split("\n\n");
    const lines = blocks.map((block) => block.split("\n").map((line) => line.match(/^([^:]+):\s*(.*)$/).slice(1)));
    const [[textName, text], [labelName]] = lines.pop();
    set("instruction", head.split("\nPossible labels:")[0]);
    set("list_labels", head.includes("\nPossible labels:"));
    set("text_name", textName);
    set("label_name", labelName);
    set("labels", EXAMPLE_LABELS[name]);
    set("shots", lines.map(([[, shot], [, label]]) => ({text: shot, label})));
    set("each_line", false);
    set("texts", text);
}

function summariseClassify() {
    const parts = [settings.by_length ? "per token" : null, settings.calibrate ? "calibrated" : null, settings.list_labels ? "labels listed" : null];
    $("#classify-summary").textContent = parts.filter(Boolean).join(" · ");
}

function startClassify() {
    $("#classify-examples").append(...exampleButtons(Object.keys(EXAMPLE_LABELS).filter((name) => EXAMPLES[name]), takeExample));
    $("#classify-form").addEventListener("submit", (event) => {
        event.preventDefault();
        if (classifying) {
            if (performance.now() - $("#classify-run").began > 300) classifying.abort();
            return;
        }
        if (settings.labels.length >= 2) runClassify();
        else showProblem($("#classify-trouble"), new Problem(0, "Give at least two labels to choose from."), () => $("#labels-new").focus());
    });
    listeners.push(summariseClassify);
}
