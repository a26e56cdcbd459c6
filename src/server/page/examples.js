/* SPDX-License-Identifier: Apache-2.0
   The model card's five examples, which the build puts into the page from models/examples/. Two of them are
   classifications; taken apart, their few-shot prompts are what the tab "Classify" begins with. */

const EXAMPLES = {};
for (const template of $$("template[data-example]")) EXAMPLES[template.dataset.example] = template.content.textContent;

const EXAMPLE_NAMES = {
    sentiment: "Feelings", hate: "Hate speech", csv: "Contacts to CSV", currency: "Currencies", entities: "Names",
};
const EXAMPLE_LABELS = {
    sentiment: ["sadness", "joy", "love", "anger", "fear", "surprise"],
    hate: ["hate speech", "not hate speech"],
};

/* The settings of the classification that an example is. */
function taskOfExample(name) {
    const [head, ...blocks] = EXAMPLES[name].split("\n\n");
    const lines = blocks.map((block) => block.split("\n").map((line) => line.match(/^([^:]+):\s*(.*)$/).slice(1)));
    const [[textName, text], [labelName]] = lines.pop();
    const [instruction, list] = head.split("\nPossible labels:");
    const shots = lines.map(([[, shot], [, label]]) => ({text: shot, label}));
    return {instruction, list_labels: list !== undefined, text_name: textName, label_name: labelName,
        labels: EXAMPLE_LABELS[name], shots, each_line: false, texts: text};
}

/* Of those with names, in the order of the card; then the others. */
function exampleButtons(names, take) {
    const ordered = [...new Set([...Object.keys(EXAMPLE_NAMES), ...names])].filter((name) => names.includes(name));
    return ordered.map((name) => make("button", {type: "button", class: "example", "data-name": name,
        onclick: () => take(name)}, EXAMPLE_NAMES[name] ?? name));
}
