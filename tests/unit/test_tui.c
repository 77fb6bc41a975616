/* SPDX-License-Identifier: ISC */
/*
 * The terminal UI without a terminal: its model out of recorded events, its keys, forms and texts, and whole screens
 * against tests/unit/tui/NAME.txt (the characters, then the looks). BANGER_UPDATE_GOLDEN=1 writes those anew: look at them.
 */
#include <locale.h>
#include <stdarg.h>
#include <stdio.h>
#include <time.h>

#include "common/fd.h"
#include "common/json.h"
#include "tests/lib/test.h"
#include "tui/draw.h"

enum { NOW_S = 1767582245 /* 2026-01-05T03:04:05Z */, ASKED_MAX = 32 };

/* What the UI asked for, a line each. */
static char asked[ASKED_MAX][400];
static unsigned n_asked;
static struct ui ui;
static struct grid grid;

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

static void feed(const char *text)
{
	_json_ json_t *line = json_loads(text, 0, NULL);

	CHECK(line);
	ui_line(&ui, line);
}

static void begin(void)
{
	if (!setlocale(LC_ALL, "C.UTF-8"))
		test_skip("there is no C.UTF-8 here");
	setenv("TZ", "UTC", 1);
	tzset();
	ui_init(&ui, &fake, NULL);
	ui.model.now = (int64_t)NOW_S * 1000;
}

/* The recorded events, and a guest's numbers. */
static void begin_with_events(void)
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

static void end(void)
{
	ui_done(&ui);
	grid_done(&grid);
}

static void show(int rows, int columns)
{
	CHECK(grid_reset(&grid, rows, columns) >= 0);
	draw(&ui, &grid);
}

static void keys(const char *text)
{
	for (; *text; text++)
		ui_key(&ui, (unsigned char)*text);
}

/* Row of the screen that has the text; NULL: none has. Valid until the next call. */
static const char *row_with(const char *text)
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

static void check_screen(const char *name)
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

static void cursor_to(const char *name)
{
	struct item *item = model_find_vm(&ui.model, name);

	CHECK(item);
	strcpy(ui.views[KIND_VM].cursor, item->key);
	ui.views[KIND_VM].chosen = true;
	ui_settle(&ui);
}

TEST(screens_of_vms)
{
	static const struct {
		int rows, columns;
		const char *name;
	} sizes[] = {{24, 80, "main-80x24"}, {50, 160, "main-160x50"}, {8, 40, "main-40x8"},
		{24, 200, "main-200x24"}};

	begin_with_events();
	cursor_to("web");
	model_find_vm(&ui.model, "api")->marked = true;
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		show(sizes[i].rows, sizes[i].columns);
		check_screen(sizes[i].name);
	}
	grid.ascii = true;
	CHECK(grid_reset(&grid, 24, 80) >= 0);
	draw(&ui, &grid);
	check_screen("ascii-80x24");
	for (int i = 0; i < 24 * 80; i++)
		CHECK(grid.cells[i].ch < 0x7f);
	end();
}

TEST(screens_of_the_rest)
{
	static const struct {
		const char *keys, *name;
	} screens[] = {{"2G", "images-80x24"}, {"3", "kernels-80x24"}, {"4", "operations-80x24"},
		{"4jX", "cancel-80x24"}, {"1?", "keys-80x24"}, {"\033xs", "menu-80x24"},
		{"\0331*D", "delete-80x24"}, {"\033\033/docker\r", "filter-80x24"}};

	begin_with_events();
	show(24, 80);
	for (size_t i = 0; i < ARRAY_SIZE(screens); i++) {
		keys(screens[i].keys);
		show(24, 80);
		check_screen(screens[i].name);
		if (i == 3)
			ui_key(&ui, KEY_ESCAPE_);
	}
	end();
}

TEST(screens_of_forms_and_texts)
{
	begin_with_events();
	cursor_to("web");
	show(24, 80);
	keys("c");
	snprintf(ui.form.fields[0].text, FIELD_ROOM, "quiet-otter");
	keys("\tdeb");
	show(24, 80);
	check_screen("create-80x24");
	keys("\033m");
	show(24, 80);
	check_screen("set-80x24");
	keys("\033l");
	for (int i = 0; i < 60; i++) {
		char line[200];
		int n = snprintf(line, sizeof(line),
			"[%5d.%06d] \033[0;32mline\033[0m %d of what the guest "
			"says\x1b]0;title\a\x07%s\n",
			i, i * 777, i, i % 7 ? "" : " with an error");

		pager_feed(&ui.pager, line, (size_t)n);
	}
	keys("/error\r");
	show(24, 80);
	check_screen("log-80x24");
	ui.model.link = LINK_DOWN;
	keys("q");
	keys("q");
	ui.model.now += 4000;
	show(24, 80);
	check_screen("away-80x24");
	end();
}

/* ---- text ---- */

TEST(text_is_made_safe)
{
	static const struct {
		const char *text, *shown;
	} rows[] = {{"plain", "plain"}, {"a\033[31mb", "a^[[31mb"}, {"\a\b\x7f", "^G^H^?"},
		{"\xc2\x9b"
		 "31m",
			"?31m"},
		{"\xff\xfe", "??"}, {"\xc0\xaf", "?"},
		{"\xe2\x80\xae"
		 "evil",
			"?evil"},
		{"\xed\xa0\x80", "?"}, {"\xe6\xbc\xa2\xe5\xad\x97", "\xe6\xbc\xa2\xe5\xad\x97"},
		{"\xf0\x9f\x98\x80", "\xf0\x9f\x98\x80"}, {"a\xcc\x81", "a"}, {"\xe2\x80\x8b", "?"},
		{"\xf4\x90\x80\x80", "?"}, {"\xe2\x82", "??"}};

	begin();
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		_free_ char *text = NULL;

		CHECK(grid_reset(&grid, 1, 20) >= 0);
		grid_put(&grid, 0, 0, 20, LOOK_PLAIN, rows[i].text);
		text = grid_row_text(&grid, 0);
		CHECK_STR(text, rows[i].shown);
	}
	end();
}

TEST(text_is_cut_at_its_columns)
{
	_free_ char *text = NULL;

	begin();
	CHECK(grid_reset(&grid, 1, 10) >= 0);
	CHECK_INT(grid_put(&grid, 0, 0, 5, LOOK_PLAIN, "\xe6\xbc\xa2\xe6\xbc\xa2\xe6\xbc\xa2"), 5);
	text = grid_row_text(&grid, 0);
	CHECK_STR(text, "\xe6\xbc\xa2\xe6\xbc\xa2\xe2\x80\xa6");
	CHECK_INT(grid_put(&grid, 0, 8, 5, LOOK_PLAIN, "abc"), 2);
	CHECK_INT(grid_put(&grid, 3, 0, 5, LOOK_PLAIN, "abc"), 0);
	CHECK_INT(grid_put(&grid, 0, -1, 5, LOOK_PLAIN, "abc"), 0);
	end();
}

/* ---- keys ---- */

TEST(each_key_means_one_thing_in_a_view)
{
	static const int never[] = {KEY_CTRL('S'), KEY_CTRL('Q'), KEY_CTRL('A'), KEY_CTRL('B'),
		KEY_CTRL('H'), KEY_BACKSPACE_, ':', 't'};

	for (int i = ACT_NONE + 1; i < ACT_MAX_; i++) {
		const struct act_row *row = &act_rows[i];

		CHECK(row->help && *row->help && row->word && row->views);
		/* What stops or destroys is a capital, or Delete. */
		CHECK(!row->asks || (row->key >= 'A' && row->key <= 'Z'));
		for (int where = 1; where <= ON_TEXT; where <<= 1) {
			if (!(row->views & where))
				continue;
			CHECK_INT(act_of_key(row->key, where), i);
			if (row->key2)
				CHECK_INT(act_of_key(row->key2, where), i);
		}
	}
	for (size_t i = 0; i < ARRAY_SIZE(never); i++)
		for (int where = 1; where <= ON_TEXT; where <<= 1)
			CHECK_INT(act_of_key(never[i], where), ACT_NONE);
}

TEST(what_is_lost_is_asked_about)
{
	begin_with_events();
	cursor_to("web");
	show(24, 80);
	keys("K\r");
	CHECK_INT(n_asked, 0); /* Enter keeps it */
	CHECK(!ui.dialog.open);
	keys("Ky");
	CHECK_STR(asked[0], "POST /v1/vms/web/kill");
	keys("D");
	keys("y\r");
	CHECK_INT(n_asked, 1); /* one that runs goes by its number only */
	keys("1\r");
	CHECK_STR(asked[1], "DELETE /v1/vms/web?force=1");
	cursor_to("bad-image");
	keys("Dy");
	CHECK_STR(asked[2], "DELETE /v1/vms/bad-image?force=1");
	cursor_to("db");
	keys("S");
	CHECK_STR(asked[3], "POST /v1/vms/db/stop");
	CHECK_INT(n_asked, 4);
	end();
}

TEST(a_question_keeps_its_targets)
{
	begin_with_events();
	cursor_to("db");
	show(24, 80);
	keys("K");
	feed("{\"type\":\"vm\",\"action\":\"deleted\",\"name\":\"db\",\"record\":null}");
	show(24, 80);
	CHECK(row_with("gone meanwhile"));
	keys("y");
	CHECK_INT(n_asked, 0);
	/* And the cursor is on what took its place. */
	CHECK_STR(item_name(KIND_VM, ui_current(&ui)), "db-copy");
	end();
}

TEST(marks_are_done_at_once)
{
	begin_with_events();
	show(24, 80);
	keys("g  S"); /* api, bad-image: only one of them runs */
	CHECK_STR(asked[0], "POST /v1/vms/api/stop");
	CHECK_INT(n_asked, 1);
	keys("\033*S");
	CHECK(ui.dialog.open && ui.dialog.type_count);
	CHECK_INT(ui.dialog.count,
		6); /* all but the one that is stopped: what starts can be stopped */
	keys("5\r");
	CHECK_INT(n_asked, 1);
	ui_key(&ui, KEY_BACKSPACE_);
	keys("6\r");
	CHECK_INT(n_asked, 7);
	end();
}

TEST(keys_that_cannot_work_say_why)
{
	begin_with_events();
	cursor_to("bad-image");
	show(24, 80);
	keys("e");
	CHECK_STR(ui.message, "bad-image: it is stopped; u starts it");
	cursor_to("web");
	keys("u");
	CHECK_STR(ui.message, "web: it runs already");
	ui.model.link = LINK_DOWN;
	keys("S");
	CHECK(strstr(ui.message, "does not answer"));
	CHECK_INT(n_asked, 0);
	ui.model.link = LINK_UP;
	ui_paste(&ui, "yD\ny");
	CHECK(!ui.dialog.open && n_asked == 0);
	end();
}

TEST(programs_get_the_right_words)
{
	begin_with_events();
	cursor_to("web");
	show(24, 80);
	keys("seuname -a\r");
	keys("e\r");
	keys("ow");
	CHECK_STR(asked[0], "run vm ssh web");
	CHECK_STR(asked[1], "run vm exec --tty web -- uname -a");
	CHECK_STR(asked[2], "run vm exec --tty web");
	CHECK_STR(asked[3], "run vm logs --follow --boot web");
	CHECK_STR(asked[4], "run vm workspace diff web");
	keys("q");
	keys("l\t");
	CHECK_STR(asked[5], "text /v1/vms/web/logs?log=serial&follow=1&tail=10000");
	CHECK_STR(asked[6], "text /v1/vms/web/logs?log=vmm&follow=1&tail=10000");
	end();
}

/* ---- the model ---- */

TEST(a_new_connection_forgets_what_is_gone)
{
	begin_with_events();
	cursor_to("web");
	model_begin(&ui.model);
	CHECK_INT(ui.model.lists[KIND_VM].count, 7);
	feed("{\"type\":\"vm\",\"action\":\"present\",\"name\":\"web\",\"record\":{\"id\":"
	     "\"00000000000000000000000000000001\",\"name\":\"web\",\"state\":\"stopped\"}}");
	feed("{\"type\":\"sync\"}");
	CHECK_INT(ui.model.lists[KIND_VM].count, 1);
	CHECK_INT(ui.model.lists[KIND_IMAGE].count, 0);
	CHECK_STR(item_name(KIND_VM, ui_current(&ui)), "web");
	CHECK(!ui_current(&ui)->usage);
	end();
}

TEST(lines_that_make_no_sense_are_passed_over)
{
	static const char *const lines[] = {"{}", "{\"type\":\"vm\"}",
		"{\"type\":\"vm\",\"record\":{}}", "{\"type\":\"vm\",\"record\":{\"id\":7}}",
		"{\"type\":\"usage\"}", "{\"type\":\"usage\",\"vms\":{}}",
		"{\"type\":\"usage\",\"vms\":[1,{\"name\":\"none\"}]}",
		"{\"type\":\"vm\",\"action\":\"deleted\",\"name\":\"none\"}",
		"{\"type\":\"new-kind\",\"record\":{\"name\":\"x\"}}"};

	begin_with_events();
	for (size_t i = 0; i < ARRAY_SIZE(lines); i++)
		feed(lines[i]);
	CHECK_INT(ui.model.lists[KIND_VM].count, 7);
	show(24, 80);
	end();
}

TEST(the_order_may_be_another)
{
	begin_with_events();
	cursor_to("web");
	show(24, 80);
	keys(">>");
	CHECK_INT(ui.sort, SORT_CPU);
	CHECK_STR(item_name(KIND_VM, ui_current(&ui)), "web");
	keys("g");
	CHECK_STR(item_name(KIND_VM, ui_current(&ui)), "ci-runner");
	keys("i");
	keys("G");
	CHECK_STR(item_name(KIND_VM, ui_current(&ui)), "ci-runner");
	end();
}

static void files_reply(const char *folder, const char *text)
{
	_json_ json_t *reply = json_loads(text, 0, NULL);

	CHECK(reply);
	ui_reply(&ui, CALL_FILES, folder, reply, NULL, NULL);
}

#define FILES                                                                                      \
	"{\"path\":\"/home/"                                                                       \
	"me\",\"entries\":[{\"name\":\"bundles\",\"kind\":\"folder\",\"size\":0},"                 \
	"{\"name\":\"base.tar.zst\",\"kind\":\"file\",\"size\":9},{\"name\":\"dev.tar.zst\","      \
	"\"kind\":\"file\",\"size\":9},"                                                           \
	"{\"name\":\"link\",\"kind\":\"link\",\"size\":0}]}"

TEST(screens_of_forms_with_files)
{
	begin_with_events();
	setenv("HOME", "/home/me", 1);
	show(24, 80);
	keys("2i~/b");
	files_reply("/home/me/", FILES);
	show(24, 80);
	check_screen("import-80x24");
	keys("\033a");
	keys("mine\t~/rootfs.ext4\tcl\t");
	show(24, 80);
	check_screen("register-80x24");
	keys("\033ge");
	show(24, 80);
	check_screen("export-80x24");
	keys("\0333i~/linux.deb");
	show(24, 80);
	check_screen("import-kernel-80x24");
	keys("\0331");
	cursor_to("web");
	keys("n");
	show(24, 80);
	check_screen("rename-80x24");
	keys("\033");
	end();
}

/* The cursor, marks and curves are the VM's, not its name's. */
TEST(a_renamed_vm_is_the_same)
{
	struct item *item;
	_json_ json_t *record = NULL, *changed = NULL;
	unsigned samples;

	begin_with_events();
	cursor_to("web");
	item = model_find_vm(&ui.model, "web");
	item->marked = true;
	samples = item->usage->count;
	record = json_deep_copy(item->record);
	json_object_set_new(record, "name", json_string("a-first"));
	changed = json_pack("{s:s, s:s, s:s, s:O}", "type", "vm", "action", "changed", "name",
		"a-first", "record", record);
	ui_line(&ui, changed);
	feed("{\"type\": \"vm\", \"action\": \"deleted\", \"name\": \"web\", \"record\": null}");
	CHECK(!model_find_vm(&ui.model, "web"));
	CHECK_STR(item_name(KIND_VM, ui_current(&ui)), "a-first");
	CHECK(ui_current(&ui)->marked);
	CHECK_INT(ui_current(&ui)->usage->count, samples);
	CHECK_STR(item_name(KIND_VM, &ui.model.lists[KIND_VM].items[0]), "a-first");
	CHECK_STR(ui.model.notes[0].text, "renamed from: web");
	end();
}

/* ---- forms ---- */

TEST(files_are_completed_by_what_the_daemon_lists)
{
	begin_with_events();
	setenv("HOME", "/home/me", 1);
	show(24, 80);
	keys("2i");
	CHECK_STR(asked[0], "GET /v1/files");
	keys("~/b");
	CHECK_INT(n_asked, 2); /* once for each folder */
	CHECK_STR(asked[1], "GET /v1/files?path=/home/me/");
	files_reply("/elsewhere/", FILES); /* late: of the folder before */
	show(24, 80);
	CHECK(!row_with("2 match"));
	files_reply("/home/me/", FILES);
	show(24, 80);
	CHECK(row_with("2 match"));
	CHECK(row_with("bundles/") && row_with("base.tar.zst") && !row_with("link"));
	ui_key(&ui, KEY_TAB_); /* a folder: its own names are next */
	CHECK_STR(ui.form.fields[0].text, "~/bundles/");
	CHECK_STR(asked[2], "GET /v1/files?path=/home/me/bundles/");
	CHECK_INT(ui.form.focus, 0);
	files_reply("/home/me/bundles/",
		"{\"path\":\"/home/me/bundles\",\"entries\":[{\"name\":\"a "
		"b%\",\"kind\":\"folder\",\"size\":0}]}");
	keys("\t");
	CHECK_STR(asked[3], "GET /v1/files?path=/home/me/bundles/a%20b%25/");
	ui_reply(&ui, CALL_FILES, "/home/me/bundles/a b%/", NULL, "list: not a folder",
		NULL); /* nothing to say: any path may be typed */
	CHECK_STR(ui.message, "");
	keys("x.zst\t");
	CHECK_INT(ui.form.focus, 1);
	keys("dev\t\r");
	CHECK_STR(asked[4], "POST /v1/images/import {\"from\":\"/home/me/bundles/a "
			    "b%/x.zst\",\"name\":\"dev\"}");
	ui_reply(&ui, CALL_FORM, "import", NULL, NULL, NULL);
	keys("ihttps://example.org/dev.tar.zst\r");
	CHECK_STR(asked[n_asked - 1],
		"POST /v1/images/import {\"from\":\"https://example.org/dev.tar.zst\"}");
	end();
}

TEST(forms_for_assets_and_names)
{
	char text[512];

	begin_with_events();
	setenv("HOME", "/home/me", 1);
	show(24, 80);
	keys("2ge");
	CHECK_STR(form_command(&ui.form, text, sizeof(text)),
		"banger image export debian /home/me/debian.tar.zst");
	keys("\r");
	CHECK_STR(asked[n_asked - 1],
		"POST /v1/images/debian/export {\"path\":\"/home/me/debian.tar.zst\"}");
	ui_reply(&ui, CALL_FORM, "export", NULL, NULL, NULL);
	keys("amine\troot.ext4\r");
	CHECK(strstr(ui.form.fields[1].error, "begins with /"));
	ui_key(&ui, KEY_CTRL('U'));
	keys("/srv/root.ext4\tcloud\r");
	CHECK_STR(asked[n_asked - 1],
		"POST /v1/images/register "
		"{\"kernel\":\"cloud\",\"name\":\"mine\",\"rootfs\":\"/srv/root.ext4\"}");
	ui_reply(&ui, CALL_FORM, "register", NULL, NULL, NULL);
	feed("{\"type\":\"image\",\"action\":\"updated\",\"id\":\"mine\",\"record\":{\"name\":"
	     "\"mine\",\"managed\":false}}");
	feed("{\"type\":\"image\",\"action\":\"updated\",\"id\":\"ours\",\"record\":{\"name\":"
	     "\"ours\",\"managed\":true}}");
	keys("/mine\rp");
	CHECK_STR(asked[n_asked - 1], "POST /v1/images/mine/promote");
	keys("\033/ours\rp\033");
	CHECK_STR(asked[n_asked - 1], "POST /v1/images/mine/promote");
	keys("3i/boot/vmlinuz\r");
	CHECK_STR(asked[n_asked - 1], "POST /v1/kernels/import {\"path\":\"/boot/vmlinuz\"}");
	ui_reply(&ui, CALL_FORM, "import", NULL, NULL, NULL);
	keys("1");
	cursor_to("web");
	keys("n\r");
	CHECK_STR(ui.message, "nothing was changed");
	keys("n");
	ui_key(&ui, KEY_CTRL('U'));
	keys("api\r");
	CHECK(strstr(ui.form.fields[0].error, "there is a VM of this name"));
	ui_key(&ui, KEY_CTRL('U'));
	keys("site");
	CHECK_STR(form_command(&ui.form, text, sizeof(text)), "banger vm rename web site");
	keys("\r");
	CHECK_STR(asked[n_asked - 1], "POST /v1/vms/web/set {\"name\":\"site\"}");
	end();
}

TEST(a_form_becomes_a_body)
{
	begin_with_events();
	show(24, 80);
	keys("c");
	ui_key(&ui, KEY_CTRL('U'));
	keys("demo\tdeb\t4\t");
	CHECK_STR(ui.form.fields[1].text, "debian"); /* Tab took the first that matches */
	keys("3G\t\t\t ");
	keys("\t\t8080:80 90:9\ta=b\t\t\r");
	CHECK_STR(asked[0], "POST /v1/vms "
			    "{\"cpus\":4,\"image\":\"debian\",\"labels\":{\"a\":\"b\"},\"memory_"
			    "mib\":3072,\"name\":\"demo\",\"nat\":false,"
			    "\"peers\":false,\"publish\":[{\"guest\":80,\"host\":8080},{\"guest\":"
			    "9,\"host\":90}],\"start\":true}");
	ui_reply(&ui, CALL_FORM, "create demo", NULL, "the disk is full", NULL);
	CHECK(ui.form.open);
	CHECK_STR(ui.form.error, "the disk is full");
	keys("\r");
	ui_reply(&ui, CALL_FORM, "create demo", NULL, NULL, NULL);
	CHECK(!ui.form.open);
	end();
}

TEST(a_field_is_checked_before_anything_is_asked)
{
	static const struct {
		const char *keys, *error;
	} rows[] = {{"Bad Name\r", "name"}, {"web\r", "there is a VM of this name"},
		{"x\tnone\r", "there is no such image"}, {"x\t\t99\r", "a number from 1 to 32"},
		{"x\t\t\t1X\r", ""}, {"x\t\t\t\t\t\t\t\t80\r", "\"80\" is not HOST:GUEST"},
		{"x\t\t\t\t\t\t\t\t\tlabel\r", "\"label\" is not KEY=VALUE"},
		{"\r", "may not be empty"}};

	begin_with_events();
	show(24, 80);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		keys("c");
		ui_key(&ui, KEY_CTRL('U'));
		keys(rows[i].keys);
		CHECK(ui.form.open && !ui.form.sent);
		CHECK(strstr(ui.form.fields[ui.form.focus].error, rows[i].error) &&
			*ui.form.fields[ui.form.focus].error);
		keys("\033");
	}
	CHECK_INT(n_asked, 0);
	end();
}

TEST(set_says_only_what_was_changed)
{
	char text[512];

	begin_with_events();
	cursor_to("web");
	show(24, 80);
	keys("m\r");
	CHECK_STR(ui.message, "nothing was changed");
	keys("m");
	keys("\t\t\t\t ");
	keys("\t\t");
	ui_key(&ui, KEY_CTRL('W'));
	keys("9000:90\t");
	ui_key(&ui, KEY_CTRL('W'));
	keys("x=y");
	CHECK_STR(form_command(&ui.form, text, sizeof(text)),
		"banger vm set web --no-nat --publish 9000:90 --label x=y");
	keys("\r");
	CHECK_STR(asked[0],
		"POST /v1/vms/web/set "
		"{\"labels\":{\"team\":\"web\",\"tier\":null,\"x\":\"y\"},\"nat\":false,"
		"\"publish\":[{\"guest\":90,\"host\":9000}],\"unpublish\":[2222]}");
	end();
}

/* ---- texts ---- */

TEST(a_log_is_bounded_and_paused_by_scrolling)
{
	char line[1024];

	begin_with_events();
	cursor_to("web");
	show(24, 80);
	keys("l");
	memset(line, 'x', sizeof(line));
	line[sizeof(line) - 1] = '\n';
	for (int i = 0; i < 5000; i++)
		pager_feed(&ui.pager, line, sizeof(line));
	CHECK(ui.pager.bytes <= PAGER_BYTES);
	show(24, 80);
	CHECK(ui.pager.follow);
	keys("k");
	CHECK(!ui.pager.follow);
	pager_feed(&ui.pager, "one\ntwo\n", 8);
	show(24, 80);
	CHECK(row_with("paused: 2 new lines below"));
	keys("G");
	show(24, 80);
	CHECK(row_with("two") && ui.pager.follow);
	end();
}

TEST(a_long_line_is_wrapped_or_cut)
{
	begin_with_events();
	cursor_to("web");
	show(24, 80);
	keys("l");
	for (int i = 0; i < 300; i++)
		pager_feed(&ui.pager, i % 10 ? "." : "|", 1);
	pager_feed(&ui.pager, "end\n", 4);
	show(24, 80);
	CHECK(!row_with("end"));
	keys("w");
	show(24, 80);
	CHECK(row_with("end"));
	end();
}

/* Whatever comes: each row is as wide as the screen and has no control character. */
TEST(nothing_breaks_the_screen)
{
	static const int extra[] = {KEY_UP_, KEY_DOWN_, KEY_ESCAPE_, KEY_ENTER_, KEY_TAB_,
		KEY_BACK_TAB_, KEY_PAGE_DOWN_, KEY_PAGE_UP_, KEY_BACKSPACE_, KEY_DELETE_, KEY_HOME_,
		KEY_END_, KEY_LEFT_, KEY_RIGHT_, KEY_UNKNOWN_};
	unsigned seed = 4711;

	begin_with_events();
	for (int i = 0; i < 4000; i++) {
		int rows = 1 + (int)(rand_r(&seed) % 60), columns = 1 + (int)(rand_r(&seed) % 220);
		int key = rand_r(&seed) % 3 ? ' ' + (int)(rand_r(&seed) % 95)
					    : extra[(unsigned)rand_r(&seed) % ARRAY_SIZE(extra)];

		ui_key(&ui, key);
		if (i % 5 == 0)
			ui_mouse(&ui, (enum mouse)(rand_r(&seed) % 5), (int)(rand_r(&seed) % 60),
				(int)(rand_r(&seed) % 200));
		if (ui.pager.open)
			pager_feed(&ui.pager, "\033[31m\xff\t wide \xe6\xbc\xa2 line\n", 20);
		show(rows, columns);
		for (int c = 0; c < rows * columns; c++)
			CHECK(grid.cells[c].ch >= ' ' && grid.cells[c].ch != 0x7f);
		n_asked = 0;
	}
	end();
}
