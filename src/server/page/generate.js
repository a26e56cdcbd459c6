/* SPDX-License-Identifier: Apache-2.0
   The tab "Generate": runs what is asked, stops it, compares the masks' answers, counts the prompt's tokens. */

let answers = [];
let running = null; /* an AbortController while answers come in */

function showRunning(button, controller, word) {
    button.textContent = controller ? "Stop" : word;
    button.classList.toggle("stop", Boolean(controller));
    button.began = performance.now();
}

/* And is not the second half of a double click. */
const meantToStop = (button) => performance.now() - button.began > 300;

async function runGenerate() {
    clearProblem($("#generate-trouble"));
    running = new AbortController();
    showRunning($("#run"), running);
    $("#verdict").textContent = "";
    const masks = masksWanted(), compared = masks.length > 1;
    answers = masks.map((mask) => new Answer(mask, compared));
    $("#answers").replaceChildren(...answers.map((answer) => answer.root));
    $("#answers").classList.toggle("compared", compared);
    const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
    $("#answers").scrollIntoView({block: "nearest", behavior: still ? "auto" : "smooth"});
    liveAnswer.begin();
    say("Running");
    const {signal} = running, inputs = settings.prompt;
    tokensOf(inputs, signal).then((tokens) => answers.forEach((answer) => {
        answer.inputs = inputs;
        answer.setPrompt(tokens);
    }), () => {}); /* trouble shows in the answer itself */
    await Promise.all(answers.map((answer, i) => answer.run(signal, (text) => i === 0 && liveAnswer.add(text))));
    liveAnswer.flush();
    running = null;
    showRunning($("#run"), null, "Run");
    tellEnd(compared);
}

function tellEnd(compared) {
    if (answers.some((answer) => !answer.finished)) {
        say(answers.some((answer) => answer.trouble.childNodes.length) ? "" : "Stopped");
        return;
    }
    say(`Complete. ${answers.map((answer) => answer.stats.textContent).join(". ")}`);
    if (compared) $("#verdict").textContent = verdictOn(answers[0].generated, answers[1].generated);
}

function verdictOn(a, b) {
    const differs = a.findIndex((token, i) => token.id !== b[i]?.id);
    if (differs < 0 && a.length === b.length) return "Both masks give the same answer.";
    const at = differs < 0 ? a.length : differs;
    const name = (token) => (token ? quoted(token.text) : "nothing more");
    return `They part at token ${at + 1}: ${name(a[at])} against ${name(b[at])}.`;
}

const tokensOf = async (text, signal) => askJson("tokenize", {inputs: text}, signal);

/* ---- Tokens of the prompt, counted while it is written ---- */

let counting = 0;
function countPrompt() {
    clearTimeout(counting);
    const text = settings.prompt;
    if (!text) $("#prompt-count").textContent = "";
    counting = setTimeout(async () => {
        if (!text || !info) return;
        try {
            const tokens = await (await ask("tokenize", {inputs: text})).json();
            if (text !== settings.prompt) return;
            const most = info.max_input_tokens ?? info.max_total_tokens;
            const limit = most ? ` of ${most.toLocaleString("en")}` : "";
            const space = / $/.test(text) ? " · ends in a space, which belongs to the answer's first token" : "";
            $("#prompt-count").textContent = plural(tokens.length, "token") + limit + space;
            $("#prompt-count").classList.toggle("over", Boolean(most) && tokens.length > most);
        } catch {
            $("#prompt-count").textContent = "";
        }
    }, 400);
}

function markExample() {
    for (const button of $$("#examples .example"))
        button.setAttribute("aria-pressed", String(EXAMPLES[button.dataset.name] === settings.prompt));
}

function summarise() {
    const how = settings.temperature > 0 ? `temperature ${settings.temperature}` : "greedy";
    const parts = [how, `${settings.max_new_tokens} tokens`];
    if (settings.stop.length) parts.push(`stops at ${settings.stop.map(shaped).join(" ")}`);
    $("#summary").textContent = parts.join(" · ");
    $("#panel-generate").classList.toggle("greedy", !(settings.temperature > 0));
}

function startGenerate() {
    $("#examples").append(...exampleButtons(Object.keys(EXAMPLES), (name) => set("prompt", EXAMPLES[name])));
    $("#generate-form").addEventListener("submit", (event) => {
        event.preventDefault();
        if (!running) runGenerate();
        else if (meantToStop($("#run"))) running.abort();
    });
    listeners.push((name) => {
        if (name === "prompt") countPrompt(), markExample();
        if (name.startsWith("show_")) answers.forEach((answer) => answer.showViews());
        summarise();
    });
}
