/* SPDX-License-Identifier: Apache-2.0
   What the page does when it opens: header, tabs, keys. */

/* ---- The header: which model, how it reads, on what ---- */

const SEEN = {prefix: "the whole prompt", causal: "what is before it"};

function showInfo() {
    document.title = `${info.model_id} · gptjt`;
    $("#model").textContent = info.model_id;
    const facts = [["Mask", MASK_NAMES[info.prompt_mask].toLowerCase()], ["Weights", info.weights],
        ["Compute", `${info.compute}, ${info.cpu}`, "minor"], ["Threads", info.threads],
        ["Window", `${info.max_total_tokens.toLocaleString("en")} tokens`, "minor"]];
    $("#facts").replaceChildren(...facts.map(([name, value, rank]) =>
        make("div", {class: rank}, make("dt", {}, name), make("dd", {}, String(value)))));
    $("#mask-reason").textContent = `Every prompt token sees ${SEEN[info.prompt_mask]}: ${info.prompt_mask_reason}.`;
    showSettings(["mask"]);
    countPrompt();
    showCode();
}

async function loadInfo() {
    try {
        info = await (await ask("info")).json();
        $("#key-form").hidden = true;
        showInfo();
    } catch (error) {
        $("#model").textContent = "…";
        $("#mask-reason").textContent = error.message;
        if (error.status === 401) $("#key-form").hidden = false;
        else setTimeout(loadInfo, 1000 * Math.max(3, error.wait ?? 0)); /* a server that starts, or was restarted */
    }
}

function startKey() {
    $("#key-form").addEventListener("submit", (event) => {
        event.preventDefault();
        apiKey = $("#key").value.trim();
        try {
            sessionStorage.setItem("gptjt-key", apiKey);
        } catch { /* then until the page is closed */ }
        for (const place of $$(".trouble")) place.replaceChildren();
        loadInfo();
    });
}

/* ---- Tabs ---- */

function showTab(tab) {
    for (const button of $$(".tabs [role=tab]")) {
        const chosen = button.dataset.tab === tab;
        button.setAttribute("aria-selected", String(chosen));
        button.tabIndex = chosen ? 0 : -1;
        $(`#panel-${button.dataset.tab}`).hidden = !chosen;
    }
    $(`#panel-${tab}`).append($("#code")); /* the code is the shown tab's */
    for (const answer of answers) answer.maskView.drawSoon();
}

function startTabs() {
    (writers.tab ??= []).push(showTab);
    for (const button of $$(".tabs [role=tab]")) button.addEventListener("click", () => set("tab", button.dataset.tab));
    rove($(".tabs"), "[role=tab]", (tab) => tab.click());
}

/* ---- Keys and buttons of the whole page ---- */

function onKey(event) {
    if (event.key === "Escape") {
        if (!popover.root.hidden) popover.hide();
        else (running ?? classifying)?.abort();
    }
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
        event.preventDefault();
        if (!running && !classifying) $(`#${settings.tab}-form`).requestSubmit();
    }
}

function startButtons() {
    document.addEventListener("keydown", onKey);
    for (const button of $$("[data-act=link]")) button.addEventListener("click", async () => {
        await copy(linkOf(), "Link");
        confirmOn(button, "Copied");
    });
    for (const button of $$("[data-act=reset]")) button.addEventListener("click", () => {
        const kept = Object.fromEntries(KEPT.map((name) => [name, settings[name]]));
        Object.assign(settings, copyOf(DEFAULTS), kept);
        showSettings();
        changed("mask");
    });
    window.addEventListener("hashchange", () => takeLink() && showAll());
}

/* On a wide screen settings stand beside the work, on a narrow one they fold. */
function startFolding() {
    const wide = matchMedia("(min-width: 60rem)");
    const fold = () => $$("details.settings").forEach((details) => (details.open = wide.matches));
    wide.addEventListener("change", fold);
    fold();
}

bindSettings();
startTabs();
startGenerate();
startShots();
startClassify();
startCode();
startKey();
startButtons();
startFolding();
loadSettings();
showAll();
loadInfo();
