/* SPDX-License-Identifier: ISC */
/* The forms of the terminal UI: their screens, files that are completed, and the bodies that they become. */
#include "common/json.h"
#include "tests/lib/test.h"
#include "tests/unit/tui_played.h"

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
	played_end();
}

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
	played_end();
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
	played_end();
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
	played_end();
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
	played_end();
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
	played_end();
}
