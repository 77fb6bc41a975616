/* SPDX-License-Identifier: ISC */
/* A form over the whole screen: fields, the list of what one could be, the same as a command line. */
#include <stdio.h>

#include "tui/draw.h"

enum { LABEL = 14, VALUE = 34, LIST_ROWS = 6 };

static int value_columns(const struct grid *g)
{
	return BG_MIN(VALUE, g->columns - LABEL - 6);
}

static void draw_value(struct grid *g, int row, int column, int room, const struct field *f,
	const struct field_row *r, bool focus)
{
	char head[FIELD_ROOM];
	int before;
	const char *text = f->text;

	if (r->kind == FIELD_SWITCH) {
		grid_put(g, row, column, 3, focus ? LOOK_BOLD : LOOK_PLAIN, f->on ? "[x]" : "[ ]");
		if (focus) {
			g->cursor_row = row;
			g->cursor_column = column + 1;
		}
		return;
	}
	snprintf(head, sizeof(head), "%.*s", (int)f->at, f->text);
	before = grid_columns(head);
	/* A text that is longer than its field is shown from where the cursor stays in sight. */
	for (; before > room - 3 && *text; text++)
		before--;
	grid_put(g, row, column, 1, LOOK_DIM, "[");
	grid_put(g, row, column + 1, room - 2, focus ? LOOK_BOLD : LOOK_PLAIN, text);
	grid_put(g, row, column + room - 1, 1, LOOK_DIM, "]");
	if (focus) {
		g->cursor_row = row;
		g->cursor_column = column + 1 + before;
	}
}

static void draw_field(const struct form *f, struct grid *g, int row, size_t i)
{
	const struct field_row *r = &form_row(f)->fields[i];
	const struct field *field = &f->fields[i];
	int room = value_columns(g), beside = LABEL + room + 3;
	bool focus = i == f->focus;

	grid_put(g, row, 1, 1, LOOK_ACCENT, focus ? ">" : " ");
	grid_put(g, row, 3, LABEL - 3, focus ? LOOK_BOLD : LOOK_PLAIN, r->label);
	draw_value(g, row, LABEL + 1, r->kind == FIELD_SWITCH ? 3 : room, field, r, focus);
	if (r->kind == FIELD_SWITCH)
		beside = LABEL + 6;
	grid_put(g, row, beside, g->columns - beside - 1, *field->error ? LOOK_BAD : LOOK_DIM,
		*field->error ? field->error : r->hint);
}

static void draw_choices(const struct ui *ui, struct grid *g, int row)
{
	const struct form *f = &ui->form;
	const char *choices[FORM_CHOICES];
	size_t n = form_choices(f, &ui->model, choices), top;
	int rows = (int)BG_MIN(n, (size_t)LIST_ROWS), room = value_columns(g);

	if (n == 0)
		return;
	top = f->choice >= (size_t)rows ? f->choice - (size_t)rows + 1 : 0;
	grid_frame(g, row, LABEL + 1, rows + 2, room, NULL);
	for (int i = 0; i < rows; i++) {
		grid_put(g, row + 1 + i, LABEL + 3, room - 4, LOOK_PLAIN, choices[top + (size_t)i]);
		if (f->list && f->choice == top + (size_t)i)
			grid_reverse(g, row + 1 + i, LABEL + 2, room - 2);
	}
	grid_clear(g, row + 1, LABEL + room + 3, g->columns - LABEL - room - 4, LOOK_PLAIN);
	grid_printf(g, row + 1, LABEL + room + 3, g->columns - LABEL - room - 4, LOOK_DIM,
		"%zu match; Tab takes the first", n);
}

/* Over as many rows as it needs. */
static void draw_command(const struct form *f, struct grid *g, int row)
{
	char text[2048], piece[512];
	const char *rest = form_command(f, text, sizeof(text));
	int room = BG_MIN(g->columns - 4, (int)sizeof(piece) - 1);

	grid_rule(g, row, 1, g->columns - 2);
	grid_put(g, row++, 3, g->columns - 6, LOOK_TITLE, " the same on the command line ");
	for (; *rest && row < g->rows - 3; row++) {
		snprintf(piece, sizeof(piece), "%.*s", room, rest);
		grid_put(g, row, 2, g->columns - 3, LOOK_PLAIN, piece);
		rest += strlen(piece);
	}
}

void draw_form(const struct ui *ui, struct grid *g)
{
	const struct form *f = &ui->form;
	int count = (int)form_row(f)->count, gap = count * 2 + 8 < g->rows && count < 6 ? 2 : 1,
	    top = 3;
	/* In a low window the field in focus stays in sight. */
	int skip = BG_MAX(0, ((int)f->focus + 1) * gap + top + 6 - g->rows);

	grid_printf(g, 0, 1, g->columns - 2, LOOK_TITLE, "banger > %s%s%s", form_row(f)->title,
		*f->target ? " > " : "", f->target);
	grid_rule(g, 1, 1, g->columns - 2);
	for (int i = 0; i < count; i++)
		if (i * gap - skip >= 0 && top + i * gap - skip < g->rows - 3)
			draw_field(f, g, top + i * gap - skip, (size_t)i);
	if (top + count * gap + 3 < g->rows)
		draw_command(
			f, g, g->rows - 7 > top + count * gap ? g->rows - 7 : top + count * gap);
	draw_choices(ui, g, top + (int)f->focus * gap - skip + 1);
	grid_rule(g, g->rows - 3, 1, g->columns - 2);
	grid_clear(g, g->rows - 2, 1, g->columns - 2, LOOK_PLAIN);
	grid_put(g, g->rows - 2, 1, g->columns - 2, *f->error ? LOOK_BAD : LOOK_BUSY,
		*f->error ? f->error
		: f->sent ? "asked; waiting for the answer"
			  : "");
	grid_printf(g, g->rows - 1, 1, g->columns - 2, LOOK_PLAIN,
		"Enter %s  Tab next  S-Tab back  Down list  Space switch  ^U clear  Esc leave",
		form_row(f)->verb);
}
