// SPDX-License-Identifier: Apache-2.0
/* One row of a csv file (RFC 4180) as a JSON object, by the names in its header. */
#ifndef GPTJT_DATA_CSV_ROW_H
#define GPTJT_DATA_CSV_ROW_H

#include "base/json.h"
#include "base/status.h"

/* The fields of one row as an array of strings; where is for errors. *out is owned. */
enum status csv_row_fields(json_t **out, const char *text, size_t len, const char *where);

/* {"name": "field", ...} of a row with as many fields as the header names. *out is owned: free(). */
enum status csv_row_object(char **out, const json_t *header, const char *text, size_t len, const char *where);

/* Whether the text so far ends within quotes, so that the row goes on behind the line's end. */
bool csv_row_open(const char *text, size_t len);

#endif
