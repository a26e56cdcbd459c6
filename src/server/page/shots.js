/* SPDX-License-Identifier: Apache-2.0
   The editor of few-shot examples: a table, and CSV to paste into it. */

/* Rows of fields, RFC 4180; tabs instead of commas when the first line has one, as spreadsheets copy. */
function parseCsv(text) {
    const comma = text.split("\n", 1)[0].includes("\t") ? "\t" : ",";
    const rows = [];
    let row = [], field = "", inside = false;
    const endField = () => {
        row.push(field);
        field = "";
    };
    const endRow = () => {
        endField();
        if (row.length > 1 || row[0].trim()) rows.push(row);
        row = [];
    };
    for (let i = 0; i < text.length; i++) {
        const c = text[i];
        if (inside && c === '"' && text[i + 1] === '"') field += text[++i];
        else if (c === '"' && (inside || field === "")) inside = !inside;
        else if (!inside && c === comma) endField();
        else if (!inside && c === "\n") endRow();
        else if (inside || c !== "\r") field += c;
    }
    endRow();
    return rows;
}

const csvField = (value) => (/[",\r\n]/.test(String(value)) ? `"${String(value).replace(/"/g, '""')}"` : String(value));

/* Columns are found by their names; without a header the first is the text and the last the label. */
function shotsOfCsv(text) {
    const rows = parseCsv(text);
    if (!rows.length) return [];
    const names = rows[0].map((name) => name.trim().toLowerCase());
    const find = (...wanted) => names.findIndex((name) => wanted.includes(name));
    const textAt = find("text", settings.text_name.toLowerCase());
    const labelAt = find("label", settings.label_name.toLowerCase());
    const headed = textAt >= 0 && labelAt >= 0;
    const shots = rows.slice(headed ? 1 : 0).filter((row) => row.length > 1).map((row) => ({
        text: (headed ? row[textAt] : row[0])?.trim(),
        label: (headed ? row[labelAt] : row.at(-1))?.trim(),
    }));
    return shots.filter((shot) => shot.text && shot.label);
}

function addShots(shots) {
    set("shots", [...settings.shots, ...shots]);
    set("labels", [...new Set([...settings.labels, ...shots.map((shot) => shot.label).filter(Boolean)])]);
}

function shotRow(shot, i) {
    const change = (field) => (event) => {
        settings.shots[i][field] = event.target.value;
        set("shots", settings.shots, showShots);
    };
    const field = (tag, name, attributes) => {
        const element = make(tag, {"aria-label": `${name} of example ${i + 1}`, spellcheck: "false", ...attributes});
        element.value = shot[name.toLowerCase()];
        element.addEventListener("input", change(name.toLowerCase()));
        return make("td", {}, element);
    };
    return make("tr", {}, field("textarea", "Text", {rows: 1}), field("input", "Label", {list: "known-labels"}),
        make("td", {}, make("button", {type: "button", class: "remove", "aria-label": `Remove example ${i + 1}`,
            onclick: () => removeShot(i)}, "×")));
}

function showShots(shots) {
    $("#shots tbody").replaceChildren(...shots.map(shotRow));
    $("#shots").hidden = !shots.length;
    $("#shots-count").textContent = shots.length ? "" : "none: the model is asked without";
}

function removeShot(i) {
    set("shots", settings.shots.filter((_, j) => j !== i));
    ($$("#shots .remove")[Math.min(i, settings.shots.length - 1)] ?? $("[data-act=add-shot]")).focus();
}

function startShots() {
    (writers.shots ??= []).push(showShots);
    (writers.labels ??= []).push((labels) =>
        $("#known-labels").replaceChildren(...labels.map((label) => make("option", {value: label}))));
    $("[data-act=add-shot]").addEventListener("click", () => {
        set("shots", [...settings.shots, {text: "", label: ""}]);
        $("#shots tbody tr:last-child textarea").focus();
    });
    $("[data-act=paste-csv]").addEventListener("click", (event) => {
        const open = $("#csv-area").hidden;
        $("#csv-area").hidden = !open;
        event.target.setAttribute("aria-expanded", String(open));
        if (open) $("#csv").focus();
    });
    $("[data-act=add-csv]").addEventListener("click", () => {
        const shots = shotsOfCsv($("#csv").value);
        addShots(shots);
        $("#csv-hint").textContent = `${plural(shots.length, "row")} with a text and a label`;
        if (shots.length) $("#csv").value = "";
    });
}
