/* SPDX-License-Identifier: Apache-2.0
   All that can be set on the page is one flat object. Controls carry data-setting="NAME"; the object is kept in
   localStorage, and "Copy link" puts what differs from the defaults behind the # of an address, which never reaches a
   server. What comes from a link is checked like any input: unknown names and wrong types are left out. */

/* The demo Space's values, but greedy; max_new_tokens is larger since the answer ends at a line break anyway. */
const DEFAULTS = {
    tab: "generate", mask: "", prompt: EXAMPLES.currency,
    temperature: 0, top_k: 40, top_p: 1, seed: 42, max_new_tokens: 64, repetition_penalty: 1, stop: ["\n"],
    by_length: false, calibrate: false, ...taskOfExample("sentiment"),
    language: "curl", show_tokens: false, show_mask: false,
};

/* By "Reset". */
const KEPT = ["language", "show_tokens", "show_mask", "tab", "prompt", "texts", "labels", "shots", "instruction"];


const copyOf = (value) => JSON.parse(JSON.stringify(value));
const settings = copyOf(DEFAULTS);
const writers = {}; /* NAME: [function(value) that shows it] */
const listeners = [];

const isString = (x) => typeof x === "string";
function acceptable(name, value) {
    if (name === "seed" && value === null) return true;
    if (name === "tab") return value === "generate" || value === "classify";
    if (name === "mask") return ["", "prefix", "causal", "compare"].includes(value);
    if (name === "shots") return Array.isArray(value) && value.every((s) => s && isString(s.text) && isString(s.label));
    if (Array.isArray(DEFAULTS[name])) return Array.isArray(value) && value.every(isString);
    return typeof value === typeof DEFAULTS[name] && (typeof value !== "number" || Number.isFinite(value));
}

function takeSettings(some) {
    for (const [name, value] of Object.entries(some))
        if (Object.hasOwn(DEFAULTS, name) && acceptable(name, value)) settings[name] = copyOf(value);
}

function showSettings(names = Object.keys(DEFAULTS)) {
    for (const name of names) for (const write of writers[name] ?? []) write(settings[name]);
}

function showAll() {
    showSettings();
    for (const listener of listeners) listener("prompt");
}

/* from: the control that was used, which already shows the value. */
function set(name, value, from = null) {
    settings[name] = value;
    for (const write of writers[name] ?? []) if (write !== from) write(value);
    changed(name);
}

let storing = 0;
function changed(name) {
    for (const listener of listeners) listener(name);
    if (location.hash.includes("=")) /* no longer what the link says */
        history.replaceState(null, "", location.pathname + location.search);
    clearTimeout(storing);
    storing = setTimeout(() => {
        try {
            localStorage.setItem("gptjt", JSON.stringify(settings));
        } catch { /* storage is off or full: then nothing is remembered */ }
    }, 300);
}

function loadSettings() {
    try {
        takeSettings(JSON.parse(localStorage.getItem("gptjt") ?? "{}"));
    } catch { /* none, or not ours */ }
    takeLink();
}

/* ---- Links ---- */

function linkOf() {
    const fields = new URLSearchParams();
    for (const [name, value] of Object.entries(settings)) {
        const plain = isString(value) ? value : JSON.stringify(value);
        const usual = isString(DEFAULTS[name]) ? DEFAULTS[name] : JSON.stringify(DEFAULTS[name]);
        if (plain !== usual || name === "prompt") fields.set(name, plain);
    }
    return `${HERE}#${fields}`;
}

function takeLink() {
    if (!location.hash.includes("=")) return false;
    const some = copyOf(DEFAULTS);
    for (const [name, text] of new URLSearchParams(location.hash.slice(1))) {
        try {
            some[name] = isString(DEFAULTS[name]) ? text : JSON.parse(text);
        } catch { /* not a value: left out */ }
    }
    takeSettings(some);
    return true;
}

/* ---- Controls ---- */

function bindControl(control) {
    const name = control.dataset.setting;
    const read = () => {
        if (control.type === "checkbox") return control.checked;
        if (control.type === "number") return control.value === "" ? null : Number(control.value);
        return control.value;
    };
    const write = (value) => {
        if (control.type === "checkbox") control.checked = value;
        else control.value = value ?? "";
    };
    control.addEventListener("input", () => set(name, read(), write));
    (writers[name] ??= []).push(write);
}

function bindSwitch(fieldset) { /* radio buttons */
    const name = fieldset.dataset.setting;
    const write = (value) => {
        for (const radio of $$("input", fieldset)) radio.checked = radio.value === (value || ownMask());
    };
    fieldset.addEventListener("change", (event) => set(name, event.target.value, write));
    (writers[name] ??= []).push(write);
}

/* The slider beside a number is for pointers; keys and screen readers have the number. */
function bindSlider(slider) {
    const name = slider.dataset.slides;
    const write = (value) => (slider.value = value ?? 0);
    slider.addEventListener("input", () => set(name, Number(slider.value), write));
    (writers[name] ??= []).push(write);
}

const escaped = (text) => text.replace(/\\/g, "\\\\").replace(/\n/g, "\\n").replace(/\t/g, "\\t").replace(/\r/g, "\\r");
const unescaped = (text) => text.replace(/\\([\\ntr])/g, (_, c) => ({"\\": "\\", n: "\n", t: "\t", r: "\r"})[c]);

/* A list of strings as chips, with a field for the next one. */
function bindChips(root) {
    const name = root.dataset.setting;
    const input = $("input", root);
    const escapes = "escapes" in root.dataset, commas = "commas" in root.dataset;
    const shown = (item) => (escapes ? escaped(item) : item);

    function remove(i) {
        set(name, settings[name].filter((_, j) => j !== i));
        ($$("button", root)[Math.min(i, settings[name].length - 1)] ?? input).focus();
    }
    function write(items) {
        for (const chip of $$(".chip", root)) chip.remove();
        input.before(...items.map((item, i) => make("span", {class: "chip"}, make("span", {}, shown(item)),
            make("button", {type: "button", "aria-label": `Remove ${shown(item)}`, onclick: () => remove(i)}, "×"))));
    }
    function take() {
        const text = input.value;
        const parts = commas ? text.split(/[,\n]/).map((part) => part.trim()) : [escapes ? unescaped(text) : text];
        const news = parts.filter((part) => part !== "");
        input.value = "";
        if (news.length) set(name, [...new Set([...settings[name], ...news])]);
    }
    input.addEventListener("keydown", (event) => {
        if (event.key === "Enter" && !event.ctrlKey && !event.metaKey) {
            event.preventDefault(); /* it ends an item, and does not send the form */
            take();
        } else if (event.key === "Backspace" && !input.value && settings[name].length) {
            set(name, settings[name].slice(0, -1));
        }
    });
    input.addEventListener("input", () => commas && /[,\n]/.test(input.value) && take());
    input.addEventListener("blur", take);
    root.addEventListener("click", (event) => event.target === root && input.focus());
    (writers[name] ??= []).push(write);
}

function bindSettings() {
    for (const control of $$("input[data-setting], textarea[data-setting]")) bindControl(control);
    for (const fieldset of $$("fieldset[data-setting]")) bindSwitch(fieldset);
    for (const slider of $$("[data-slides]")) bindSlider(slider);
    for (const root of $$(".chips")) bindChips(root);
}
