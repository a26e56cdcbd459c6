/* SPDX-License-Identifier: Apache-2.0
   The settings as requests. What is sent and what "Use it from code" shows is made here, so they are the same. */

let info = null; /* what GET /info said, once it did */

const ownMask = () => info?.prompt_mask ?? "prefix";
const MASK_NAMES = {prefix: "Bidirectional", causal: "Causal"};

/* The masks to ask with: one, or both. */
const masksWanted = () => (settings.mask === "compare" ? ["prefix", "causal"] : [settings.mask || ownMask()]);

/* What differs from the server's defaults, and nothing else. */
function samplingOf(mask) {
    const p = {max_new_tokens: settings.max_new_tokens};
    if (settings.temperature > 0) {
        p.do_sample = true;
        p.temperature = settings.temperature;
        if (settings.top_k > 0) p.top_k = settings.top_k;
        if (settings.top_p < 1) p.top_p = settings.top_p;
        if (settings.seed !== null) p.seed = settings.seed;
    }
    if (settings.repetition_penalty !== 1) p.repetition_penalty = settings.repetition_penalty;
    if (settings.stop.length) p.stop = settings.stop;
    if (mask !== ownMask()) p.prompt_mask = mask;
    return p;
}

const generateRequest = (mask) => ({inputs: settings.prompt, parameters: samplingOf(mask)});

function textsWanted() {
    if (!settings.each_line) return [settings.texts.trim()];
    return settings.texts.split("\n").map((line) => line.trim()).filter(Boolean);
}

function classifyRequest(mask, texts = textsWanted()) {
    const r = {inputs: settings.each_line ? texts : texts[0], labels: settings.labels};
    if (settings.instruction) r.instruction = settings.instruction;
    if (settings.text_name !== "Text") r.text_name = settings.text_name;
    if (settings.label_name !== "Label") r.label_name = settings.label_name;
    if (!settings.list_labels) r.list_labels = false;
    const shots = settings.shots.filter((shot) => shot.text.trim() && shot.label.trim());
    if (shots.length) r.shots = shots;
    if (settings.by_length) r.normalize = "length";
    if (settings.calibrate) r.calibrate = true;
    if (mask !== ownMask()) r.prompt_mask = mask;
    return r;
}
