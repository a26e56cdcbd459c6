// SPDX-License-Identifier: Apache-2.0
#include "html/page.h"

#include <stdlib.h>

#include "html/chart.h"

static const char style[] =
    ":root{--bg:#fff;--fg:#1c1c1e;--dim:#6b6b70;--rule:#e3e3e6;--mark:#d1242f;--c0:#0b62c4;--c1:#d9620f;--c2:#1a8a4c;"
    "--c3:#a03ab0;--c4:#b58900;--c5:#0e8f9c;--c6:#c2356a;--c7:#6f6f76}\n"
    "@media(prefers-color-scheme:dark){:root{--bg:#17181b;--fg:#ececee;--dim:#9b9ba2;--rule:#34363b;--mark:#ff6b6b;"
    "--c0:#64aaff;--c1:#ff9f5a;--c2:#5fd08f;--c3:#d88be6;--c4:#e6c35c;--c5:#5cd3df;--c6:#ff85ad;--c7:#a8a8b0}}\n"
    "*{box-sizing:border-box}body{margin:0 auto;max-width:1500px;padding:16px;background:var(--bg);color:var(--fg);"
    "font:15px/1.45 system-ui,sans-serif}\n"
    "h1{font-size:1.5em;margin:.2em 0 .6em;overflow-wrap:anywhere}h2{font-size:1.15em;margin:1.6em 0 .5em}"
    "h3{font-size:1em;margin:0 0 .3em}small{color:var(--dim);font-weight:400}\n"
    ".charts{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,420px),1fr));gap:24px 28px;"
    "margin:24px 0}figure{margin:0;min-width:0;position:relative}"
    "figcaption{font-size:.85em;display:flex;flex-wrap:wrap;gap:2px 14px;padding-left:10%}\n"
    ".chart{display:block;width:100%;height:auto;touch-action:pan-y}.key{width:22px;height:8px;margin-right:5px}"
    ".line{fill:none;stroke:var(--k);stroke-width:1.6;stroke-linejoin:round;stroke-linecap:round}.band{fill:var(--k);"
    "opacity:.18;stroke:none}.dot{fill:var(--k)}"
    ".d1{stroke-dasharray:6 4}.d2{stroke-dasharray:1.5 4}.d3{stroke-dasharray:9 3 1.5 3}\n"
    ".c0{--k:var(--c0)}.c1{--k:var(--c1)}.c2{--k:var(--c2)}.c3{--k:var(--c3)}.c4{--k:var(--c4)}.c5{--k:var(--c5)}"
    ".c6{--k:var(--c6)}.c7{--k:var(--c7)}\n"
    ".grid{stroke:var(--rule)}.axis,.tick{stroke:var(--dim);fill:none}.mark{stroke:var(--mark);stroke-width:1.2}"
    ".cursor{stroke:var(--dim);stroke-dasharray:2 3}text{fill:var(--dim);font:11px system-ui,sans-serif}"
    ".up{font-size:8px}.x{text-anchor:middle}.y{text-anchor:end}\n"
    ".tip{position:absolute;top:2px;right:0;background:var(--bg);border:1px solid var(--rule);border-radius:4px;"
    "padding:2px 8px;font-size:.8em;pointer-events:none;white-space:pre}\n"
    ".wide{overflow-x:auto}table{border-collapse:collapse;font-size:.93em}th,td{text-align:left;vertical-align:top;"
    "padding:3px 18px 3px 0;border-bottom:1px solid var(--rule)}th{font-weight:500;color:var(--dim)}"
    ".runs th{color:var(--fg)}td{overflow-wrap:anywhere}td p{margin:0 0 .4em;color:var(--dim)}td "
    "b{font-weight:400;color:var(--fg)}"
    ".numbers td{font-variant-numeric:tabular-nums}.differs td,.wrong{color:var(--c1)}\n"
    ".bar{fill:var(--k)}.whisker{stroke:var(--fg);fill:none}.bars{display:block}.numbers .plot{padding-left:4px}"
    ".legend{font-size:.85em;display:flex;flex-wrap:wrap;gap:2px 14px;margin:.5em 0}\n"
    ".heat tr:first-child th{text-align:right;padding:3px 10px}.heat td{text-align:right;padding:4px 10px;border:1px "
    "solid var(--bg);font-variant-numeric:tabular-nums;"
    "background:color-mix(in srgb,var(--c1) var(--v),var(--bg))}.heat .own{background:color-mix(in srgb,var(--c0) "
    "var(--v),var(--bg))}.square{max-width:340px}.says{white-space:pre-wrap}\n";

void html_page_begin(struct buf *out, const char *title)
{
    buf_puts(out, "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">"
                  "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">"
                  "<meta name=\"color-scheme\" content=\"light dark\"><title>");
    html_escape(out, title);
    buf_puts(out, "</title>\n<style>\n");
    buf_puts(out, style);
    buf_puts(out, "</style></head><body>\n<h1>");
    html_escape(out, title);
    buf_puts(out, "</h1>\n");
}

void html_page_end(struct buf *out, const char *script)
{
    if (*script) {
        buf_puts(out, "<script>\n");
        buf_puts(out, script);
        buf_puts(out, "</script>");
    }
    buf_puts(out, "</body></html>\n");
}

void html_json(struct buf *out, const json_t *v)
{
    if (!v || json_is_null(v) || (json_is_array(v) && !json_array_size(v))) {
        buf_puts(out, "&ndash;");
    } else if (json_is_string(v)) {
        html_escape(out, json_string_value(v));
    } else if (json_is_real(v)) {
        html_number(out, json_real_value(v));
    } else if (json_is_array(v)) {
        for (size_t i = 0; i < json_array_size(v); i++) {
            buf_puts(out, i ? ", " : "");
            html_json(out, json_array_get(v, i));
        }
    } else {
        char *text = json_dumps(v, JSON_ENCODE_ANY | JSON_REAL_PRECISION(9));
        html_escape(out, text ? text : "?");
        free(text);
    }
}
