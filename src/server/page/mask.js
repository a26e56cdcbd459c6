/* SPDX-License-Identifier: Apache-2.0
   A mask drawn: row t is what token t sees when it is computed, one interval [0, hi) of the tokens. Causal: hi = t + 1.
   Bidirectional: a token of a prompt of P tokens sees all of it, hi = max(t + 1, P); tokens of the answer see what is
   before them under both. What only the bidirectional mask shows, later tokens of the prompt, has its own colour. */

const MASK_WIDEST = 520; /* pixels on the screen; more explains nothing */

class MaskView {
    constructor(mask) {
        this.mask = mask;
        this.tokens = [];
        this.nPrompt = 0;
        this.at = null; /* {row, column} under the pointer or the keys */
        this.canvas = make("canvas", {tabindex: 0, role: "slider", "aria-orientation": "vertical", "aria-valuemin": 1,
            "aria-label": `${MASK_NAMES[mask]} mask, one row a token`});
        this.readout = make("p", {class: "hint readout"});
        this.root = make("div", {class: "mask"}, this.canvas, make("div", {}, this.legend(), this.readout));
        this.canvas.addEventListener("pointermove", (event) => this.point(event));
        this.canvas.addEventListener("pointerdown", (event) => this.point(event));
        this.canvas.addEventListener("pointerleave", () => this.select(null));
        this.canvas.addEventListener("keydown", (event) => this.key(event));
        this.canvas.addEventListener("focus", () => this.at ?? this.select({row: 0, column: 0}));
        this.canvas.addEventListener("blur", () => this.select(null));
        new ResizeObserver(() => this.draw()).observe(this.root);
        matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.draw());
    }

    legend() {
        const entry = (name, text) => make("span", {}, make("i", {class: name}), text);
        return make("p", {class: "hint legend"}, entry("earlier", "sees what is before it"),
            this.mask === "prefix" ? entry("later", "sees what comes later in the prompt") : null);
    }

    /* tokens: texts, those of the prompt first. */
    update(tokens, nPrompt) {
        this.tokens = tokens;
        this.nPrompt = nPrompt;
        this.canvas.setAttribute("aria-valuemax", Math.max(1, tokens.length));
        this.drawSoon();
        this.tell();
    }

    drawSoon() {
        this.frame ||= requestAnimationFrame(() => this.draw());
    }

    end(row) { /* one past the last token that the row sees */
        return this.mask === "prefix" ? Math.max(row + 1, this.nPrompt) : row + 1;
    }

    draw() {
        this.frame = 0;
        const n = this.tokens.length, room = Math.min(this.root.clientWidth, MASK_WIDEST);
        if (!n || !room) return;
        const named = (room - 84) / n >= 8.5; /* room for names beside the rows */
        this.left = named ? 84 : 0;
        this.cell = Math.min((room - this.left) / n, 20);
        const width = this.left + n * this.cell, height = n * this.cell, scale = window.devicePixelRatio || 1;
        this.canvas.width = Math.ceil(width * scale);
        this.canvas.height = Math.ceil(height * scale);
        this.canvas.style.width = `${width}px`;
        this.canvas.style.height = `${height}px`;
        const g = this.canvas.getContext("2d");
        g.scale(scale, scale);
        const style = getComputedStyle(this.root);
        this.colour = (name) => style.getPropertyValue(name).trim();
        for (let row = 0; row < n; row++) this.drawRow(g, row);
        if (named) this.drawNames(g, style);
        this.drawBorder(g, n);
        this.drawPlace(g);
    }

    drawRow(g, row) {
        const answer = row >= this.nPrompt;
        this.drawCells(g, row, 0, row + 1, this.colour(answer ? "--mask-answer" : "--mask-earlier"));
        this.drawCells(g, row, row + 1, this.end(row), this.colour("--mask-later"));
        this.drawCells(g, row, this.end(row), this.tokens.length, this.colour("--mask-none"));
    }

    drawCells(g, row, from, to, colour) {
        const c = this.cell;
        g.fillStyle = colour;
        if (c < 5) { /* no gaps: on whole pixels, so that rows neither overlap nor part */
            const pixel = window.devicePixelRatio || 1, snap = (x) => Math.round(x * pixel) / pixel;
            const y = snap(row * c);
            g.fillRect(snap(this.left + from * c), y, snap((to - from) * c), snap((row + 1) * c) - y);
            return;
        }
        for (let column = from; column < to; column++) g.fillRect(this.left + column * c, row * c, c - 1, c - 1);
    }

    drawNames(g, style) {
        g.font = `${Math.min(11, this.cell)}px ${style.getPropertyValue("--mono")}`;
        g.textAlign = "right";
        g.textBaseline = "middle";
        this.tokens.forEach((token, row) => {
            const here = this.at && (row === this.at.row || row === this.at.column);
            g.fillStyle = this.colour(here ? "--ink" : row >= this.nPrompt ? "--accent" : "--dim");
            const name = shaped(token).trim() || "␣";
            g.fillText(name.length > 11 ? `${name.slice(0, 10)}…` : name, this.left - 7, (row + 0.5) * this.cell);
        });
    }

    drawBorder(g, n) { /* between prompt and answer */
        const at = this.nPrompt * this.cell - (this.cell >= 5 ? 0.5 : 0);
        if (this.nPrompt >= n || !this.nPrompt) return;
        g.strokeStyle = this.colour("--ink");
        g.lineWidth = 1;
        g.setLineDash([3, 3]);
        g.beginPath();
        g.moveTo(this.left, at);
        g.lineTo(this.left + n * this.cell, at);
        g.moveTo(this.left + at, 0);
        g.lineTo(this.left + at, n * this.cell);
        g.stroke();
        g.setLineDash([]);
    }

    drawPlace(g) {
        if (!this.at) return;
        const c = this.cell, high = Math.max(c, 4), y = this.at.row * c - 0.5 - (high - c) / 2;
        g.strokeStyle = this.colour("--ink");
        g.lineWidth = c < 5 ? 1 : 1.5;
        g.strokeRect(this.left + 0.5, y, this.end(this.at.row) * c - 1, high);
        g.strokeRect(this.left + this.at.column * c - 0.5 - (high - c) / 2, y, high, high);
    }

    /* place: {row, column}, or null for none. */
    select(place) {
        const last = this.tokens.length - 1;
        const within = (i) => Math.max(0, Math.min(last, i));
        this.at = place && last >= 0 ? {row: within(place.row), column: within(place.column)} : null;
        this.drawSoon();
        this.tell();
    }

    tell() {
        this.readout.textContent = this.at ? this.describe(quoted)
            : "Point at it, or use the arrow keys: each row is a token and what it sees.";
        if (!this.at) return;
        this.canvas.setAttribute("aria-valuenow", this.at.row + 1);
        this.canvas.setAttribute("aria-valuetext", this.describe(spoken));
    }

    describe(name) {
        const {row, column} = this.at, end = this.end(row), later = end - row - 1;
        const ofPrompt = row < this.nPrompt;
        const what = ofPrompt && this.mask === "prefix"
            ? `all ${end} of the prompt${later ? `, ${later} of them later than itself` : ""}`
            : `${end}: itself and what is before it`;
        const seen = column < end ? "seen" : "not seen";
        const other = column === row ? "" : ` ${name(this.tokens[column])} (${column + 1}) is ${seen}.`;
        return `${ofPrompt ? "Prompt" : "Answer"} token ${row + 1}, ${name(this.tokens[row])}, sees ${what}.${other}`;
    }

    point(event) {
        if (!this.cell) return;
        const column = Math.floor((event.offsetX - this.left) / this.cell);
        this.select({row: Math.floor(event.offsetY / this.cell), column});
    }

    key(event) {
        const at = this.at ?? {row: 0, column: 0}, n = this.tokens.length;
        const step = {ArrowDown: [1, 0], ArrowUp: [-1, 0], ArrowRight: [0, 1], ArrowLeft: [0, -1],
            PageDown: [10, 0], PageUp: [-10, 0], Home: [-n, 0], End: [n, 0]}[event.key];
        if (!step) return;
        event.preventDefault();
        this.select({row: at.row + step[0], column: at.column + step[1]});
    }
}
