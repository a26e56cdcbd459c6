/* SPDX-License-Identifier: Apache-2.0
   Tokens as chips: the surer the model was of one, the calmer its colour and the longer the line under it; its
   alternatives are in a popover beside it. */

/* The popover is one for the page, and belongs to the chip that has the pointer or the focus. */
const popover = {
    root: $("#popover"),
    owner: null,
    show(chip, token) {
        this.owner = chip;
        chip.setAttribute("aria-describedby", "popover");
        this.root.replaceChildren(...this.content(token));
        this.root.hidden = false;
        this.place();
    },
    place() {
        const chip = this.owner;
        const place = chip.getBoundingClientRect(), own = this.root.getBoundingClientRect();
        const left = Math.max(8, Math.min(place.left, document.documentElement.clientWidth - own.width - 8));
        const below = place.bottom + 6, fits = below + own.height < window.innerHeight;
        this.root.style.left = `${left}px`;
        this.root.style.top = `${fits ? below : Math.max(8, place.top - own.height - 6)}px`;
    },
    hide() {
        this.owner?.removeAttribute("aria-describedby");
        this.owner = null;
        this.root.hidden = true;
    },
    content(token) {
        const facts = [`id ${token.id}`];
        if (Number.isFinite(token.logprob))
            facts.unshift(percent(Math.exp(token.logprob)), `log ${token.logprob.toFixed(3)}`);
        return [make("p", {class: "token-name"}, quoted(token.text)), make("p", {class: "hint"}, facts.join(" · ")),
            token.top?.length ? this.alternatives(token) : null].filter(Boolean);
    },
    alternatives(token) {
        return make("table", {"aria-label": "Most likely tokens here"},
            make("tbody", {}, ...token.top.map((other) => {
                const p = Math.exp(other.logprob);
                return make("tr", {class: other.id === token.id ? "taken" : null},
                    make("th", {scope: "row"}, shaped(other.text)), make("td", {class: "bars"}, bar(p)),
                    make("td", {class: "number"}, percent(p)));
            })));
    },
};
document.addEventListener("scroll", () => {
    if (popover.owner && popover.owner === document.activeElement) popover.place(); /* the focus itself scrolls, too */
    else popover.hide();
}, {passive: true, capture: true});

class TokenView {
    /* onPlace(index or null): the token that has the pointer or the focus. onScore(): the prompt's shall be scored. */
    constructor(name, onPlace, onScore) {
        this.tokens = [];
        this.nPrompt = 0;
        this.onPlace = onPlace;
        this.list = make("div", {class: "tokens", role: "group", "aria-label": `Tokens of the ${name}`});
        this.score = make("button", {type: "button", class: "quiet", onclick: onScore}, "Score the prompt, too");
        const key = (name) => make("span", {}, make("i", {class: name}), name);
        this.root = make("div", {}, this.list,
            make("p", {class: "hint legend"}, key("sure"), key("unsure"), this.score));
        rove(this.list, ".token");
    }

    setPrompt(tokens) {
        const old = this.list.querySelectorAll(".token.prompt, .token.prompt + br");
        for (const chip of old) chip.remove();
        const fragment = document.createDocumentFragment();
        tokens.forEach((token, i) => this.append(fragment, token, i, true));
        this.list.prepend(fragment);
        this.tokens = [...tokens, ...this.tokens.slice(this.nPrompt)];
        this.nPrompt = tokens.length;
        this.makeReachable();
    }

    add(token) {
        this.append(this.list, token, this.tokens.length, false);
        this.tokens.push(token);
        this.makeReachable();
    }

    append(place, token, index, ofPrompt) {
        const sure = Number.isFinite(token.logprob) ? Math.exp(token.logprob) : null;
        const label = [spoken(token.text), sure === null ? "" : percent(sure), ofPrompt ? "prompt" : ""];
        const chip = make("button", {type: "button", class: ofPrompt ? "token prompt" : "token", tabindex: -1,
            "aria-label": label.filter(Boolean).join(", ")}, shaped(token.text));
        if (sure !== null) {
            chip.classList.add("scored");
            chip.style.setProperty("--p", sure);
            chip.style.setProperty("--unsure", `${(55 * (1 - sure)).toFixed(1)}%`);
        }
        const enter = () => {
            popover.show(chip, token);
            this.onPlace(ofPrompt ? index : this.nPrompt + $$(".token:not(.prompt)", this.list).indexOf(chip));
        };
        const leave = () => {
            if (popover.owner === chip) popover.hide();
            this.onPlace(null);
        };
        for (const type of ["pointerenter", "focus"]) chip.addEventListener(type, enter);
        for (const type of ["pointerleave", "blur"]) chip.addEventListener(type, leave);
        place.append(chip);
        if (token.text.includes("\n")) place.append(make("br"));
    }

    makeReachable() {
        if (!$(".token[tabindex='0']", this.list)) $(".token", this.list)?.setAttribute("tabindex", 0);
    }
}
