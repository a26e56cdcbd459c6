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
        const outcomesOf = (i) => masks.map((mask, m) => ({mask, result: results[m][i]}));
        classified = texts.map((text, i) => ({text, outcomes: outcomesOf(i)}));
        showResults();
        $("#classify-count").textContent = "";
        const told = texts.length === 1 ? classified[0].outcomes.map(spokenOutcome).join(" ") : "";
        say(`${plural(texts.length, "text")} classified. ${told}`);
    } catch (error) {
        $("#classify-count").textContent = error.name === "AbortError" ? "Stopped" : "";
        if (error.name === "AbortError") $("#classify-trouble").replaceChildren();
        else showProblem($("#classify-trouble"), error, () => $("#classify-form").requestSubmit());
    }
    classifying = null;
    showRunning($("#classify-run"), null, "Classify");
}

const spokenOutcome = ({mask, result}) => `${MASK_NAMES[mask]}: ${result.label}, ${percent(result.score)}.`;

/* ---- Results ---- */

function showResults() {
    const cards = classified.length > 3 ? [make("div", {class: "card folded"}, ...classified.map(foldedResult))]
        : classified.map((one) => make("article", {class: "card result"}, ...resultParts(one)));
    $("#results").replaceChildren(...(classified.length > 1 ? [overview()] : []), ...cards);
}

function overview() {
    const counts = new Map();
    for (const {outcomes: [{result: {label}}]} of classified) counts.set(label, (counts.get(label) ?? 0) + 1);
    const words = [...counts].sort((a, b) => b[1] - a[1]).map(([label, n]) => `${label} ${n}`).join(" · ");
    const differ = classified.filter(({outcomes: [a, b]}) => b && a.result.label !== b.result.label).length;
    const verdict = differ ? `The masks differ on ${plural(differ, "text")}.` : "Both masks agree on all.";
    return make("div", {class: "overview"}, make("p", {}, words),
        classified[0].outcomes.length > 1 ? make("p", {class: "hint"}, verdict) : null,
        make("button", {type: "button", onclick: saveCsv}, "Save as CSV"));
}

function foldedResult(one) {
    const {label, score} = one.outcomes[0].result, second = one.outcomes[1]?.result;
    const other = second && second.label !== label ? make("span", {class: "other"}, `causal: ${second.label}`) : null;
    return make("details", {class: "result"},
        make("summary", {}, make("span", {class: "excerpt"}, one.text), make("span", {}, make("b", {}, label), other),
            make("span", {class: "bars"}, bar(score)), make("span", {class: "number"}, percent(score))),
        ...resultParts(one));
}

function resultParts(one) {
    const {result} = one.outcomes[0];
    const order = Object.keys(result.probabilities).sort((a, b) => result.probabilities[b] - result.probabilities[a]);
    const shown = order.slice(0, BARS_SHOWN), rest = order.slice(BARS_SHOWN);
    return [
        make("p", {class: "verdict"}, ...one.outcomes.map((outcome) => verdictPart(outcome, one.outcomes.length > 1))),
        classified.length > 1 ? make("p", {class: "text"}, one.text) : null,
        labelTable(shown, one.outcomes),
        rest.length ? more(`${plural(rest.length, "label")} more`, labelTable(rest, one.outcomes)) : null,
        make("p", {class: "hint stats"}, notesOn(result)),
        result.prompt ? more("The prompt it was asked with", make("pre", {tabindex: 0}, result.prompt)) : null,
    ];
}

const more = (title, content) => make("details", {class: "more"}, make("summary", {}, title), content);

function verdictPart({mask, result}, compared) {
    return make("span", {}, compared ? make("span", {class: `key ${mask}`}, MASK_NAMES[mask]) : null,
        make("b", {}, result.label), ` ${percent(result.score)}`);
}

function notesOn(result) {
    const notes = [`prompt of ${plural(result.prompt_tokens, "token")}`];
    if (settings.shots.length) notes.push(`${plural(result.n_shots, "example")} in it`);
    if (result.n_dropped) notes.push(`${plural(result.n_dropped, "token")} of the text did not fit`);
    return notes.join(" · ");
}

function labelTable(labels, outcomes) {
    const rows = labels.map((label) => labelRow(label, outcomes));
    const table = make("table", {class: "labels", "aria-label": "Probability of each label"},
        make("tbody", {}, ...rows));
    const widest = Math.min(24, Math.max(...labels.map((label) => label.length)));
    table.style.setProperty("--widest", `${0.62 * widest + 1.5}em`); /* 0.62 em: a wide letter */
    return table;
}

function labelRow(label, outcomes) {
    const compared = outcomes.length > 1;
    const best = outcomes.some(({result}) => result.label === label);
    const barOf = ({mask, result}) => bar(result.probabilities[label], compared ? mask : "");
    const numberOf = ({mask, result}) => make("span", {title: `log ${result.log_likelihoods[label].toFixed(3)}`},
        compared ? make("span", {class: "unseen"}, `${MASK_NAMES[mask]} `) : null,
        percent(result.probabilities[label]));
    return make("tr", {class: best ? "taken" : null}, make("th", {scope: "row"}, label),
        make("td", {class: "bars"}, ...outcomes.map(barOf)), make("td", {class: "number"}, ...outcomes.map(numberOf)));
}

function saveCsv() {
    const labels = Object.keys(classified[0].outcomes[0].result.probabilities);
    const suffixes = classified[0].outcomes.map(({mask}, _, all) => (all.length > 1 ? `_${mask}` : ""));
    const names = (suffix) => [`label${suffix}`, ...labels.map((label) => `p(${label})${suffix}`)];
    const values = ({result}) => [result.label, ...labels.map((label) => result.probabilities[label])];
    const rows = classified.map(({text, outcomes}) => [text, ...outcomes.flatMap(values)]);
    const all = [["text", ...suffixes.flatMap(names)], ...rows];
    const blob = new Blob(all.map((row) => `${row.map(csvField).join(",")}\r\n`), {type: "text/csv"});
    const link = make("a", {href: URL.createObjectURL(blob), download: "classified.csv"});
    link.click();
    URL.revokeObjectURL(link.href);
}

function summariseClassify() {
    const words = {by_length: "per token", calibrate: "calibrated", list_labels: "labels listed"};
    const on = Object.keys(words).filter((name) => settings[name]);
    $("#classify-summary").textContent = on.map((name) => words[name]).join(" · ");
}

function startClassify() {
    $("#classify-examples").append(...exampleButtons(Object.keys(EXAMPLE_LABELS), (name) => {
        for (const [setting, value] of Object.entries(taskOfExample(name))) set(setting, copyOf(value));
    }));
    $("#classify-form").addEventListener("submit", (event) => {
        event.preventDefault();
        if (classifying) {
            if (meantToStop($("#classify-run"))) classifying.abort();
            return;
        }
        const tooFew = new Problem(0, "Give at least two labels to choose from.");
        if (settings.labels.length >= 2) runClassify();
        else showProblem($("#classify-trouble"), tooFew, () => $("#labels-new").focus());
    });
    listeners.push(summariseClassify);
}
