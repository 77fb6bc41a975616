/* SPDX-License-Identifier: ISC */
/* The screen's parts and what they hold. See draw.h. */
#include "tui/draw.h"

#include <assert.h>
#include <stdio.h>

enum {
	HEAD_ROWS = 3, /* tabs, numbers, rule */
	FOOT_ROWS = 2, /* message, hints */
	WIDE = 120,    /* columns from which details stand beside the list */
	TALL = 40,     /* rows from which operations and what happened stand below it */
	PANE_ROWS = 7, /* of details below the list */
	PANE_FROM = 20 /* rows of the screen from which there are some */
};

static const char *const tab_names[] = {[KIND_VM] = "VMs",
	[KIND_IMAGE] = "Images",
	[KIND_KERNEL] = "Kernels",
	[KIND_OP] = "Operations",
	[KIND_CHECK] = "Doctor"};

/* What stands behind the tab's name: how many, or doctor's answer. */
static void tab_count(const struct ui *ui, enum kind kind, char out[SHORT_TEXT])
{
	const struct list *list = &ui->model.lists[kind];
	unsigned bad = 0, warn = 0;

	if (kind == KIND_CHECK) {
		for (size_t i = 0; i < list->count; i++) {
			bad += bg_streq(item_text(list->items[i].record, "state"), "fail");
			warn += bg_streq(item_text(list->items[i].record, "state"), "warn");
		}
		snprintf(out, SHORT_TEXT, "%s",
			list->count == 0 ? ""
			: bad		 ? "fails"
			: warn		 ? "warns"
					 : "ok");
	} else if (kind == KIND_OP) {
		snprintf(out, SHORT_TEXT, "%u", ui_running_ops(ui));
	} else {
		snprintf(out, SHORT_TEXT, "%zu", list->count);
	}
}

/* The tab as text; returns its columns. In a narrow window only the number and the name. */
static int tab_text(const struct ui *ui, enum kind kind, char out[SHORT_TEXT * 2])
{
	char count[SHORT_TEXT];
	bool front = ui->view == kind;

	tab_count(ui, kind, count);
	return snprintf(out, SHORT_TEXT * 2, "%s%d %s%s%s%s", front ? "[" : "", (int)kind + 1,
		tab_names[kind], *count ? " " : "", count, front ? "]" : "");
}

static int tabs_begin(const struct ui *ui)
{
	return ui->columns >= 80 ? 9 : 1;
}

static int tabs_gap(const struct ui *ui)
{
	return ui->columns >= 100 ? 3 : ui->columns >= 80 ? 2 : 1;
}

int draw_tab_at(const struct ui *ui, int column)
{
	int at = tabs_begin(ui);

	for (int kind = 0; kind < KIND_MAX_; kind++) {
		char text[SHORT_TEXT * 2];
		int columns = tab_text(ui, (enum kind)kind, text);

		if (column >= at && column < at + columns)
			return kind;
		at += columns + tabs_gap(ui);
	}
	return -1;
}

static void draw_tabs(const struct ui *ui, struct grid *g)
{
	int at = tabs_begin(ui);

	if (ui->columns >= 80)
		grid_put(g, 0, 1, 8, LOOK_TITLE, "banger");
	for (int kind = 0; kind < KIND_MAX_; kind++) {
		char text[SHORT_TEXT * 2];
		int columns = tab_text(ui, (enum kind)kind, text);

		grid_put(g, 0, at, g->columns - 1 - at,
			ui->view == (enum kind)kind ? LOOK_TITLE : LOOK_PLAIN, text);
		at += columns + tabs_gap(ui);
	}
	if (ui->model.daemon && g->columns >= WIDE) {
		char text[80];

		snprintf(text, sizeof(text), "bangerd %.20s",
			item_text(ui->model.daemon, "version"));
		grid_put_right(g, 0, at, g->columns - 1 - at, LOOK_DIM, text);
	}
}

struct totals {
	unsigned faces[FACE_MAX_], marked;
	double cpu;
	int64_t memory, disk;
};

static void add_up(const struct ui *ui, struct totals *t)
{
	const struct list *list = &ui->model.lists[KIND_VM];

	for (size_t i = 0; i < list->count; i++) {
		const struct item *item = &list->items[i];
		const char *word;

		t->faces[vm_face(item, &word)]++;
		t->marked += item->marked;
		if (!item->usage)
			continue;
		t->cpu += BG_MAX(item->usage->cpu, 0.0);
		t->memory += item->usage->host;
		t->disk += item->usage->disk;
	}
}

static void draw_totals(const struct ui *ui, struct grid *g)
{
	static const char *const words[] = {
		"running", "busy", "paused", "suspended", "stopped", "failed"};
	struct totals t = {.marked = 0};
	char memory[SHORT_TEXT], disk[SHORT_TEXT], text[120];
	int at = 1;

	add_up(ui, &t);
	static_assert(ARRAY_SIZE(words) == FACE_MAX_, "a word for each face");
	for (int i = 0; i < FACE_MAX_; i++) {
		enum look look;

		(void)face_glyph((enum face)i, &look);
		if (t.faces[i])
			at += grid_printf(g, 1, at, g->columns - 1 - at, look, "%u %s", t.faces[i],
				      words[i]) +
			      2;
	}
	if (t.marked)
		at += grid_printf(
			      g, 1, at, g->columns - 1 - at, LOOK_ACCENT, "%u marked", t.marked) +
		      2;
	snprintf(text, sizeof(text), "CPU %.0f%%  memory %s  disk %s", t.cpu,
		short_size(t.memory, memory), short_size(t.disk, disk));
	if (t.memory)
		grid_put_right(g, 1, at, g->columns - 1 - at, LOOK_DIM, text);
}

/* What is below is old, or not there yet: said where the numbers stand else. */
static bool draw_banner(const struct ui *ui, struct grid *g)
{
	const struct model *m = &ui->model;
	char age[SHORT_TEXT], text[MESSAGE_ROOM + 80];

	if (m->link == LINK_UP)
		return false;
	if (m->link == LINK_STARTING)
		snprintf(text, sizeof(text), "bangerd is being started");
	else if (m->link == LINK_CONNECTING)
		snprintf(text, sizeof(text), "waiting for bangerd");
	else if (m->heard)
		snprintf(text, sizeof(text),
			"** bangerd does not answer; trying again (r starts it). This is %s old. "
			"**",
			short_age(m->now - m->heard, age));
	else
		snprintf(text, sizeof(text),
			"** bangerd does not answer; trying again (r starts it) **");
	if (*ui->daemon_error)
		snprintf(text, sizeof(text), "** %s **", ui->daemon_error);
	grid_put(g, 1, 1, g->columns - 2,
		m->link == LINK_DOWN || *ui->daemon_error ? LOOK_BAD : LOOK_BUSY, text);
	return true;
}

/* The operation that runs, newest first, when nothing else is to be said. */
static void draw_operation(const struct ui *ui, struct grid *g)
{
	const struct list *ops = &ui->model.lists[KIND_OP];
	int row = g->rows - FOOT_ROWS, at = 1;
	char elapsed[SHORT_TEXT];

	for (size_t i = 0; i < ops->count; i++) {
		const struct item *op = &ops->items[i];

		if (!bg_streq(item_text(op->record, "state"), "running"))
			continue;
		at += grid_printf(g, row, at, g->columns - 28, LOOK_BUSY, "~ %s %s  %s",
			      item_text(op->record, "kind"), item_text(op->record, "target"),
			      op_stage(op->record)) +
		      2;
		if (op_share(op->record) >= 0 && at + 24 < g->columns) {
			draw_bar(g, row, at, 12, op_share(op->record));
			at += 14;
		}
		grid_put(g, row, at, g->columns - 1 - at, LOOK_DIM,
			short_elapsed(op_elapsed(ui, op), elapsed));
		return;
	}
}

static void draw_message(const struct ui *ui, struct grid *g)
{
	const struct view *v = &ui->views[ui->view];
	int row = g->rows - FOOT_ROWS, at = 1;
	struct item *const *items;

	if (ui->typing || (*v->filter && !*ui->message)) {
		at += grid_put(g, row, at, 12, LOOK_ACCENT, "filter: ");
		at += grid_put(g, row, at, g->columns - 20, LOOK_BOLD, v->filter);
		if (ui->typing) {
			g->cursor_row = row;
			g->cursor_column = at;
		}
		grid_printf(g, row, at + 3, g->columns - at - 4, LOOK_DIM,
			"%zu of %zu shown; Esc clears it", ui_visible(ui, &items),
			ui->model.lists[ui->view].count);
	} else if (*ui->message) {
		grid_put(g, row, 1, g->columns - 2, ui->message_bad ? LOOK_BAD : LOOK_PLAIN,
			ui->message);
	} else {
		draw_operation(ui, g);
	}
}

/* Operations and what happened, in the lower part of a tall screen. */
static int draw_lower(const struct ui *ui, struct grid *g, int bottom, int columns)
{
	enum { LOWER = 18, OPS = 6 };
	int row = bottom - LOWER;

	grid_rule(g, row, 1, columns - 2);
	grid_put(g, row, 3, columns - 4, LOOK_TITLE, " operations ");
	draw_ops_brief(ui, g, (struct box){row + 1, 1, OPS, columns - 2});
	grid_rule(g, row + OPS + 1, 1, columns - 2);
	grid_put(g, row + OPS + 1, 3, columns - 4, LOOK_TITLE, " what happened ");
	draw_notes(ui, g, (struct box){row + OPS + 2, 1, LOWER - OPS - 3, columns - 2});
	return row;
}

static void draw_body(struct ui *ui, struct grid *g)
{
	int bottom = g->rows - FOOT_ROWS - 1, columns = g->columns, pane;
	bool wide = columns >= WIDE, has_pane = g->rows >= PANE_FROM;

	grid_rule(g, HEAD_ROWS - 1, 1, g->columns - 2);
	grid_rule(g, bottom, 1, g->columns - 2);
	if (wide) {
		pane = BG_MAX(BG_MIN(columns * 2 / 5 + ui->detail * 2, columns - 60), 30);
		columns -= pane;
		for (int row = HEAD_ROWS; row < bottom; row++)
			grid_put(g, row, columns, 1, LOOK_DIM, g->ascii ? "|" : "\u2502");
		draw_detail(
			ui, g, (struct box){HEAD_ROWS, columns + 2, bottom - HEAD_ROWS, pane - 3});
	}
	if (wide && g->rows >= TALL && ui->view == KIND_VM)
		bottom = draw_lower(ui, g, bottom, columns);
	if (!wide && has_pane) {
		pane = BG_MAX(BG_MIN(PANE_ROWS + ui->detail, bottom - HEAD_ROWS - 4), 2);
		bottom -= pane;
		grid_rule(g, bottom, 1, columns - 2);
		draw_detail(ui, g, (struct box){bottom, 1, pane, columns - 2});
	}
	draw_list(ui, g, (struct box){HEAD_ROWS, 0, bottom - HEAD_ROWS, columns});
}

void draw(struct ui *ui, struct grid *g)
{
	ui->rows = g->rows;
	ui->columns = g->columns;
	if (g->rows < 8 || g->columns < 40) {
		grid_put(g, 0, 0, g->columns, LOOK_PLAIN, "too small (q quits)");
		return;
	}
	if (ui->pager.open) {
		draw_text(ui, g);
	} else if (ui->form.open) {
		draw_form(ui, g);
	} else {
		draw_tabs(ui, g);
		draw_body(ui, g);
		if (!draw_banner(ui, g))
			draw_totals(ui, g);
		draw_message(ui, g);
		draw_hints(ui, g);
	}
	if (ui->palette.open)
		draw_palette(ui, g);
	if (ui->dialog.open)
		draw_dialog(ui, g);
}

/* Uptimes change by the second in the first minute, then by the minute. */
static int next_age(const struct ui *ui)
{
	const struct list *vms = &ui->model.lists[KIND_VM];
	int64_t next = -1;

	for (size_t i = 0; i < vms->count; i++) {
		int64_t up = item_since(&ui->model, vms->items[i].record, "started_at"),
			step = up < 60000 ? 1000 : 60000;

		if (up >= 0 && bg_streq(item_text(vms->items[i].record, "state"), "running") &&
			(next < 0 || step - up % step < next))
			next = step - up % step;
	}
	return (int)next;
}

int draw_next(const struct ui *ui)
{
	if (ui->model.link == LINK_DOWN)
		return 1000;
	if (ui_running_ops(ui) && !ui->pager.open)
		return SPIN_MS;
	return ui->pager.open || ui->form.open ? -1 : next_age(ui);
}
