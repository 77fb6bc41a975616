/* SPDX-License-Identifier: ISC */
/* The pane of details: labels and values, for a VM its charts too where there is room. */
#include <stdarg.h>
#include <stdio.h>

#include "tui/draw.h"

enum { LABEL = 10, PAIR = 40, CHART_ROWS = 5 };

/* Where the next line goes. With room for it two stand in a row. */
struct pen {
	struct grid *g;
	struct box box;
	int row, column, room;
};

static _printf_(4, 5) void field(
	struct pen *p, const char *label, enum look look, const char *fmt, ...)
{
	char text[400];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (!*text || p->row >= p->box.row + p->box.rows)
		return;
	grid_put(p->g, p->row, p->column, LABEL - 1, LOOK_DIM, label);
	grid_put(p->g, p->row, p->column + LABEL, p->room - LABEL - 1, look, text);
	p->column += p->room;
	if (p->column + p->room > p->box.column + p->box.columns) {
		p->column = p->box.column;
		p->row++;
	}
}

/* Whole lines from here. */
static void line(struct pen *p)
{
	if (p->column > p->box.column)
		p->row++;
	p->column = p->box.column;
	p->room = p->box.columns;
}

/* A long text over several rows, cut between words. */
static void wrapped(struct pen *p, const char *label, enum look look, const char *text)
{
	int room = p->box.columns - LABEL - 1;
	const char *first = label;

	line(p);
	while (*text && p->row < p->box.row + p->box.rows && room > 10) {
		size_t n = strlen(text), cut = BG_MIN(n, (size_t)room);

		if (cut < n) {
			while (cut > 0 && text[cut] != ' ')
				cut--;
			if (cut == 0)
				cut = (size_t)room;
		}
		grid_put(p->g, p->row, p->column, LABEL - 1, LOOK_DIM, first);
		grid_printf(p->g, p->row++, p->column + LABEL, room, look, "%.*s", (int)cut, text);
		first = "";
		text += cut + (text[cut] == ' ');
	}
}

static const char *join(const json_t *list, char *out, size_t room)
{
	const json_t *word;
	size_t i, len = 0;

	*out = '\0';
	json_array_foreach (list, i, word)
		if (len < room && json_string_value(word))
			len += (size_t)snprintf(out + len, room - len, "%s%s", len ? ", " : "",
				json_string_value(word));
	return out;
}

static const char *labels(const json_t *object, char *out, size_t room)
{
	const char *key;
	json_t *value;
	size_t len = 0;

	*out = '\0';
	json_object_foreach ((json_t *)(uintptr_t)object, key, value)
		if (len < room)
			len += (size_t)snprintf(out + len, room - len, "%s%s=%s", len ? ", " : "",
				key, json_string_value(value) ? json_string_value(value) : "");
	return out;
}

static const char *ports(const json_t *list, char *out, size_t room)
{
	const json_t *port;
	size_t i, len = 0;

	*out = '\0';
	json_array_foreach (list, i, port)
		if (len < room)
			len += (size_t)snprintf(out + len, room - len, "%s%lld>%lld%s",
				len ? "  " : "", (long long)item_int(port, "host"),
				(long long)item_int(port, "guest"),
				item_bool(port, "open") ? "" : " (closed)");
	return out;
}

/* A chart of the samples: as many rows as it is given, the newest at the right. */
static void chart(struct pen *p, const char *top, const float *samples, unsigned count, float max)
{
	int room = p->box.columns - LABEL - 1, n = BG_MIN((int)count, room);

	line(p);
	if (p->row + CHART_ROWS > p->box.row + p->box.rows || max <= 0)
		return;
	grid_put_right(p->g, p->row, p->column, LABEL - 2, LOOK_DIM, top);
	grid_put_right(p->g, p->row + CHART_ROWS - 1, p->column, LABEL - 2, LOOK_DIM, "0");
	for (int i = 0; i < n; i++) {
		int eighths =
			(int)(samples[count - (unsigned)n + (unsigned)i] / max * CHART_ROWS * 8);

		for (int row = 0; row < CHART_ROWS; row++) {
			int level = eighths - (CHART_ROWS - 1 - row) * 8;

			if (level > 0 || row == CHART_ROWS - 1)
				grid_level(p->g, p->row + row, p->column + LABEL + room - n + i,
					level, LOOK_GOOD);
		}
	}
	p->row += CHART_ROWS;
}

static void vm_use(struct pen *p, const struct item *item, bool wide)
{
	const struct usage *u = item->usage;
	char a[SHORT_TEXT], b[SHORT_TEXT], c[SHORT_TEXT], top[SHORT_TEXT];
	int64_t memory = item_int(item->record, "memory_mib") * (int64_t)MIB;

	short_size(memory, a);
	if (!u) {
		field(p, "size", LOOK_PLAIN, "%lld CPUs, %s of memory",
			(long long)item_int(item->record, "cpus"), a);
		return;
	}
	field(p, "cpu", LOOK_PLAIN, "%.0f%% of %lld CPU%s", BG_MAX(u->cpu, 0.0),
		(long long)item_int(item->record, "cpus"),
		item_int(item->record, "cpus") == 1 ? "" : "s");
	if (wide)
		chart(p, "100%", u->cpu_samples, u->count, 100);
	field(p, "memory", LOOK_PLAIN, "%s of %s, host %s",
		u->guest ? short_size(u->guest, b) : "?", a, short_size(u->host, c));
	if (wide)
		chart(p, short_size(BG_MAX(memory, u->host), top), u->memory_samples, u->count,
			(float)BG_MAX(memory, u->host));
}

static void vm_detail(const struct ui *ui, struct pen *p, const struct item *item, bool wide)
{
	const json_t *r = item->record, *error = json_object_get(r, "error");
	char text[300], disk[SHORT_TEXT], work[SHORT_TEXT], used[SHORT_TEXT];

	field(p, "image", LOOK_PLAIN, "%s", item_text(r, "image"));
	field(p, "kernel", LOOK_PLAIN, "%s", item_text(r, "kernel"));
	field(p, "vmm", LOOK_PLAIN, "%s%s%s", item_text(r, "vmm"),
		*item_text(r, "accel") ? ", " : "", item_text(r, "accel"));
	field(p, "disk", LOOK_PLAIN, "%s%s/ %s, /root %s",
		item->usage ? short_size(item->usage->disk, used) : "", item->usage ? "; " : "",
		short_size(item_int(r, "disk_mib") * (int64_t)MIB, disk),
		short_size(item_int(r, "work_mib") * (int64_t)MIB, work));
	vm_use(p, item, wide);
	field(p, "ssh", LOOK_PLAIN, "%s%s", *item_text(r, "address") ? item_text(r, "name") : "",
		*item_text(r, "address") ? ".vm" : "");
	field(p, "address", LOOK_PLAIN, "%s", item_text(r, "address"));
	field(p, "network", LOOK_PLAIN, "%s%s", item_bool(r, "nat") ? "internet" : "this host only",
		item_bool(r, "peers") ? ", peers" : "");
	field(p, "ports", LOOK_PLAIN, "%s",
		ports(json_object_get(r, "publish"), text, sizeof(text)));
	field(p, "labels", LOOK_PLAIN, "%s",
		labels(json_object_get(r, "labels"), text, sizeof(text)));
	if (wide) {
		field(p, "storage", LOOK_PLAIN, "%s", item_text(r, "storage"));
		field(p, "created", LOOK_PLAIN, "%s", item_text(r, "created_at"));
	}
	if (json_is_object(error)) {
		wrapped(p, "error", LOOK_BAD, item_text(error, "message"));
		wrapped(p, "", LOOK_PLAIN, item_text(error, "hint"));
	}
	wrapped(p, "missing", LOOK_BAD, item_text(r, "missing"));
}

static void image_detail(struct pen *p, const json_t *r)
{
	char text[300], size[SHORT_TEXT], real[SHORT_TEXT], shared[SHORT_TEXT];

	field(p, "size", LOOK_PLAIN, "%s", short_size(item_int(r, "size_bytes"), size));
	short_size(item_int(r, "real_bytes"), real);
	if (item_int(r, "shared_bytes") > 0)
		field(p, "on disk", LOOK_PLAIN, "%s, %s of it shared", real,
			short_size(item_int(r, "shared_bytes"), shared));
	else
		field(p, "on disk", LOOK_PLAIN, "%s", real);
	field(p, "kernel", LOOK_PLAIN, "%s", item_text(r, "kernel"));
	field(p, "release", LOOK_PLAIN, "%s", item_text(r, "kernel_release"));
	field(p, "release", LOOK_PLAIN, "%s", item_text(r, "release"));
	if (item_int(r, "modules"))
		field(p, "modules", LOOK_PLAIN, "%lld", (long long)item_int(r, "modules"));
	field(p, "system", LOOK_PLAIN, "%s", item_text(r, "os"));
	field(p, "source", LOOK_PLAIN, "%s", item_text(r, "source"));
	field(p, "created", LOOK_PLAIN, "%s", item_text(r, "created_at"));
	wrapped(p, "used by", LOOK_PLAIN, join(json_object_get(r, "used_by"), text, sizeof(text)));
}

/* "38M of 71M", "12 of 40 packages". */
static const char *amount(const json_t *progress, char out[64])
{
	int64_t done = item_int(progress, "done"), total = item_int(progress, "total");
	char a[SHORT_TEXT], b[SHORT_TEXT];

	if (bg_streq(item_text(progress, "unit"), "bytes"))
		snprintf(out, 64, "%s of %s", short_size(done, a), short_size(total, b));
	else
		snprintf(out, 64, "%lld of %lld %.20s", (long long)done, (long long)total,
			item_text(progress, "unit"));
	return out;
}

static void op_detail(const struct ui *ui, struct pen *p, const struct item *item)
{
	const json_t *r = item->record, *error = json_object_get(r, "error"),
		     *progress = json_object_get(r, "progress");
	const json_t *stages = json_object_get(r, "stages"), *stage;
	size_t count = json_array_size(stages), rows = (size_t)BG_MAX(p->box.rows - 3, 1), i;
	char elapsed[SHORT_TEXT], text[64];

	if (op_share(r) >= 0 && bg_streq(item_text(r, "state"), "running")) {
		line(p);
		draw_bar(p->g, p->row, p->column, BG_MIN(p->box.columns - 30, 40), op_share(r));
		grid_put(p->g, p->row++, p->column + BG_MIN(p->box.columns - 30, 40) + 1, 28,
			LOOK_PLAIN, amount(progress, text));
	}
	wrapped(p, "error", LOOK_BAD, item_text(error, "message"));
	wrapped(p, "", LOOK_PLAIN, item_text(error, "hint"));
	line(p);
	json_array_foreach (stages, i, stage) {
		if (i + rows < count || p->row >= p->box.row + p->box.rows)
			continue;
		grid_put_right(p->g, p->row, p->column, LABEL - 1, LOOK_DIM,
			short_elapsed(item_int(stage, "ms"), elapsed));
		grid_put(p->g, p->row++, p->column + LABEL, p->box.columns - LABEL - 1,
			bg_streq(item_text(stage, "state"), "running") ? LOOK_BUSY : LOOK_PLAIN,
			item_text(stage, "text"));
	}
}

void draw_detail(const struct ui *ui, struct grid *g, struct box box)
{
	const struct item *item = ui_current(ui);
	bool wide = box.rows > 20, below = box.column <= 1;
	struct pen p = {.g = g, .box = box, .row = box.row + 1, .column = box.column};

	p.room = box.columns >= 2 * PAIR - 4 ? box.columns / 2 : box.columns;
	if (!item)
		return;
	/* Below the list it stands in the rule. */
	grid_printf(g, box.row, box.column + (below ? 2 : 0), box.columns - 4, LOOK_TITLE,
		below ? " %s " : "%s",
		ui->view == KIND_OP ? item_text(item->record, "kind") : item_name(ui->view, item));
	if (ui->view == KIND_VM)
		vm_detail(ui, &p, item, wide);
	else if (ui->view == KIND_OP)
		op_detail(ui, &p, item);
	else if (ui->view != KIND_CHECK)
		image_detail(&p, item->record);
	else {
		wrapped(&p, "", LOOK_PLAIN, item_text(item->record, "text"));
		wrapped(&p, "fix", LOOK_ACCENT, item_text(item->record, "hint"));
	}
}
