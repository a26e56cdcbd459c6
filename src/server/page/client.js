/* SPDX-License-Identifier: Apache-2.0
   Talking to the server: JSON there and back, streams of events, and what to say when it does not work. Addresses are
   relative, so that the page also works behind a proxy under some path. */

const HERE = new URL(".", location.href.split("#")[0]).href;
const PATIENCE = 5; /* times that a busy server is asked again */

let apiKey = "";
try {
    apiKey = sessionStorage.getItem("gptjt-key") ?? "";
} catch { /* storage is off */ }

/* What went wrong, in a sentence; status 0: there was no answer at all. wait: seconds after which to ask again. */
class Problem extends Error {
    constructor(status, message, wait = 0) {
        super(message);
        this.status = status;
        this.wait = wait;
    }
}

function headers() {
    const all = {"Content-Type": "application/json"};
    if (apiKey) all.Authorization = `Bearer ${apiKey}`;
    return all;
}

async function problemOf(response) {
    let said = "";
    try {
        const body = await response.json();
        said = typeof body.error === "string" ? body.error : body.error?.message ?? "";
    } catch { /* not JSON: the status has to do */ }
    const wait = Number(response.headers.get("Retry-After")) || 1;
    const {status} = response;
    const does = apiKey ? "does not know this" : "asks for an";
    if (status === 401) return new Problem(status, `The server ${does} API key.`);
    if (status === 429) return new Problem(status, said || "The server is busy.", wait);
    if (status === 503) return new Problem(status, said || "The server is not ready yet.", wait);
    return new Problem(status, said || `The server answered ${status} ${response.statusText}.`);
}

async function ask(path, body, signal) {
    let response;
    try {
        response = await fetch(path, body === undefined ? {headers: headers(), signal, cache: "no-store"}
            : {method: "POST", headers: headers(), body: JSON.stringify(body), signal});
    } catch (error) {
        if (error.name === "AbortError") throw error;
        throw new Problem(0, `No answer from ${HERE}. Is gptjt serve still running?`);
    }
    if (!response.ok) throw await problemOf(response);
    return response;
}

const pause = (seconds, signal) => new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, 1000 * seconds);
    signal?.addEventListener("abort", () => {
        clearTimeout(timer);
        reject(new DOMException("stopped", "AbortError"));
    }, {once: true});
});

/* Asks again, as often and as late as a busy server wants. onWait(seconds left, its message). */
async function askPatiently(path, body, signal, onWait) {
    for (let tries = 0; ; tries++) {
        try {
            return await ask(path, body, signal);
        } catch (error) {
            if (!error.wait || tries === PATIENCE) throw error;
            for (let left = Math.min(error.wait, 60); left > 0; left--) {
                onWait(left, error.message);
                await pause(1, signal);
            }
            onWait(0, "");
        }
    }
}

async function askJson(path, body, signal, onWait = () => {}) {
    return (await askPatiently(path, body, signal, onWait)).json();
}

/* The events of a stream (text/event-stream, https://html.spec.whatwg.org/#parsing-an-event-stream), parsed. */
async function* askEvents(path, body, signal, onWait) {
    const response = await askPatiently(path, body, signal, onWait);
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    let text = "";
    for (;;) {
        let chunk;
        try {
            chunk = await reader.read();
        } catch (error) {
            if (error.name === "AbortError") throw error;
            throw new Problem(0, "The connection broke before the answer was complete.");
        }
        if (chunk.done) return;
        const events = (text + chunk.value).split(/\r?\n\r?\n/);
        text = events.pop();
        for (const event of events) {
            const lines = event.split(/\r?\n/).filter((line) => line.startsWith("data:"));
            const data = lines.map((line) => line.slice(5)).join("\n").trim();
            if (!data || data === "[DONE]") continue;
            const value = JSON.parse(data);
            if (value.error) throw new Problem(500, value.error);
            yield value;
        }
    }
}

/* Shows a problem in its place, with the way out of it. retry: what to do again. */
function showProblem(place, problem, retry) {
    const again = make("button", {type: "button", onclick: retry}, "Try again");
    place.replaceChildren(make("p", {}, problem.message), again);
    if (problem.status === 401) {
        $("#key-form").hidden = false;
        $("#key").focus();
    }
    markCulprit(place.closest(".panel"), problem);
}

/* A message about a setting points at its field. */
function markCulprit(panel, problem) {
    if (problem.status !== 422) return;
    const control = $$("[data-setting][id]", panel).find((c) => problem.message.includes(c.dataset.setting));
    if (!control) return;
    control.setAttribute("aria-invalid", "true");
    control.addEventListener("input", () => control.removeAttribute("aria-invalid"), {once: true});
}

function clearProblem(place) {
    place.replaceChildren();
    for (const control of $$("[aria-invalid]", place.closest(".panel"))) control.removeAttribute("aria-invalid");
}

/* The seconds run down silently: an alert every second would be no help to those who hear it. */
function showWait(place, seconds, message) {
    if (!seconds) place.replaceChildren();
    else if (!$(".seconds", place))
        place.replaceChildren(make("p", {}, `${message.replace(/\.?$/, ".")} Asking again `,
            make("span", {class: "seconds", "aria-hidden": "true"})));
    if (seconds) $(".seconds", place).textContent = `in ${seconds} s.`;
}
