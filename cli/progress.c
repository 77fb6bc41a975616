/* SPDX-License-Identifier: ISC */
/*
 * progress.c: Stages are drawn in place only on a terminal. Nothing here reads a socket: jobs.c
 * hands over the records.
 */
#include "cli/progress.h"

#include "common/clock.h"
#include "common/json.h"
#include "common/size.h"

enum { REDRAW_MS = 100, TIME_WIDTH = 8, LINES_MAX = 20, STAGES_MAX = 32 };

struct line {
	const char *name;
	const json_t *op;  /* borrowed; NULL before the first record and after the end */
	size_t printed;	   /* stages that are already told for good */
	uint64_t seen_at;  /* our clock when the present stage was first seen, ms */
	size_t seen_stage; /* 1 + its number; 0: none yet */
	bool over;
	char *titles[STAGES_MAX]; /* each stage's text when first seen: it changes as work goes on
				   */
};

struct progress {
	struct term *term;
	struct line *lines;
	size_t count;
	int drawn;	/* lines of the block on the screen */
	int name_width; /* 0: one operation only, it needs no label */
};

struct progress *progress_new(struct term *err, const char *const *names, size_t count)
{
	struct progress *p = calloc(1, sizeof(*p));

	if (p)
		p->lines = calloc(count, sizeof(*p->lines));
	if (!p || !p->lines)
		abort();
	p->term = err;
	p->count = count;
	for (size_t i = 0; i < count; i++) {
		p->lines[i].name = names[i];
		p->name_width = BG_MAX(p->name_width, term_columns(names[i]));
	}
	if (count < 2 && err->tty)
		p->name_width = 0;
	return p;
}

void progress_free(struct progress *p)
{
	if (!p)
		return;
	progress_clear(p);
	for (size_t i = 0; i < p->count; i++)
		for (size_t s = 0; s < STAGES_MAX; s++)
			free(p->lines[i].titles[s]);
	free(p->lines);
	free(p);
}

static const char *stage_text(const json_t *stage)
{
	const char *text = render_text(stage, "text");

	return *text ? text : render_text(stage, "name");
}

static void remember_titles(struct line *line, const json_t *stages)
{
	size_t n = BG_MIN(json_array_size(stages), (size_t)STAGES_MAX);

	for (size_t i = 0; i < n; i++)
		if (!line->titles[i])
			line->titles[i] = term_clean(stage_text(json_array_get(stages, i)));
}

static const char *title(const struct line *line, size_t stage)
{
	return stage < STAGES_MAX && line->titles[stage] ? line->titles[stage] : "";
}

static const json_t *stages_of(const json_t *op)
{
	const json_t *stages = NULL;

	(void)bg_json_get_array(op, "stages", &stages);
	return stages;
}

/* The number of the last running stage; -1 when none runs. */
static int present_stage(const json_t *op)
{
	const json_t *stages = stages_of(op);

	for (int i = (int)json_array_size(stages) - 1; i >= 0; i--)
		if (bg_streq(render_text(json_array_get(stages, (size_t)i), "state"), "running"))
			return i;
	return -1;
}

static void put_duration(FILE *f, uint64_t ms)
{
	char text[DURATION_TEXT];

	fprintf(f, "%*s  ", TIME_WIDTH, render_duration(ms, text));
}

/* The time of what runs counts in tenths: milliseconds would flicker. */
static void put_elapsed(FILE *f, uint64_t ms)
{
	if (ms < 1000)
		fprintf(f, "%*s0.%d s  ", TIME_WIDTH - 5, "", (int)(ms / 100));
	else
		put_duration(f, ms);
}

/* A stage that ended, for good, above the block. */
static void print_stage(const struct progress *p, const struct line *line, size_t i)
{
	const struct term *t = p->term;
	const json_t *stage = json_array_get(stages_of(line->op), i);
	const char *state = render_text(stage, "state");
	bool failed = bg_streq(state, "failed"), undone = bg_streq(state, "undone");

	fputs(term_style(t, failed ? STYLE_RED : STYLE_DIM), t->file);
	put_duration(t->file, (uint64_t)render_int(stage, "ms"));
	fputs(failed ? "" : term_plain(t), t->file);
	term_put(t->file, title(line, i), BG_MAX(t->width - TIME_WIDTH - 12, 8));
	fprintf(t->file, "%s%s\n", failed ? ": failed" : undone ? ": undone" : "", term_plain(t));
}

/* Without a terminal: a line when a stage begins. */
static void plain_stages(struct progress *p, struct line *line)
{
	size_t count = json_array_size(stages_of(line->op));

	for (; line->printed < count; line->printed++)
		fprintf(p->term->file, "%s: %s\n", line->name, title(line, line->printed));
	fflush(p->term->file);
}

static void finished_stages(struct progress *p, struct line *line)
{
	const json_t *stages = stages_of(line->op);

	for (; line->printed < json_array_size(stages); line->printed++) {
		const json_t *stage = json_array_get(stages, line->printed);

		if (bg_streq(render_text(stage, "state"), "running"))
			return;
		progress_clear(p);
		print_stage(p, line, line->printed);
	}
}

void progress_update(struct progress *p, size_t i, const json_t *op)
{
	struct line *line = &p->lines[i];
	int present = present_stage(op);

	line->op = op;
	remember_titles(line, stages_of(op));
	if (!p->term->tty) {
		plain_stages(p, line);
		return;
	}
	if (p->count == 1)
		finished_stages(p, line);
	if (present >= 0 && line->seen_stage != (size_t)present + 1) {
		line->seen_stage = (size_t)present + 1;
		line->seen_at = bg_now_ms();
	}
}

void progress_end(struct progress *p, size_t i)
{
	p->lines[i].over = true;
	p->lines[i].op = NULL;
}

void progress_clear(struct progress *p)
{
	if (p->drawn > 0)
		fprintf(p->term->file, "\r\033[%dA\033[J", p->drawn);
	fflush(p->term->file);
	p->drawn = 0;
}

/* "142/300 packages", "1.2G/3G", "87 packages", "". */
static void amounts(const json_t *progress, char *out, size_t size)
{
	char done_text[BG_SIZE_TEXT], total_text[BG_SIZE_TEXT];
	const char *unit = render_text(progress, "unit");
	int64_t done = render_int(progress, "done"), total = render_int(progress, "total");

	snprintf(done_text, sizeof(done_text), "%lld", (long long)done);
	snprintf(total_text, sizeof(total_text), "%lld", (long long)total);
	if (bg_streq(unit, "bytes")) {
		bg_size_print((uint64_t)done, done_text);
		bg_size_print((uint64_t)total, total_text);
		unit = "";
	}
	out[0] = '\0';
	if (done || total)
		snprintf(out, size, "%s%s%s%s%s", done_text, total ? "/" : "",
			total ? total_text : "", *unit ? " " : "", unit);
}

/* "make the image  142/300 packages, unpacking bash": title, amounts, present text. */
static char *present_text(const struct line *line, size_t stage)
{
	const json_t *progress = json_object_get(line->op, "progress");
	const char *now = stage_text(json_array_get(stages_of(line->op), stage));
	const char *more = render_text(progress, "text");
	_free_ char *text = NULL;
	char amount[128];

	amounts(progress, amount, sizeof(amount));
	if (!*more && !bg_streq(now, title(line, stage)))
		more = now;
	if (asprintf(&text, "%s%s%s%s%s", title(line, stage), *amount || *more ? "  " : "", amount,
		    *amount && *more ? ", " : "", more) < 0)
		text = NULL;
	return term_clean(text);
}

static void draw_line(const struct progress *p, const struct line *line)
{
	const struct term *t = p->term;
	int present = line->op ? present_stage(line->op) : -1, room = t->width - 1;
	_free_ char *text = present >= 0 ? present_text(line, (size_t)present) : strdup("waiting");

	if (p->name_width) {
		int width = BG_MIN(p->name_width, t->width / 3);

		fprintf(t->file, "%*s", width + 2 - term_put(t->file, line->name, width), "");
		room -= width + 2;
	}
	fputs(term_style(t, STYLE_CYAN), t->file);
	put_elapsed(t->file, present >= 0 ? bg_now_ms() - line->seen_at : 0);
	fputs(term_plain(t), t->file);
	term_put(t->file, text ? text : "", BG_MAX(room - TIME_WIDTH - 2, 1));
	fputs("\033[K\n", t->file);
}

void progress_draw(struct progress *p)
{
	int lines = 0;

	if (!p->term->tty)
		return;
	term_resize(p->term);
	if (p->drawn > 0)
		fprintf(p->term->file, "\r\033[%dA", p->drawn);
	for (size_t i = 0; i < p->count; i++) {
		/* A block higher than the screen could not be taken back. */
		if (p->lines[i].over || lines == LINES_MAX)
			continue;
		draw_line(p, &p->lines[i]);
		lines++;
	}
	if (lines < p->drawn)
		fputs("\033[J", p->term->file);
	fflush(p->term->file);
	p->drawn = lines;
}

int progress_interval_ms(const struct progress *p)
{
	return p->term->tty ? REDRAW_MS : -1;
}

void progress_timing(const struct term *t, const char *name, const json_t *op)
{
	const json_t *stages = stages_of(op), *stage;
	size_t i;

	fprintf(t->file, "%s %s\n", name, render_text(op, "kind"));
	json_array_foreach (stages, i, stage) {
		_free_ char *text = term_clean(stage_text(stage));
		const char *state = render_text(stage, "state");

		fprintf(t->file, "%8lld ms  %-14s  %s%s%s\n", (long long)render_int(stage, "ms"),
			render_text(stage, "name"), text ? text : "",
			bg_streq(state, "done") ? "" : ": ", bg_streq(state, "done") ? "" : state);
	}
	fprintf(t->file, "%8lld ms  total\n", (long long)render_int(op, "elapsed_ms"));
}
