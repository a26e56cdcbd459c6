// SPDX-License-Identifier: Apache-2.0
/* Regions are boxes in rows, machines boxes in a grid within their region, devices dots in a grid within their machine;
 * then the links of all pipelines under the dots. Coordinates are pixels at the picture's natural size. */
#include <math.h>
#include <stdlib.h>

#include "base/compiler.h"
#include "dist/placement_show.h"

enum {
    DOT = 11,      /* radius */
    PITCH = 26,    /* from dot to dot */
    LABEL = 14,    /* height of a line of text */
    PAD = 8,       /* inside boxes */
    GAP = 10,      /* between machines */
    APART = 56,    /* between regions: links run there */
    NARROWEST = 66 /* machine, for its name */
};

struct box {
    double x, y, w, h;
};

/* How many columns a grid of n cells has that is about as wide as high. */
static int columns_of(int n, double cell_w, double cell_h)
{
    const int columns = (int)ceil(sqrt(n * cell_h / cell_w));
    return columns < 1 ? 1 : columns > n ? n : columns;
}

static int rows_of(int n, int columns)
{
    return (n + columns - 1) / columns;
}

struct region {
    struct box box;
    int n_machines, most_devices, columns, dots; /* columns of machines, and of dots in a machine */
    double cell_w, cell_h;
};

struct picture {
    const struct placement *p;
    const struct cluster *c;
    struct region *regions; /* [n_regions]  */
    struct box *machines;   /* [n_machines] */
    int *rank_of;           /* [n_devices]  */
    double w, h;
    struct buf *out;
};

/* ---- Layout ---- */

static void size_regions(struct picture *v)
{
    for (int i = 0; i < v->c->n_machines; i++) {
        struct region *r = &v->regions[v->c->machines[i].region];
        r->n_machines++;
        if (v->c->machines[i].n_devices > r->most_devices) r->most_devices = v->c->machines[i].n_devices;
    }
    for (int i = 0; i < v->c->n_regions; i++) {
        struct region *r = &v->regions[i];
        r->dots = columns_of(r->most_devices, 1, 1);
        r->cell_w = fmax(NARROWEST, r->dots * PITCH + 2 * PAD);
        r->cell_h = rows_of(r->most_devices, r->dots) * PITCH + LABEL + 2 * PAD;
        r->columns = columns_of(r->n_machines, r->cell_w, r->cell_h);
        r->box.w = r->columns * (r->cell_w + GAP) - GAP + 2 * PAD;
        r->box.h = rows_of(r->n_machines, r->columns) * (r->cell_h + GAP) - GAP + 2 * PAD + LABEL;
    }
}

static void place_regions(struct picture *v)
{
    double area = 0, widest = 0;
    for (int i = 0; i < v->c->n_regions; i++) {
        const struct box *b = &v->regions[i].box;
        area += (b->w + APART) * (b->h + APART);
        widest = fmax(widest, b->w);
    }
    const double width = fmax(widest, 1.25 * sqrt(area));
    double x = APART / 2.0, y = 3 * LABEL + APART / 2.0, row_h = 0;
    for (int i = 0; i < v->c->n_regions; i++) {
        struct box *b = &v->regions[i].box;
        if (x > APART && x + b->w > width + APART) {
            x = APART / 2.0;
            y += row_h + APART;
            row_h = 0;
        }
        b->x = x;
        b->y = y;
        x += b->w + APART;
        row_h = fmax(row_h, b->h);
        v->w = fmax(v->w, x - APART / 2.0);
    }
    v->h = y + row_h + APART / 2.0;
}

/* Counts each region's machines once more, as they are given their places. */
static void place_machines(struct picture *v)
{
    for (int i = 0; i < v->c->n_regions; i++)
        v->regions[i].n_machines = 0;
    for (int i = 0; i < v->c->n_machines; i++) {
        struct region *r = &v->regions[v->c->machines[i].region];
        const int column = r->n_machines % r->columns, row = r->n_machines / r->columns;
        v->machines[i] = (struct box){r->box.x + PAD + column * (r->cell_w + GAP),
                                      r->box.y + PAD + LABEL + row * (r->cell_h + GAP), r->cell_w, r->cell_h};
        r->n_machines++;
    }
}

static void find_dot(const struct picture *v, int device, double *x, double *y)
{
    const struct cluster_machine *m = &v->c->machines[v->c->hosts[device]];
    const struct region *r = &v->regions[m->region];
    const struct box *b = &v->machines[v->c->hosts[device]];
    const int k = device - m->first_device, dots = r->dots < m->n_devices ? r->dots : m->n_devices;
    const int column = k % dots, row = k / dots;
    *x = b->x + b->w / 2 + (column - (dots - 1) / 2.0) * PITCH;
    *y = b->y + LABEL + PAD + (row + 0.5) * PITCH;
}

/* ---- Drawing ---- */

/* From dark blue over green to yellow (anchors of viridis, van der Walt and Smith 2015): told apart in grey and by
 * everyone's eyes, and in the order of the stages. */
static void put_colour(struct buf *out, int stage, int stages)
{
    static const int anchors[][3] = {{68, 1, 84}, {59, 82, 139}, {33, 145, 140}, {94, 201, 98}, {253, 231, 37}};
    const double at = stages > 1 ? 4.0 * stage / (stages - 1) : 0;
    const int low = at >= 4 ? 3 : (int)at;
    buf_puts(out, "#");
    for (int i = 0; i < 3; i++)
        buf_printf(out, "%02x",
                   (unsigned)lround(anchors[low][i] + (at - low) * (anchors[low + 1][i] - anchors[low][i])));
}

static bool is_light(int stage, int stages)
{
    return stages > 1 && stage * 2 >= stages;
}

/* A pixel and a half more for every factor of ten above 100 Mbps. */
static double width_of(double bytes_per_s)
{
    return fmin(8, fmax(0.8, 1.2 + 1.5 * log10(bytes_per_s * 8e-9 / 0.1)));
}

static void draw_boxes(const struct picture *v)
{
    for (int i = 0; i < v->c->n_regions; i++) {
        const struct box *b = &v->regions[i].box;
        buf_printf(v->out,
                   "<rect class=\"region\" x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\" rx=\"8\"/>"
                   "<text class=\"region\" x=\"%.1f\" y=\"%.1f\">%s</text>\n",
                   b->x, b->y, b->w, b->h, b->x + PAD, b->y + LABEL, v->c->regions[i]);
    }
    for (int i = 0; i < v->c->n_machines; i++) {
        const struct box *b = &v->machines[i];
        buf_printf(v->out,
                   "<rect class=\"machine\" x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\" rx=\"4\"/>"
                   "<text x=\"%.1f\" y=\"%.1f\">%.14s</text>\n",
                   b->x, b->y, b->w, b->h, b->x + b->w / 2, b->y + LABEL, v->c->machines[i].host);
    }
}

/* A link within a region bends less than one that crosses others. */
static void draw_link(const struct picture *v, int stage, int replica)
{
    const int from = placement_device(v->p, stage, replica), to = placement_device(v->p, stage + 1, replica);
    const struct shaped_link l = cluster_link(v->c, from, to);
    double x1, y1, x2, y2;
    find_dot(v, from, &x1, &y1);
    find_dot(v, to, &x2, &y2);
    buf_printf(v->out,
               "<path d=\"M%.1f %.1fQ%.1f %.1f %.1f %.1f\" stroke-width=\"%.2f\"><title>replica %d, stage %d to %d: "
               "%s to %s, %.4g Gbps, %.4g ms</title></path>\n",
               x1, y1, (x1 + x2) / 2 - (y2 - y1) * 0.12, (y1 + y2) / 2 + (x2 - x1) * 0.12, x2, y2,
               width_of(l.bytes_per_s), replica, stage, stage + 1, v->c->machines[v->c->hosts[from]].host,
               v->c->machines[v->c->hosts[to]].host, l.bytes_per_s * 8e-9, l.latency_s * 1e3);
}

static void draw_dot(const struct picture *v, int device)
{
    const int rank = v->rank_of[device], stage = rank < 0 ? 0 : rank % v->p->stages;
    const char *host = v->c->machines[v->c->hosts[device]].host;
    double x, y;
    find_dot(v, device, &x, &y);
    if (rank < 0) {
        buf_printf(v->out, "<circle class=\"idle\" cx=\"%.1f\" cy=\"%.1f\" r=\"%d\"><title>%s: idle</title></circle>\n",
                   x, y, DOT, host);
        return;
    }
    buf_printf(v->out,
               "<g><title>%s: rank %d, stage %d of replica %d</title><circle cx=\"%.1f\" cy=\"%.1f\" r=\"%d\" fill=\"",
               host, rank, stage, rank / v->p->stages, x, y, DOT);
    put_colour(v->out, stage, v->p->stages);
    buf_printf(v->out, "\"/><text x=\"%.1f\" y=\"%.1f\" fill=\"%s\">%d</text></g>\n", x, y + 4,
               is_light(stage, v->p->stages) ? "#000" : "#fff", rank / v->p->stages);
}

/* Stages as a strip of their colours, what the numbers are, and how wide links are. */
static void draw_legend(const struct picture *v)
{
    static const double gbps[] = {0.1, 1, 10, 100};
    const double strip = 120, left = APART / 2.0 + 50, y = LABEL * 1.5;
    for (int s = 0; s < v->p->stages; s++) {
        buf_printf(v->out, "<rect x=\"%.2f\" y=\"%.1f\" width=\"%.2f\" height=\"10\" fill=\"",
                   left + strip * s / v->p->stages, y - 9, strip / v->p->stages);
        put_colour(v->out, s, v->p->stages);
        buf_puts(v->out, "\"/>");
    }
    buf_printf(v->out,
               "<text class=\"region\" x=\"%.1f\" y=\"%.1f\">stage 0</text><text class=\"region\" x=\"%.1f\" "
               "y=\"%.1f\">%d; numbers are replicas; Gbps:</text>\n",
               APART / 2.0, y, left + strip + 6, y, v->p->stages - 1);
    for (int i = 0; i < (int)COUNT_OF(gbps); i++)
        buf_printf(v->out,
                   "<path d=\"M%.1f %.1fh24\" stroke-width=\"%.2f\"/>"
                   "<text class=\"region\" x=\"%.1f\" y=\"%.1f\">%g</text>\n",
                   left + strip + 198 + 60 * i, y - 4, width_of(gbps[i] * 1e9 / 8), left + strip + 226 + 60 * i, y,
                   gbps[i]);
}

static void draw(const struct picture *v)
{
    buf_printf(v->out,
               "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %.0f %.0f\" width=\"%.0f\" height=\"%.0f\" "
               "font-family=\"sans-serif\" font-size=\"10\" text-anchor=\"middle\">\n"
               "<style>rect.region{fill:#f3f4f6;stroke:#9ca3af}rect.machine{fill:#fff;stroke:#d1d5db}"
               "text.region{text-anchor:start;font-size:12px}circle.idle{fill:none;stroke:#9ca3af}path{fill:none;"
               "stroke:#b45309;stroke-opacity:0.5}</style>\n"
               "<rect width=\"100%%\" height=\"100%%\" fill=\"#fff\"/>\n",
               v->w, v->h, v->w, v->h);
    draw_legend(v);
    draw_boxes(v);
    for (int r = 0; r < v->p->replicas; r++)
        for (int s = 0; s + 1 < v->p->stages; s++)
            draw_link(v, s, r);
    for (int i = 0; i < v->c->n_devices; i++)
        draw_dot(v, i);
    buf_puts(v->out, "</svg>\n");
}

void placement_svg(struct buf *out, const struct placement *p, const struct cluster *c)
{
    struct picture v = {.p = p, .c = c, .out = out};
    v.regions = calloc((size_t)c->n_regions, sizeof *v.regions);
    v.machines = calloc((size_t)c->n_machines, sizeof *v.machines);
    v.rank_of = calloc((size_t)c->n_devices, sizeof *v.rank_of);
    if (v.regions && v.machines && v.rank_of) {
        placement_invert(v.rank_of, p, c->n_devices);
        size_regions(&v);
        place_regions(&v);
        place_machines(&v);
        v.w = fmax(v.w, 640); /* for the legend */
        draw(&v);
    } else {
        out->failed = true;
    }
    free(v.regions);
    free(v.machines);
    free(v.rank_of);
}
