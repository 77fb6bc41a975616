/* SPDX-License-Identifier: ISC */
/* A text over the whole screen: logs, a diff, a record. */
#include <stdio.h>

#include "tui/draw.h"

/* Marks what is searched for within a row that was drawn. */
static void mark_hits(struct grid *g, const struct pager *p, int row, int columns)
{
	_free_ char *text = *p->search ? grid_row_text(g, row) : NULL;
	size_t len = strlen(p->search);

	for (const char *at = text; at && (at = strcasestr(at, p->search)); at += len) {
		char before[PAGER_LINE];

		snprintf(before, sizeof(before), "%.*s", (int)(at - text), text);
		grid_reverse(g, row, grid_columns(before), BG_MIN((int)len, columns));
	}
}

/* What is left of text when its first columns are skipped. */
static const char *skip_columns(const char *text, int columns)
{
	while (*text && columns > 0) {
		const char *end = text + 1;

		while (((unsigned char)*end & 0xc0) == 0x80)
			end++;
		columns -= (unsigned char)*text < 0x20 || *text == 0x7f ? 2 : 1;
		text = end;
	}
	return text;
}

static int draw_line(struct grid *g, const struct pager *p, int row, int rows, const char *text)
{
	int columns = g->columns - 1, used = 0;

	if (!p->wrap) {
		grid_put(g, row, 0, columns, LOOK_PLAIN, skip_columns(text, p->left));
		return 1;
	}
	do {
		char piece[PAGER_LINE];
		const char *rest = skip_columns(text, columns);

		snprintf(piece, sizeof(piece), "%.*s", (int)(rest - text), text);
		grid_put(g, row + used, 0, columns, LOOK_PLAIN, piece);
		used++;
		text = rest;
	} while (*text && used < rows);
	return used;
}

static void draw_status(const struct ui *ui, struct grid *g)
{
	const struct pager *p = &ui->pager;
	int row = g->rows - 2, at = 1;
	char where[80];

	if (ui->typing || *p->search) {
		at += grid_put(g, row, at, 1, LOOK_ACCENT, "/");
		at += grid_put(g, row, at, 40, LOOK_BOLD, p->search);
		if (ui->typing) {
			g->cursor_row = row;
			g->cursor_column = at;
		}
		at += 3;
	}
	if (*ui->message)
		grid_put(g, row, at, g->columns - 1 - at, ui->message_bad ? LOOK_BAD : LOOK_PLAIN,
			ui->message);
	else if (!p->follow && p->unseen)
		grid_printf(g, row, at, g->columns - 40, LOOK_BUSY, "paused: %zu new lines below",
			p->unseen);
	else if (p->is_diff)
		grid_put(g, row, at, g->columns - 40, LOOK_DIM,
			"P brings these changes into the checkout");
	snprintf(where, sizeof(where), "%s%s%s", p->follow ? "following" : "",
		p->wrap ? "  wrapped" : "", p->left ? "  moved right" : "");
	grid_put_right(g, row, g->columns - 30, 29, LOOK_DIM, where);
}

void draw_text(struct ui *ui, struct grid *g)
{
	struct pager *p = &ui->pager;
	int rows = ui_text_rows(ui), row = 2;
	char lines[48];

	pager_settle(p, rows, p->wrap ? g->columns - 1 : 0);
	grid_printf(g, 0, 1, g->columns - 30, LOOK_TITLE, "banger > %s%s", p->title,
		p->is_log ? p->vmm ? " of the VMM" : " of the console" : "");
	snprintf(lines, sizeof(lines), "%zu lines", p->count);
	grid_put_right(g, 0, g->columns - 25, 24, LOOK_DIM, lines);
	grid_rule(g, 1, 1, g->columns - 2);
	for (size_t i = p->top; i < p->count && row < rows + 2; i++) {
		int first = row;

		row += draw_line(g, p, row, rows + 2 - row, p->lines[i]);
		for (; first < row; first++)
			mark_hits(g, p, first, g->columns);
	}
	grid_rule(g, g->rows - 3, 1, g->columns - 2);
	draw_status(ui, g);
	draw_hints(ui, g);
}
