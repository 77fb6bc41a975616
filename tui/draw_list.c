/* SPDX-License-Identifier: ISC */
/*
 * The lists: one table of columns for each kind. A column has its width, and when there is no room goes by its rank, the
 * highest first; one of each list takes what is left.
 */
#include <stdarg.h>
#include <stdio.h>
#include <time.h>

#include "tui/draw.h"

enum { GUTTER = 3, SPARK = 8 };

/* What a cell shows. */
struct shown {
	char text[200];
	enum look look;
	bool spark; /* text is not used: the usage's samples are */
};

struct column {
	const char *title;
	int width;
	bool right;
	int drop; /* 0: stays */
	bool grows;
	void (*show)(const struct ui *ui, const struct item *item, struct shown *s);
};

static _printf_(2, 3) void put(struct shown *s, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(s->text, sizeof(s->text), fmt, ap);
	va_end(ap);
}

static void put_size(struct shown *s, int64_t bytes)
{
	char text[SHORT_TEXT];

	put(s, "%s", short_size(bytes, text));
}

/* ---- VMs ---- */

static void vm_name(const struct ui *ui, const struct item *item, struct shown *s)
{
	put(s, "%s", item_name(KIND_VM, item));
	s->look = LOOK_BOLD;
}

static void vm_state(const struct ui *ui, const struct item *item, struct shown *s)
{
	const char *word;

	(void)face_glyph(vm_face(item, &word), &s->look);
	put(s, "%s", word);
}

static void vm_cpu(const struct ui *ui, const struct item *item, struct shown *s)
{
	if (item->usage && item->usage->cpu >= 0)
		put(s, "%.0f%%", item->usage->cpu);
}

static void vm_spark(const struct ui *ui, const struct item *item, struct shown *s)
{
	s->spark = item->usage && item->usage->count > 0;
}

static void vm_guest(const struct ui *ui, const struct item *item, struct shown *s)
{
	put_size(s, item->usage ? item->usage->guest : 0);
}

static void vm_host(const struct ui *ui, const struct item *item, struct shown *s)
{
	put_size(s, item->usage ? item->usage->host : 0);
}

static void vm_disk(const struct ui *ui, const struct item *item, struct shown *s)
{
	put_size(s, item->usage ? item->usage->disk : 0);
}

static void vm_address(const struct ui *ui, const struct item *item, struct shown *s)
{
	put(s, "%s", item_text(item->record, "address"));
}

static void vm_up(const struct ui *ui, const struct item *item, struct shown *s)
{
	char age[SHORT_TEXT];
	const char *word;
	enum face face = vm_face(item, &word);

	if (face != FACE_STOPPED && face != FACE_FAILED && face != FACE_SUSPENDED)
		put(s, "%s", short_age(item_since(&ui->model, item->record, "started_at"), age));
}

static void vm_ports(const struct ui *ui, const struct item *item, struct shown *s)
{
	const json_t *port;
	size_t i, len = 0;

	json_array_foreach (json_object_get(item->record, "publish"), i, port)
		if (len < sizeof(s->text))
			len += (size_t)snprintf(s->text + len, sizeof(s->text) - len, "%s%lld",
				len ? " " : "", (long long)item_int(port, "host"));
}

static void vm_image(const struct ui *ui, const struct item *item, struct shown *s)
{
	put(s, "%s", item_text(item->record, "image"));
}

static const struct column vm_columns[] = {
	{"NAME", 11, .grows = true, .show = vm_name},
	{"STATE", 9, .show = vm_state},
	{"CPU", 5, .right = true, .show = vm_cpu},
	{"TREND", SPARK, .drop = 5, .show = vm_spark},
	{"GUEST", 5, .right = true, .drop = 2, .show = vm_guest},
	{"HOST", 5, .right = true, .drop = 1, .show = vm_host},
	{"DISK", 5, .right = true, .drop = 3, .show = vm_disk},
	{"ADDRESS", 11, .drop = 4, .show = vm_address},
	{"PORTS", 9, .drop = 6, .show = vm_ports},
	{"IMAGE", 10, .drop = 7, .show = vm_image},
	{"UP", 6, .right = true, .drop = 2, .show = vm_up},
};

/* ---- images and kernels ---- */

static void any_name(const struct ui *ui, const struct item *item, struct shown *s)
{
	put(s, "%s", item_text(item->record, "name"));
	s->look = LOOK_BOLD;
}

static void any_size(const struct ui *ui, const struct item *item, struct shown *s)
{
	put_size(s, item_int(item->record, "size_bytes"));
}

static void any_real(const struct ui *ui, const struct item *item, struct shown *s)
{
	put_size(s, item_int(item->record, "real_bytes"));
}

static void any_users(const struct ui *ui, const struct item *item, struct shown *s)
{
	const json_t *list = json_object_get(item->record, "used_by");
	const json_t *name;
	size_t i, len = 0;

	json_array_foreach (list, i, name)
		if (len < sizeof(s->text) && json_string_value(name))
			len += (size_t)snprintf(s->text + len, sizeof(s->text) - len, "%s%s",
				len ? " " : "", json_string_value(name));
}

static void image_kernel(const struct ui *ui, const struct item *item, struct shown *s)
{
	put(s, "%s", item_text(item->record, "kernel"));
}

static void image_os(const struct ui *ui, const struct item *item, struct shown *s)
{
	put(s, "%s", item_text(item->record, "os"));
}

static void image_source(const struct ui *ui, const struct item *item, struct shown *s)
{
	put(s, "%s", item_text(item->record, "source"));
	s->look = LOOK_DIM;
}

static const struct column image_columns[] = {
	{"NAME", 16, .grows = true, .show = any_name},
	{"ON DISK", 7, .right = true, .show = any_real},
	{"SIZE", 5, .right = true, .drop = 3, .show = any_size},
	{"KERNEL", 12, .show = image_kernel},
	{"SYSTEM", 16, .drop = 4, .show = image_os},
	{"USED BY", 12, .drop = 2, .show = any_users},
	{"SOURCE", 20, .drop = 5, .show = image_source},
};

static void kernel_release(const struct ui *ui, const struct item *item, struct shown *s)
{
	put(s, "%s", item_text(item->record, "release"));
}

static void kernel_format(const struct ui *ui, const struct item *item, struct shown *s)
{
	put(s, "%s", item_text(item->record, "format"));
}

static void kernel_modules(const struct ui *ui, const struct item *item, struct shown *s)
{
	put(s, "%lld", (long long)item_int(item->record, "modules"));
}

static const struct column kernel_columns[] = {
	{"NAME", 16, .grows = true, .show = any_name},
	{"RELEASE", 20, .show = kernel_release},
	{"FORMAT", 8, .drop = 3, .show = kernel_format},
	{"ON DISK", 7, .right = true, .show = any_real},
	{"MODULES", 7, .right = true, .drop = 2, .show = kernel_modules},
	{"USED BY", 16, .drop = 1, .show = any_users},
};

/* ---- operations and checks ---- */

static void op_kind(const struct ui *ui, const struct item *item, struct shown *s)
{
	put(s, "%s", item_text(item->record, "kind"));
}

static void op_target(const struct ui *ui, const struct item *item, struct shown *s)
{
	put(s, "%s", item_text(item->record, "target"));
	s->look = LOOK_BOLD;
}

static void op_state(const struct ui *ui, const struct item *item, struct shown *s)
{
	put(s, "%s", item_text(item->record, "state"));
	(void)op_glyph(item->record, &s->look);
}

static void op_what(const struct ui *ui, const struct item *item, struct shown *s)
{
	const char *error = item_text(json_object_get(item->record, "error"), "message");
	const char *stage = op_stage(item->record),
		   *more = item_text(json_object_get(item->record, "progress"), "text");
	int share = op_share(item->record);

	if (*error)
		put(s, "%s", error);
	else if (bg_streq(item_text(item->record, "state"), "running"))
		put(s, share >= 0 ? "%s %s %d%%" : "%s %s", stage, more, share / 10);
}

static void op_time(const struct ui *ui, const struct item *item, struct shown *s)
{
	char text[SHORT_TEXT];

	put(s, "%s", short_elapsed(op_elapsed(ui, item), text));
}

static const struct column op_columns[] = {
	{"KIND", 14, .show = op_kind},
	{"TARGET", 14, .show = op_target},
	{"STATE", 9, .show = op_state},
	{"STAGE", 10, .grows = true, .drop = 1, .show = op_what},
	{"TIME", 8, .right = true, .show = op_time},
};

static void check_state(const struct ui *ui, const struct item *item, struct shown *s)
{
	const char *state = item_text(item->record, "state");

	put(s, "%s", state);
	s->look = *state == 'o' ? LOOK_GOOD : *state == 'w' ? LOOK_BUSY : LOOK_BAD;
}

static void check_text(const struct ui *ui, const struct item *item, struct shown *s)
{
	put(s, "%s", item_text(item->record, "text"));
	s->look = LOOK_PLAIN;
}

static const struct column check_columns[] = {
	{"STATE", 5, .show = check_state},
	{"CHECK", 12, .show = any_name},
	{"", 20, .grows = true, .show = check_text},
};

static const struct {
	const struct column *columns;
	size_t count;
	const char *none;
} tables[] = {
	[KIND_VM] = {vm_columns, ARRAY_SIZE(vm_columns), "There are no VMs yet: c creates one."},
	[KIND_IMAGE] = {image_columns, ARRAY_SIZE(image_columns),
		"There are no images yet: c pulls one, b builds one."},
	[KIND_KERNEL] = {kernel_columns, ARRAY_SIZE(kernel_columns),
		"There are no kernels yet: c pulls one."},
	[KIND_OP] = {op_columns, ARRAY_SIZE(op_columns),
		"Nothing was done since the daemon started."},
	[KIND_CHECK] = {check_columns, ARRAY_SIZE(check_columns), "r looks at this machine."},
};

enum { COLUMNS_MAX = 12 };

/* Which columns there are, and how wide each is; 0: left out. */
static void divide(enum kind kind, int room, int widths[COLUMNS_MAX])
{
	const struct column *columns = tables[kind].columns;
	size_t count = tables[kind].count, last;
	int used;

	for (;;) {
		int worst = 0;

		used = 0;
		last = count;
		for (size_t i = 0; i < count; i++) {
			if (widths[i] < 0)
				continue;
			widths[i] = columns[i].width;
			used += widths[i] + 1;
			if (columns[i].drop >= worst && columns[i].drop > 0) {
				worst = columns[i].drop;
				last = i;
			}
		}
		if (used <= room || last == count)
			break;
		widths[last] = -1;
	}
	for (size_t i = 0; i < count; i++)
		if (columns[i].grows && widths[i] > 0 && room > used)
			widths[i] += kind == KIND_VM || kind == KIND_IMAGE || kind == KIND_KERNEL
					     ? BG_MIN(room - used, 24)
					     : room - used;
}

/* The newest samples, each a level of its cell. */
static void draw_spark(struct grid *g, int row, int column, int room, const struct usage *u)
{
	int n = BG_MIN((int)u->count, room);

	for (int i = 0; i < n; i++) {
		float percent = u->cpu_samples[u->count - (unsigned)n + (unsigned)i];
		int level = percent < 1 ? 0 : 1 + (int)(percent * 8 / 101);

		grid_level(
			g, row, column + room - n + i, level, percent >= 85 ? LOOK_BAD : LOOK_GOOD);
	}
}

static void draw_cell(const struct ui *ui, struct grid *g, int row, int at, int width,
	const struct column *c, const struct item *item)
{
	struct shown s = {.look = LOOK_PLAIN};

	c->show(ui, item, &s);
	if (s.spark)
		draw_spark(g, row, at, width, item->usage);
	else if (c->right)
		grid_put_right(g, row, at, width, s.look, *s.text ? s.text : "-");
	else
		grid_put(g, row, at, width, s.look, *s.text ? s.text : "-");
}

static void draw_row(const struct ui *ui, struct grid *g, int row, struct box box,
	const int *widths, const struct item *item)
{
	bool cursor = bg_streq(item->key, ui->views[ui->view].cursor);
	enum look look = LOOK_PLAIN;
	char glyph[2] = " ";
	const char *word;
	int at = box.column + GUTTER + 1;

	if (ui->view == KIND_VM)
		glyph[0] = face_glyph(vm_face(item, &word), &look);
	else if (ui->view == KIND_OP)
		glyph[0] = op_glyph(item->record, &look);
	grid_put(g, row, box.column, 1, LOOK_BOLD, cursor ? ">" : " ");
	grid_put(g, row, box.column + 1, 1, LOOK_ACCENT, item->marked ? "+" : " ");
	grid_put(g, row, box.column + 2, 1, look, glyph);
	for (size_t i = 0; i < tables[ui->view].count; i++) {
		if (widths[i] <= 0)
			continue;
		draw_cell(ui, g, row, at, widths[i], &tables[ui->view].columns[i], item);
		at += widths[i] + 1;
	}
	if (cursor)
		grid_reverse(g, row, box.column, box.columns - 1);
}

static void draw_head(const struct ui *ui, struct grid *g, struct box box, const int *widths)
{
	int at = box.column + GUTTER + 1;

	for (size_t i = 0; i < tables[ui->view].count; i++) {
		const struct column *c = &tables[ui->view].columns[i];

		if (widths[i] <= 0)
			continue;
		if (c->right)
			grid_put_right(g, box.row, at, widths[i], LOOK_DIM, c->title);
		else
			grid_put(g, box.row, at, widths[i], LOOK_DIM, c->title);
		at += widths[i] + 1;
	}
}

static void draw_none(const struct ui *ui, struct grid *g, struct box box)
{
	const char *text = tables[ui->view].none;

	if (*ui->views[ui->view].filter)
		text = "Nothing matches the filter.";
	else if (ui->view == KIND_CHECK && ui->model.checks_running)
		text = "Looking at this machine ...";
	else if (ui->view != KIND_CHECK && !ui->model.synced)
		text = "";
	grid_put(g, box.row + 1, box.column + GUTTER + 1, box.columns - GUTTER - 2, LOOK_DIM, text);
}

void draw_list(struct ui *ui, struct grid *g, struct box box)
{
	struct item *const *items;
	int widths[COLUMNS_MAX] = {0};
	struct view *v = &ui->views[ui->view];
	size_t count;

	divide(ui->view, box.columns - GUTTER - 2, widths);
	draw_head(ui, g, box, widths);
	ui->head_row = box.row;
	ui->list_row = box.row + 1;
	ui->list_rows = box.rows - 1;
	ui->list_columns = box.columns;
	ui_settle(ui);
	count = ui_visible(ui, &items);
	for (size_t i = v->top; i < count && (int)(i - v->top) < ui->list_rows; i++)
		draw_row(ui, g, ui->list_row + (int)(i - v->top), box, widths, items[i]);
	if (count == 0)
		draw_none(ui, g, box);
}

/* ---- the lower lists ---- */

void draw_ops_brief(const struct ui *ui, struct grid *g, struct box box)
{
	const struct list *ops = &ui->model.lists[KIND_OP];

	for (int i = 0; i < box.rows && i < (int)ops->count; i++) {
		const struct item *op = &ops->items[i];
		char elapsed[SHORT_TEXT], glyph[2] = " ";
		struct shown s = {.look = LOOK_PLAIN};
		enum look look;
		int row = box.row + i, rest = box.columns - 44;

		glyph[0] = op_glyph(op->record, &look);
		grid_put(g, row, box.column + 1, 1, look, glyph);
		grid_put(g, row, box.column + 3, 14, LOOK_PLAIN, item_text(op->record, "kind"));
		grid_put(g, row, box.column + 18, 14, LOOK_BOLD, item_text(op->record, "target"));
		op_what(ui, op, &s);
		grid_put(g, row, box.column + 33, rest, LOOK_PLAIN,
			*s.text ? s.text : item_text(op->record, "state"));
		grid_put_right(g, row, box.column + box.columns - 10, 9, LOOK_DIM,
			short_elapsed(op_elapsed(ui, op), elapsed));
	}
}

void draw_notes(const struct ui *ui, struct grid *g, struct box box)
{
	for (int i = 0; i < box.rows && i < (int)ui->model.n_notes; i++) {
		const struct note *n = &ui->model.notes[i];
		time_t at = (time_t)(n->at / 1000);
		char when[16];
		struct tm tm;

		localtime_r(&at, &tm);
		strftime(when, sizeof(when), "%H:%M:%S", &tm);
		grid_put(g, box.row + i, box.column + 1, 8, LOOK_DIM, when);
		grid_put(g, box.row + i, box.column + 11, 16, LOOK_BOLD, n->name);
		grid_put(g, box.row + i, box.column + 28, box.columns - 28,
			n->bad ? LOOK_BAD : LOOK_PLAIN, n->text);
	}
}
