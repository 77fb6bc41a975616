/* SPDX-License-Identifier: ISC */
/* The terminal UI without a terminal: its model out of recorded events, its keys and texts, and whole screens. */
#include "common/fd.h"
#include "common/json.h"
#include "tests/lib/test.h"
#include "tests/unit/tui_played.h"

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
	played_end();
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
	played_end();
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
	played_end();
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
	played_end();
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
	played_end();
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
	played_end();
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
	played_end();
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
	played_end();
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
	played_end();
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
	played_end();
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
	played_end();
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
	played_end();
}

/* Each state has a character, a word in the totals and in its row; what filters finds the word. */
TEST(those_that_stand_still)
{
	static const char *const states[] = {"paused", "suspended", "resuming"};

	begin();
	for (int i = 0; i < 3; i++) {
		char line[200];

		snprintf(line, sizeof(line),
			"{\"type\":\"vm\",\"action\":\"present\",\"name\":\"%c\",\"record\":{"
			"\"id\":"
			"\"%032d\",\"name\":\"%c\",\"state\":\"%s\"}}",
			'a' + i, i, 'a' + i, states[i]);
		feed(line);
	}
	feed("{\"type\":\"sync\"}");
	ui.model.link = LINK_UP;
	show(24, 80);
	CHECK(row_with("1 busy  1 paused  1 suspended"));
	CHECK(row_with("= a") && strstr(row_with("= a"), "paused"));
	CHECK(row_with("z b") && strstr(row_with("z b"), "suspended"));
	CHECK(row_with("~ c") && strstr(row_with("~ c"), "resuming"));
	cursor_to("a");
	keys("sazuKy");
	cursor_to("b");
	keys("sSzua");
	cursor_to("c");
	keys("azu");
	CHECK_INT(n_asked, 6);
	CHECK_STR(asked[0], "POST /v1/vms/a/resume");
	CHECK_STR(asked[1], "POST /v1/vms/a/suspend");
	CHECK_STR(asked[2], "POST /v1/vms/a/start");
	CHECK_STR(asked[3], "POST /v1/vms/a/kill");
	CHECK_STR(asked[4], "POST /v1/vms/b/resume");
	CHECK_STR(asked[5], "POST /v1/vms/b/start");
	keys("/suspended\r");
	show(24, 80);
	CHECK(row_with("z b") && !row_with("= a"));
	played_end();
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
	played_end();
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
	played_end();
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
	played_end();
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
	played_end();
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
	played_end();
}
