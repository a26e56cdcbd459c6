/* SPDX-License-Identifier: Apache-2.0
   "Use it from code": the present request in the languages that people ask from. */

const usesKey = () => Boolean(apiKey);
const indent = (text, by) => text.replace(/\n/g, `\n${" ".repeat(by)}`);
const shellQuoted = (text) => `'${text.replace(/'/g, "'\\''")}'`;

/* A value as JSON, or as Python writes it (JSON's escapes in strings are Python's, too): a field a line, lists of plain
 * values on one line. step: of the indentation, spaces. */
function written(value, isPython, step, depth = 0) {
    if (typeof value === "boolean" && isPython) return value ? "True" : "False";
    if (typeof value !== "object") return JSON.stringify(value);
    const inner = (item) => written(item, isPython, step, depth + 1);
    const pad = " ".repeat(step * (depth + 1)), end = " ".repeat(step * depth);
    const last = isPython ? ",\n" : "\n";
    const lines = (items, open, close) =>
        `${open}\n${items.map((item) => pad + item).join(",\n")}${last}${end}${close}`;
    if (!Array.isArray(value)) {
        const fields = Object.entries(value).map(([name, item]) => `${JSON.stringify(name)}: ${inner(item)}`);
        return lines(fields, "{", "}");
    }
    const line = `[${value.map(inner).join(", ")}]`;
    return line.length < 90 && !line.includes("\n") ? line : lines(value.map(inner), "[", "]");
}

const json = (value) => written(value, false, 2);
const python = (value, depth = 0) => written(value, true, 4, depth);

/* The request: {path, body, result (what to print of the answer, as a path of names)}. A compared request is shown
 * under the first of the two masks; the other is one word away. */
function presentRequest() {
    const mask = masksWanted()[0];
    if (settings.tab === "classify") return {path: "classify", body: classifyRequest(mask), result: ["results"]};
    return {path: "generate", body: generateRequest(mask), result: ["generated_text"]};
}

function asCurl({path, body}) {
    const key = usesKey() ? `  -H "Authorization: Bearer $GPTJT_API_KEY" \\\n` : "";
    return `curl ${HERE}${path} \\\n  -H 'Content-Type: application/json' \\\n${key}  -d ${shellQuoted(json(body))}\n`;
}

function asRequests({path, body, result}) {
    const key = usesKey() ? `    headers={"Authorization": "Bearer " + os.environ["GPTJT_API_KEY"]},\n` : "";
    return `${usesKey() ? "import os\n\n" : ""}import requests

answer = requests.post(
    "${HERE}${path}",
${key}    json=${python(body, 1)},
)
answer.raise_for_status()
print(answer.json()${result.map((name) => `["${name}"]`).join("")})
`;
}

function pythonArguments(some) {
    return Object.entries(some).map(([name, value]) => `    ${name}=${python(value, 1)},\n`).join("");
}

/* Its POST / has the defaults of the Inference API: sampling, and the prompt in front. */
function asHub({body}) {
    const {prompt_mask: mask, ...given} = body.parameters;
    const parameters = {...given, do_sample: given.do_sample ?? false, return_full_text: false};
    const key = usesKey() ? `, token=os.environ["GPTJT_API_KEY"]` : "";
    const note = mask ? `# text_generation() has no argument for the mask, so this asks under the model's own.\n` : "";
    return `${usesKey() ? "import os\n\n" : ""}from huggingface_hub import InferenceClient

client = InferenceClient("${HERE.replace(/\/$/, "")}"${key})
${note}answer = client.text_generation(
    ${JSON.stringify(body.inputs)},
${pythonArguments(parameters)})
print(answer)
`;
}

/* OpenAI's names; what it has no name for travels in extra_body. */
function asOpenai({body}) {
    const p = body.parameters;
    const known = {max_tokens: p.max_new_tokens, temperature: p.temperature ?? 0}, extra = {};
    for (const name of ["top_p", "seed", "stop"]) if (name in p) known[name] = p[name];
    for (const name of ["top_k", "repetition_penalty", "prompt_mask"]) if (name in p) extra[name] = p[name];
    if (Object.keys(extra).length) known.extra_body = extra;
    const key = usesKey() ? `os.environ["GPTJT_API_KEY"]` : `"none"`;
    return `${usesKey() ? "import os\n\n" : ""}from openai import OpenAI

client = OpenAI(base_url="${HERE}v1", api_key=${key})
for part in client.completions.create(
    model=${JSON.stringify(info?.model_id ?? "gptjt")},
    prompt=${JSON.stringify(body.inputs)},
${pythonArguments(known)}    stream=True,
):
    print(part.choices[0].text, end="", flush=True)
`;
}

function asJavascript({path, body, result}) {
    const key = usesKey() ? `\n    Authorization: \`Bearer \${process.env.GPTJT_API_KEY}\`,` : "";
    return `const response = await fetch("${HERE}${path}", {
  method: "POST",
  headers: {${key ? `\n    "Content-Type": "application/json",${key}\n  ` : `"Content-Type": "application/json"`}},
  body: JSON.stringify(${indent(json(body), 2)}),
});
const answer = await response.json();
if (!response.ok) throw new Error(answer.error);
console.log(answer.${result.join(".")});
`;
}

const LANGUAGES = {
    curl: {name: "curl", write: asCurl},
    requests: {name: "Python requests", write: asRequests},
    hub: {name: "huggingface_hub", write: asHub, only: "generate"},
    openai: {name: "openai", write: asOpenai, only: "generate"},
    javascript: {name: "JavaScript", write: asJavascript},
};

function showCode() {
    const compared = settings.mask === "compare";
    $("#code-hint").textContent = compared ? "under the bidirectional mask" : "this request, to copy";
    if (!$("#code").open) return;
    const fits = (id) => !LANGUAGES[id].only || LANGUAGES[id].only === settings.tab;
    const chosen = Object.hasOwn(LANGUAGES, settings.language) && fits(settings.language) ? settings.language : "curl";
    for (const tab of $$("#languages button")) {
        tab.hidden = !fits(tab.dataset.language);
        tab.setAttribute("aria-selected", String(tab.dataset.language === chosen));
        tab.tabIndex = tab.dataset.language === chosen ? 0 : -1;
    }
    $("#snippet").textContent = LANGUAGES[chosen].write(presentRequest());
}

function startCode() {
    for (const [id, {name}] of Object.entries(LANGUAGES))
        $("#languages").append(make("button", {type: "button", role: "tab", "aria-controls": "snippet",
            "data-language": id, onclick: () => set("language", id)}, name));
    rove($("#languages"), "button", (tab) => tab.click());
    $("#code").addEventListener("toggle", showCode);
    $("#copy-code").addEventListener("click", async (event) => {
        await copy($("#snippet").textContent, "Code");
        confirmOn(event.target, "Copied");
    });
    listeners.push(showCode);
}
