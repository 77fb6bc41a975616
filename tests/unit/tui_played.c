/* SPDX-License-Identifier: ISC */
/* tui_played.c: effects that write down what they were asked, and screens that are compared as text. */
#include "tests/unit/tui_played.h"

#include <locale.h>
#include <stdarg.h>
#include <stdio.h>
#include <time.h>

#include "common/fd.h"
#include "common/json.h"
#include "tests/lib/test.h"

enum { NOW_S = 1767582245 /* 2026-01-05T03:04:05Z */ };

char asked[ASKED_MAX][400];
unsigned n_asked;
struct ui ui;
struct grid grid;

static _printf_(1, 2) void note(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	if (n_asked < ASKED_MAX)
		vsnprintf(asked[n_asked++], sizeof(asked[0]), fmt, ap);
	va_end(ap);
}

static void fake_call(void *u, enum call_for why, const char *method, const char *path,
	json_t *body, const char *what)
{
	_free_ char *text = body ? json_dumps(body, JSON_COMPACT | JSON_SORT_KEYS) : NULL;

	note("%s %s%s%s", method, path, text ? " " : "", text ? text : "");
	json_decref(body);
}

static void fake_run(void *u, const char *const *args)
{
	char text[300] = "run";
	size_t len = strlen(text);

	for (; *args && len < sizeof(text); args++)
		len += (size_t)snprintf(text + len, sizeof(text) - len, " %s", *args);
	note("%s", text);
}

static void fake_text(void *u, const char *text)
{
	if (text)
		note("text %s", text);
}

static void fake_on(void *u, bool on)
{
	note("mouse %d", on);
}

static void fake_nothing(void *u)
{
	note("other");
}

static void fake_quit(void *u)
{
	note("quit");
}

static const struct effects fake = {
	.call = fake_call,
	.run = fake_run,
	.capture = fake_run,
	.follow = fake_text,
	.doctor = fake_nothing,
	.copy = fake_text,
	.page = fake_nothing,
	.mouse = fake_on,
	.reread = fake_nothing,
	.repaint = fake_nothing,
	.suspend = fake_nothing,
	.quit = fake_quit,
};

void feed(const char *text)
{
	_json_ json_t *line = json_loads(text, 0, NULL);

	CHECK(line);
	ui_line(&ui, line);
}

void begin(void)
{
	if (!setlocale(LC_ALL, "C.UTF-8"))
		test_skip("there is no C.UTF-8 here");
	setenv("TZ", "UTC", 1);
	tzset();
	ui_init(&ui, &fake, NULL);
	ui.model.now = (int64_t)NOW_S * 1000;
}

/* The recorded events, and a guest's numbers. */
void begin_with_events(void)
{
	_free_ char *path = NULL, *text = NULL;
	char *save = NULL;

	begin();
	CHECK(asprintf(&path, "%s/tests/unit/tui/events.ndjson", test_source_dir()) > 0);
	CHECK(bg_read_file_at(-1, path, 4 * MIB, &text, NULL) >= 0);
	for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
		feed(line);
	{
		_json_ json_t *guest = json_pack("{s:i, s:i}", "memory_total_kib", 1000 * 1024,
			"memory_available_kib", 588 * 1024);

		model_guest(&ui.model, "web", guest);
	}
}

void played_end(void)
{
	ui_done(&ui);
	grid_done(&grid);
}

void show(int rows, int columns)
{
	CHECK(grid_reset(&grid, rows, columns) >= 0);
	draw(&ui, &grid);
}

void keys(const char *text)
{
	for (; *text; text++)
		ui_key(&ui, (unsigned char)*text);
}

/* Row of the screen that has the text; NULL: none has. Valid until the next call. */
const char *row_with(const char *text)
{
	static char *row;

	for (int i = 0; i < grid.rows; i++) {
		free(row);
		row = grid_row_text(&grid, i);
		if (strstr(row, text))
			return row;
	}
	return NULL;
}

/* ---- golden screens ---- */

static void write_screen(FILE *f)
{
	for (int i = 0; i < grid.rows; i++) {
		_free_ char *row = grid_row_text(&grid, i);

		fprintf(f, "%s\n", row);
	}
	fputs("---- looks: 1 dim 2 bold 3 title 4 good 5 busy 6 bad 7 accent, letters: reversed\n",
		f);
	for (int i = 0; i < grid.rows; i++) {
		char text[512];
		int last = 0;

		for (int c = 0; c < grid.columns; c++) {
			uint8_t look = grid.cells[i * grid.columns + c].look;

			text[c] = look & LOOK_REVERSE ? (char)('a' + (look & ~LOOK_REVERSE))
				  : look	      ? (char)('0' + look)
						      : ' ';
			last = look ? c + 1 : last;
		}
		fprintf(f, "%.*s\n", last, text);
	}
}

void check_screen(const char *name)
{
	_free_ char *path = NULL, *expected = NULL, *got = NULL;
	size_t len = 0;
	FILE *f = open_memstream(&got, &len);

	write_screen(f);
	fclose(f);
	CHECK(asprintf(&path, "%s/tests/unit/tui/%s.txt", test_source_dir(), name) > 0);
	if (getenv("BANGER_UPDATE_GOLDEN"))
		CHECK(bg_write_file_at(-1, path, got, len, 0644) >= 0);
	CHECK(bg_read_file_at(-1, path, MIB, &expected, NULL) >= 0);
	if (strcmp(expected, got) != 0)
		test_fail(__FILE__, __LINE__, "%s differs; it is now:\n%s", path, got);
}

void cursor_to(const char *name)
{
	struct item *item = model_find_vm(&ui.model, name);

	CHECK(item);
	strcpy(ui.views[KIND_VM].cursor, item->key);
	ui.views[KIND_VM].chosen = true;
	ui_settle(&ui);
}
