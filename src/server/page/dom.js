/* SPDX-License-Identifier: Apache-2.0
   Making elements, and saying things to those who do not see them. The scripts are one script in the end (pack.sh), in
   the order of index.html; whatever is at the top level of one can be used in those after it. */
"use strict";

const $ = (selector, root = document) => root.querySelector(selector);
const $$ = (selector, root = document) => [...root.querySelectorAll(selector)];

/* make("button", {class: "chip", onclick: f, disabled: false}, "text", child, ...): false and null leave an attribute
   or a child out. Text is only ever text: the page never parses HTML. */
function make(tag, attributes = {}, ...children) {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
        if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
        else if (value !== false && value !== null && value !== undefined)
            element.setAttribute(name, value === true ? "" : value);
    }
    element.append(...children.filter((child) => child !== null && child !== undefined && child !== false));
    return element;
}

/* A bar of length p of what there is room for; colour: a class, or the usual one. */
function bar(p, colour = "") {
    const element = make("i", {class: `bar ${colour}`});
    element.style.setProperty("--p", p);
    return element;
}

/* For screen readers: news replaces the last news. */
function say(text) {
    $("#news").textContent = text;
}

/* An answer that is being written is read out in pieces of a second or two: token by token nobody could follow. */
const liveAnswer = {
    waiting: "",
    timer: 0,
    begin() {
        this.stop();
        $("#live").replaceChildren();
    },
    add(text) {
        this.waiting += text;
        this.timer ||= setTimeout(() => this.flush(), 1500);
    },
    flush() {
        if (this.waiting.trim()) $("#live").append(make("p", {}, this.waiting));
        this.stop();
    },
    stop() {
        clearTimeout(this.timer);
        this.timer = 0;
        this.waiting = "";
    },
};

/* A token as people can name it: what has no shape of its own gets one. */
const SHAPES = {"\n": "↵", "\t": "⇥", "\r": "␍", "\ufffd": "▯"};
const shaped = (text) => (text === "" ? "▯" : text.replace(/[\n\t\r\ufffd]/g, (c) => SHAPES[c]));
const quoted = (text) => `“${shaped(text)}”`;
const spoken = (text) => text.replace(/\n/g, " line break ").replace(/\t/g, " tab ") || "part of a character";

const plural = (n, word) => `${n.toLocaleString("en")} ${word}${n === 1 ? "" : "s"}`;

/* 0.9312 -> "93 %"; never "100 %" or "0 %" for what is neither. */
function percent(p) {
    const value = 100 * p;
    if (value > 99.9 && p < 1) return "> 99.9 %";
    if (value < 0.1 && p > 0) return "< 0.1 %";
    return `${p === 0 || p === 1 ? value : value > 99.45 || value < 9.95 ? value.toFixed(1) : Math.round(value)} %`;
}

async function copy(text, what) {
    try {
        await navigator.clipboard.writeText(text);
    } catch { /* plain http on another machine has no clipboard: the old way */
        const box = make("textarea", {class: "unseen"});
        box.value = text;
        const before = document.activeElement;
        document.body.append(box);
        box.select();
        document.execCommand("copy");
        box.remove();
        before?.focus();
    }
    say(`${what} copied`);
}

/* The button says for a moment that it is done. */
function confirmOn(button, word) {
    button.dataset.word ??= button.textContent;
    button.textContent = word;
    clearTimeout(button.timer);
    button.timer = setTimeout(() => (button.textContent = button.dataset.word), 1500);
}

/* Arrow keys move among the items of a row, of which one is in the tab order (WAI-ARIA's roving tabindex). */
function rove(container, selector, onMove = () => {}) {
    container.addEventListener("keydown", (event) => {
        const items = $$(selector, container).filter((item) => !item.hidden);
        const at = items.indexOf(event.target);
        const next = at + 1, last = at - 1;
        const to = {ArrowRight: next, ArrowDown: next, ArrowLeft: last, ArrowUp: last, Home: 0, End: -1}[event.key];
        if (at < 0 || to === undefined) return;
        event.preventDefault();
        const item = items[(to + items.length) % items.length];
        items[at].tabIndex = -1;
        item.tabIndex = 0;
        item.focus();
        onMove(item);
    });
}
