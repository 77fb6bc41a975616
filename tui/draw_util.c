/* SPDX-License-Identifier: ISC */
/* What the panes share: numbers as short texts, operations, bars, hints. */
#include <stdio.h>

#include "tui/draw.h"

const char *short_age(int64_t ms, char out[SHORT_TEXT])
{
	long long s = ms / 1000, m = s / 60, h = m / 60, d = h / 24;

	if (ms < 0)
		snprintf(out, SHORT_TEXT, "-");
	else if (d >= 10)
		snprintf(out, SHORT_TEXT, "%lldd", d);
	else if (d > 0)
		snprintf(out, SHORT_TEXT, "%lldd %lldh", d, h % 24);
	else if (h > 0)
		snprintf(out, SHORT_TEXT, "%lldh%02lldm", h, m % 60);
	else if (m > 0)
		snprintf(out, SHORT_TEXT, "%lldm", m);
	else
		snprintf(out, SHORT_TEXT, "%llds", s);
	return out;
}

const char *short_size(int64_t bytes, char out[SHORT_TEXT])
{
	static const char units[] = "KMGT";
	double n = (double)bytes / 1024;
	size_t unit = 0;

	while (n >= 1000 && unit + 2 < sizeof(units)) {
		n /= 1024;
		unit++;
	}
	if (bytes <= 0)
		snprintf(out, SHORT_TEXT, "-");
	else
		snprintf(out, SHORT_TEXT,
			n < 9.95 && unit > 1 && (int)(n * 10 + 0.5) % 10 ? "%.1f%c" : "%.0f%c", n,
			units[unit]);
	return out;
}

const char *short_elapsed(int64_t ms, char out[SHORT_TEXT])
{
	long long s = ms / 1000;

	if (s < 100)
		snprintf(out, SHORT_TEXT, "%lld.%lld s", s, (long long)ms / 100 % 10);
	else if (s < 6000)
		snprintf(out, SHORT_TEXT, "%lldm %02llds", s / 60, s % 60);
	else
		return short_age(ms, out);
	return out;
}

int64_t op_elapsed(const struct ui *ui, const struct item *op)
{
	int64_t ms = item_int(op->record, "elapsed_ms");

	if (bg_streq(item_text(op->record, "state"), "running"))
		ms += BG_MAX(ui->model.now - op->seen, (int64_t)0);
	return ms;
}

const char *op_stage(const json_t *op)
{
	const json_t *stages = json_object_get(op, "stages");
	size_t n = json_array_size(stages);

	return n ? item_text(json_array_get(stages, n - 1), "text") : "";
}

int op_share(const json_t *op)
{
	const json_t *progress = json_object_get(op, "progress");
	int64_t total = item_int(progress, "total"), done = item_int(progress, "done");

	return total > 0 ? (int)BG_MIN(1000 * done / total, (int64_t)1000) : -1;
}

void draw_bar(struct grid *g, int row, int column, int room, int share)
{
	int full = share < 0 ? 0 : (room - 2) * share / 1000;

	if (room < 4)
		return;
	grid_put(g, row, column, 1, LOOK_DIM, "[");
	for (int i = 0; i < room - 2; i++)
		grid_put(g, row, column + 1 + i, 1, i < full ? LOOK_GOOD : LOOK_DIM,
			i < full ? "#" : ".");
	grid_put(g, row, column + room - 1, 1, LOOK_DIM, "]");
}

char face_glyph(enum face face, enum look *look)
{
	static const struct {
		char glyph;
		enum look look;
	} faces[] = {[FACE_RUNNING] = {'*', LOOK_GOOD},
		[FACE_BUSY] = {'~', LOOK_BUSY},
		[FACE_PAUSED] = {'=', LOOK_BUSY},
		[FACE_SUSPENDED] = {'z', LOOK_ACCENT},
		[FACE_STOPPED] = {'.', LOOK_DIM},
		[FACE_FAILED] = {'!', LOOK_BAD}};

	*look = faces[face].look;
	return faces[face].glyph;
}

char op_glyph(const json_t *op, enum look *look)
{
	const char *state = item_text(op, "state");

	*look = LOOK_DIM;
	if (bg_streq(state, "running")) {
		*look = LOOK_BUSY;
		return '~';
	}
	if (bg_streq(state, "failed")) {
		*look = LOOK_BAD;
		return '!';
	}
	if (bg_streq(state, "done"))
		*look = LOOK_GOOD;
	return bg_streq(state, "done") ? '+' : '-';
}

struct hint {
	char key[KEY_NAME];
	const char *word;
	int rank;
};

enum { HINTS_MAX = 24 };

/* In the order of keys.def, only what can be done now. */
static size_t act_hints(struct ui *ui, struct hint out[HINTS_MAX])
{
	size_t n = 0;

	for (int i = ACT_NONE + 1; i < ACT_MAX_ && n < HINTS_MAX; i++) {
		const struct act_row *row = &act_rows[i];

		if (!row->rank || !(row->views & ui_where(ui)) || ui_why_not(ui, (enum act)i))
			continue;
		if ((i == ACT_OTHER_LOG && !ui->pager.is_log) ||
			(i == ACT_SEARCH_NEXT && !*ui->pager.search))
			continue;
		out[n] = (struct hint){.word = row->word, .rank = row->rank};
		if (ui->pager.open && i == ACT_FILTER)
			out[n].word = "search";
		if (ui->pager.open && i == ACT_BACK)
			out[n].word = "back";
		key_label(row->key, out[n].key);
		n++;
	}
	return n;
}

static int hints_columns(const struct hint *hints, size_t n, int rank)
{
	int columns = 0;

	for (size_t i = 0; i < n; i++)
		if (hints[i].rank <= rank)
			columns += (int)(strlen(hints[i].key) + strlen(hints[i].word)) + 4;
	return columns;
}

void draw_hints(struct ui *ui, struct grid *g)
{
	struct hint hints[HINTS_MAX];
	size_t n = act_hints(ui, hints);
	int rank = 99, column = 1;

	while (rank > 1 && hints_columns(hints, n, rank) > g->columns)
		rank--;
	for (size_t i = 0; i < n; i++) {
		if (hints[i].rank > rank)
			continue;
		column += grid_put(g, g->rows - 1, column, 12, LOOK_ACCENT, hints[i].key) + 1;
		column += grid_put(g, g->rows - 1, column, g->columns - 1 - column, LOOK_PLAIN,
				  hints[i].word) +
			  2;
	}
}
