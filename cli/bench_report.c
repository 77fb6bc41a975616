/* SPDX-License-Identifier: ISC */
/* See bench_report.h. */
#include "cli/bench_report.h"

#include "common/json.h"

#define TOTAL "total"

int series_init(struct series *s)
{
	*s = (struct series){.runs = json_array()};
	return s->runs ? 0 : -ENOMEM;
}

void series_done(struct series *s)
{
	json_decref(s->runs);
}

void series_add(struct series *s, uint64_t total_ms)
{
	json_array_append_new(s->runs, json_pack("{s:I}", TOTAL, (json_int_t)total_ms));
}

void series_add_op(struct series *s, const json_t *op)
{
	json_t *run = json_object(), *stage;
	size_t i;

	json_array_foreach (json_object_get(op, "stages"), i, stage) {
		const char *name = render_text(stage, "name");

		json_object_set_new(
			run, name, json_integer(render_int(run, name) + render_int(stage, "ms")));
	}
	json_object_set_new(run, TOTAL, json_integer(render_int(op, "elapsed_ms")));
	json_array_append_new(s->runs, run);
}

static int by_size(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

/* A stage that a run did not have took no time in it. */
uint64_t series_percentile(const struct series *s, const char *stage, unsigned p)
{
	size_t n = json_array_size(s->runs), rank = (n * p + 99) / 100;
	_free_ uint64_t *ms = calloc(n + 1, sizeof(*ms));

	if (!ms || n == 0)
		return 0;
	for (size_t i = 0; i < n; i++)
		ms[i] = (uint64_t)render_int(json_array_get(s->runs, i), stage);
	qsort(ms, n, sizeof(*ms), by_size);
	return ms[BG_MAX(rank, (size_t)1) - 1];
}

/* Every stage that a run had, in order, the total last; a list of texts, the caller's. */
static json_t *stages_of(const struct series *s)
{
	json_t *names = json_array(), *seen = json_object(), *run, *ms;
	const char *name;
	size_t i;

	json_array_foreach (s->runs, i, run)
		json_object_foreach (run, name, ms) {
			if (bg_streq(name, TOTAL) || json_object_get(seen, name))
				continue;
			json_object_set_new(seen, name, json_true());
			json_array_append_new(names, json_string(name));
		}
	json_array_append_new(names, json_string(TOTAL));
	json_decref(seen);
	return names;
}

static json_t *series_json(const struct series *s)
{
	_json_ json_t *names = stages_of(s);
	json_t *stages = json_array(), *name, *record;
	size_t i;

	json_array_foreach (names, i, name) {
		const char *text = json_string_value(name);

		json_array_append_new(
			stages, json_pack("{s:s, s:I, s:I}", "name", text, "p50_ms",
					(json_int_t)series_percentile(s, text, 50), "p95_ms",
					(json_int_t)series_percentile(s, text, 95)));
	}
	record = json_pack("{s:I, s:o, s:O}", "count", (json_int_t)json_array_size(s->runs),
		"stages", stages, "runs", s->runs);
	if (s->wall_ms)
		json_object_set_new(record, "wall_ms", json_integer((json_int_t)s->wall_ms));
	return record;
}

static bool has(const struct series *s)
{
	return json_array_size(s->runs) > 0;
}

json_t *bench_json(const struct bench_report *r)
{
	json_t *record = json_copy(r->facts);

	json_object_set_new(record, "alone", has(&r->alone) ? series_json(&r->alone) : json_null());
	json_object_set_new(
		record, "at_once", has(&r->together) ? series_json(&r->together) : json_null());
	json_object_set_new(record, "bare", has(&r->bare) ? series_json(&r->bare) : json_null());
	json_object_set_new(
		record, "bare_error", r->bare_error ? bg_err_to_json(r->bare_error) : json_null());
	return record;
}

/* ---- the table ---- */

static void cell(struct table *t, const struct series *s, const char *stage, unsigned p)
{
	char text[DURATION_TEXT];

	table_cell(t, STYLE_PLAIN, "%s",
		has(s) ? render_duration(series_percentile(s, stage, p), text) : "");
}

static void row(struct table *t, const struct bench_report *r, const char *stage, const char *title)
{
	table_cell(t, STYLE_PLAIN, "%s", title);
	cell(t, &r->alone, stage, 50);
	cell(t, &r->alone, stage, 95);
	cell(t, &r->together, stage, 50);
	cell(t, &r->together, stage, 95);
}

static void bare_row(struct table *t, const struct bench_report *r)
{
	if (!has(&r->bare))
		return;
	table_cell(t, STYLE_PLAIN, "bare %s", render_text(r->facts, "vmm"));
	cell(t, &r->bare, TOTAL, 50);
	cell(t, &r->bare, TOTAL, 95);
	table_cell(t, STYLE_PLAIN, "%s", "");
	table_cell(t, STYLE_PLAIN, "%s", "");
}

static void print_facts(const struct term *t, const struct bench_report *r)
{
	const json_t *f = r->facts;

	fprintf(t->file,
		"%lld VMs of image %s, %lld CPUs, %lld MiB: %s %s, %s; storage %s; host with %lld "
		"processors, load %.1f\n\n",
		(long long)render_int(f, "count"), render_text(f, "image"),
		(long long)render_int(f, "cpus"), (long long)render_int(f, "memory_mib"),
		render_text(f, "vmm"), render_text(f, "vmm_version"), render_text(f, "accel"),
		render_text(f, "storage"), (long long)render_int(f, "processors"),
		json_number_value(json_object_get(f, "load")));
}

static void print_notes(const struct term *t, const struct bench_report *r)
{
	char text[DURATION_TEXT];

	if (has(&r->together))
		fprintf(t->file, "\n%u at once: all %zu ready after %s\n", r->at_once,
			json_array_size(r->together.runs),
			render_duration(r->together.wall_ms, text));
	if (has(&r->bare))
		fprintf(t->file,
			"bare %s: the same kernel and machine without banger, disks and network, "
			"until the kernel has looked for "
			"its root\n",
			render_text(r->facts, "vmm"));
	if (r->bare_error)
		fprintf(t->file, "no bare start: %s\n", r->bare_error->message);
}

void bench_print(const struct term *t, const struct bench_report *r)
{
	char together[32];
	const struct column columns[] = {
		{"STAGE"}, {"ALONE P50", true}, {"P95", true}, {together, true}, {"P95", true}};
	_unref_(table) struct table *table = NULL;
	_json_ json_t *names = stages_of(has(&r->together) ? &r->together : &r->alone);
	json_t *name;
	size_t i;

	snprintf(together, sizeof(together), "%u AT ONCE P50", r->at_once);
	print_facts(t, r);
	table = table_new(columns, ARRAY_SIZE(columns));
	json_array_foreach (names, i, name)
		row(table, r, json_string_value(name), json_string_value(name));
	bare_row(table, r);
	table_print(table, t);
	print_notes(t, r);
}
