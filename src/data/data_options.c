// SPDX-License-Identifier: Apache-2.0
/* The settings of one data source: an entry of a recipe's `sources` or `validation`. */
#include "data/data.h"

#define FIELD(name) offsetof(struct data_source, name)

const struct option data_source_options[] = {
    {"name", 0, OPTION_STRING, FIELD(name), 0, 0, NULL, "WORD", "what reports call it (default: its format)"},
    {"format", 0, OPTION_CHOICE, FIELD(format), 0, 0, DATA_FORMAT_NAMES, NULL,
     "what a record looks like (has no default)"},
    {"paths", 0, OPTION_STRINGS, FIELD(paths), 0, 0, NULL, "FILE",
     "files, directories or globs: .jsonl, .json, .csv, .txt, each also .gz or .zst"},
    {"weight", 0, OPTION_NUMBER, FIELD(weight), 0, 1e9, NULL, "X",
     "share of the sequences, relative to that of the others"},
    {"field", 0, OPTION_STRING, FIELD(field), 0, 0, NULL, "KEY", "pile: the member of a record that is its text"},
    {"end-of-text", 0, OPTION_FLAG, FIELD(end_of_text), 0, 0, NULL, NULL,
     "pile, prompt: puts <|endoftext|> behind every document"},
    {"prompt", 0, OPTION_STRING, FIELD(prompt), 0, 0, NULL, "TEXT",
     "prompt: what is given, with {MEMBER}s of a record in it (default: its member \"prompt\")"},
    {"completion", 0, OPTION_STRING, FIELD(completion), 0, 0, NULL, "TEXT",
     "prompt: what is predicted, likewise (default: its member \"completion\")"},
    {0},
};

const struct data_source data_source_defaults = {.format = -1, .weight = 1, .field = "text"};
