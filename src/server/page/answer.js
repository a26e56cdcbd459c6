/* SPDX-License-Identifier: Apache-2.0
   One answer as it comes in: text, speed, tokens, mask. Comparing masks makes two of them. */

const FINISHES = {length: "all new tokens used", eos_token: "the model ended it", stop_sequence: "met a stop string"};

class Answer {
    constructor(mask, compared) {
        this.mask = mask;
        this.generated = [];
        this.prompt = [];
        const name = compared ? MASK_NAMES[mask] : "Answer";
        this.text = make("span", {class: "said"});
        this.stats = make("p", {class: "hint stats"}, "");
        this.trouble = make("div", {class: "trouble", role: "alert"});
        this.maskView = new MaskView(mask);
        this.tokenView = new TokenView(compared ? `${name.toLowerCase()} answer` : "answer",
            (i) => this.maskView.select(i === null ? null : {row: i, column: i}), () => this.scorePrompt());
        this.root = make("article", {class: "card answer", "aria-label": name, "aria-busy": "true"},
            make("div", {class: "above"}, make("h2", {}, name),
                compared && mask === ownMask() ? make("span", {class: "hint"}, "the model's own") : null,
                make("span", {class: "views"}, this.toggle("show_tokens", "Tokens"), this.toggle("show_mask", "Mask"),
                    make("button", {type: "button", class: "quiet", onclick: (event) => this.copyText(event.target)},
                        "Copy"))),
            make("p", {class: "text"}, make("span", {class: "lead"}, this.lead()), this.text,
                make("span", {class: "caret", "aria-hidden": "true"})),
            this.stats, this.trouble, this.tokenView.root, this.maskView.root);
        this.showViews(compared);
    }

    lead() { /* the line that the answer goes on with */
        return settings.prompt.slice(settings.prompt.lastIndexOf("\n") + 1).slice(-60);
    }

    toggle(name, word) {
        return make("button", {type: "button", class: "quiet", "data-toggles": name,
            "aria-pressed": String(settings[name]), onclick: () => set(name, !settings[name])}, word);
    }

    showViews(compared = this.compared) {
        this.compared = compared;
        this.tokenView.root.hidden = !settings.show_tokens;
        this.maskView.root.hidden = !(settings.show_mask || compared);
        for (const button of $$("[data-toggles]", this.root)) {
            button.setAttribute("aria-pressed", String(settings[button.dataset.toggles]));
            button.hidden = compared && button.dataset.toggles === "show_mask"; /* there it is always drawn */
        }
        this.maskView.drawSoon();
    }

    /* tokens: of the prompt, from /tokenize. */
    setPrompt(tokens) {
        this.prompt = tokens;
        this.tokenView.setPrompt(tokens);
        this.updateMask();
    }

    updateMask() {
        this.maskView.update([...this.prompt, ...this.generated].map((token) => token.text), this.prompt.length);
    }

    /* Asks, and shows what comes. Never throws: trouble is shown where the answer would be. */
    async run(signal, onText) {
        const request = generateRequest(this.mask);
        Object.assign(request.parameters, {details: true, top_n_tokens: 5});
        this.began = performance.now();
        this.stats.textContent = "Reading the prompt…";
        const onWait = (seconds, why) => showWait(this.trouble, seconds, why);
        try {
            for await (const event of askEvents("generate_stream", request, signal, onWait)) {
                if (event.token) this.add(event, onText);
                if (event.details || isString(event.generated_text)) this.finish(event);
            }
            if (!this.finished) throw new Problem(0, "The connection ended before the answer was complete.");
        } catch (error) {
            this.end(error.name === "AbortError" ? "stopped" : this.generated.length ? "broken off" : "");
            if (error.name === "AbortError") this.trouble.replaceChildren();
            else showProblem(this.trouble, error, () => $("#generate-form").requestSubmit());
        }
    }

    add({token, top_tokens: top = []}, onText) {
        this.last = performance.now();
        this.first ??= this.last;
        /* A token whose text is held back, as that of a stop string is, has its own name among the likely ones. */
        const name = token.text || top.find((other) => other.id === token.id)?.text || "";
        const one = {id: token.id, text: name, logprob: token.logprob, top};
        this.generated.push(one);
        if (!token.special) {
            this.text.append(token.text);
            onText(token.text);
        }
        this.tokenView.add(one);
        this.updateMask();
        this.stats.textContent = this.speed();
    }

    speed() {
        const n = this.generated.length, parts = [plural(n, "token")], ms = this.last - this.first;
        const rate = Number(((1000 * (n - 1)) / ms).toPrecision(3));
        if (n > 2 && ms > 5) parts.push(`${rate.toLocaleString("en")} tokens/s`);
        if (n) parts.push(`first after ${((this.first - this.began) / 1000).toFixed(2)} s`);
        return parts.join(" · ");
    }

    finish({generated_text: text, details}) {
        this.finished = true;
        if (isString(text)) this.text.textContent = text; /* without a stop string's beginning that was already shown */
        const parts = [];
        if (details?.input_length) parts.push(`prompt of ${details.input_length}`);
        if (details) parts.push(FINISHES[details.finish_reason] ?? details.finish_reason);
        if (settings.temperature > 0 && details && Number.isFinite(details.seed)) parts.push(`seed ${details.seed}`);
        this.end(...parts);
    }

    end(...notes) {
        this.root.setAttribute("aria-busy", "false");
        this.stats.textContent = [...(this.generated.length ? [this.speed()] : []), ...notes].join(" · ");
    }

    async copyText(button) {
        await copy(this.text.textContent, "Answer");
        confirmOn(button, "Copied");
    }

    /* How likely each token of the prompt is after those before it; read causally, whatever the mask is. */
    async scorePrompt() {
        const button = this.tokenView.score;
        button.disabled = true;
        try {
            const parameters = {max_new_tokens: 1, details: true, decoder_input_details: true};
            const answer = await askJson("generate", {inputs: this.inputs ?? settings.prompt, parameters});
            this.setPrompt(answer.details.prefill.map((token) => ({...token, logprob: token.logprob ?? NaN, top: []})));
            button.replaceWith(make("span", {}, "Prompt tokens: each after those before it."));
        } catch (error) {
            button.disabled = false;
            showProblem(this.trouble, error, () => this.scorePrompt());
        }
    }
}
