// SPDX-License-Identifier: Apache-2.0
/* A page that needs nothing else: its frame and style, light and dark. */
#ifndef GPTJT_HTML_PAGE_H
#define GPTJT_HTML_PAGE_H

#include "base/buf.h"
#include "base/json.h"

/* Head, style and title; the page ends with script, which may be "". */
void html_page_begin(struct buf *out, const char *title);
void html_page_end(struct buf *out, const char *script);

/* A setting as people read it: texts and numbers as they are, lists with commas, nothing as a dash. */
void html_json(struct buf *out, const json_t *value);

#endif
