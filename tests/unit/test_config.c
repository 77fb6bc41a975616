/* SPDX-License-Identifier: ISC */
/* daemon/config: what is read, and that every error names file and line. */
#include "host/config.h"

#include <stdio.h>

#include "tests/lib/test.h"

static struct config *parse(const char *text)
{
	_err_ struct bg_err *err = NULL;
	struct config *config = NULL;

	if (config_parse("c.toml", text, strlen(text), &config, &err) < 0)
		test_fail(__FILE__, __LINE__, "%s", err->message);
	return config;
}

static void check_fails(const char *text, const char *words)
{
	_err_ struct bg_err *err = NULL;
	struct config *config = NULL;

	CHECK_INT(config_parse("c.toml", text, strlen(text), &config, &err), -EINVAL);
	CHECK(strstr(err->message, words));
}

TEST(defaults)
{
	_unref_(config) struct config *c = parse("");

	CHECK_INT(c->log_level, LOG_INFO);
	CHECK_INT(c->debug, CONFIG_DEBUG_OFF);
	CHECK_INT(c->vmm, CONFIG_VMM_AUTO);
	CHECK_INT(c->storage, CONFIG_STORAGE_AUTO);
	CHECK_STR(c->firecracker_bin, "firecracker");
	CHECK_STR(c->qemu_bin, "qemu-system-x86_64");
	CHECK(!c->ssh_key_path);
	CHECK_STR(c->default_image_name, "default");
	CHECK_INT(c->default_cpus, 2);
	CHECK_INT(c->default_memory_mib, 1024);
	CHECK_INT(c->default_disk_mib, 8192);
	CHECK_INT(c->default_work_mib, 8192);
	CHECK_STR(c->dns, "system");
	CHECK_INT(c->tap_pool, 2);
	CHECK_STR(c->web, "127.0.0.1:7777");
	CHECK_INT(c->boots_at_once, 0);
	CHECK(strlen(c->web_folders) > 0 || !getenv("HOME"));
}

/* A home is made absolute; without one there is nothing to list, and that is not an error of the file. */
TEST(folders_for_the_picker)
{
	_unref_(config) struct config *c = NULL;

	setenv("HOME", "/home/u", 1);
	c = parse("");
	CHECK_STR(c->web_folders, "/home/u");
	c = (config_free(c), parse("web_folders = \"~/a b/:/srv//:/\""));
	CHECK_STR(c->web_folders, "/home/u/a b:/srv:/");
	c = (config_free(c), parse("web_folders = \"\""));
	CHECK_STR(c->web_folders, "");
	unsetenv("HOME");
	c = (config_free(c), parse(""));
	CHECK_STR(c->web_folders, "");
	check_fails(
		"web_folders = \"~/x\"", "c.toml:1: web_folders: \"~/x\" is not an absolute path");
	setenv("HOME", "/home/u", 1);
	check_fails(
		"web_folders = \"/a:b\"", "c.toml:1: web_folders: \"b\" is not an absolute path");
	check_fails("web_folders = \"~other\"", "is not an absolute path");
}

TEST(a_byte_order_mark_is_passed_over)
{
	_unref_(config) struct config *c = parse("\xef\xbb\xbfvmm = \"qemu\"\n");

	CHECK_INT(c->vmm, CONFIG_VMM_QEMU);
	c = (config_free(c), parse("\xef\xbb\xbf"));
	CHECK_INT(c->vmm, CONFIG_VMM_AUTO);
}

static void check_hint(const char *text, const char *hint)
{
	_err_ struct bg_err *err = NULL;
	struct config *config = NULL;

	CHECK_INT(config_parse("c.toml", text, strlen(text), &config, &err), -EINVAL);
	CHECK_STR(err->hint, hint);
}

TEST(hints_say_what_there_is)
{
	check_hint("storage = \"zfs\"", "use auto, reflink, copy, dm-snapshot or guest-cow");
	check_hint("vmm = \"xen\"", "use auto, qemu or firecracker");
	check_hint("default_memry = 1", "did you mean default_memory?");
	check_hint("log_levle = 1", "did you mean log_level?");
	check_hint(
		"something_else_entirely = 1", "remove it; docs/configuration.md lists the keys");
}

TEST(every_key)
{
	_unref_(config) struct config *c = NULL;

	setenv("HOME", "/home/u", 1);
	c = parse("# a comment\r\n"
		  "log_level = \"debug\" # at the end\n"
		  "debug = \"dumpable\"\n"
		  "  vmm\t=\t'qemu'\n"
		  "storage=\"copy\"\n"
		  "firecracker_bin = \"/opt/fc\"\n"
		  "qemu_bin = \"qemu-kvm\"\n"
		  "ssh_key_path = \"~/.ssh/id\"\n"
		  "default_image_name = \"d\\u0065b\\U00000069an\"\n"
		  "default_cpus = +4\n"
		  "default_memory = \"1.5G\"\n"
		  "default_disk = 4096\n"
		  "\n"
		  "dns = \"\"\n"
		  "tap_pool = 0\n"
		  "boots_at_once = 3\n"
		  "default_work = \"1T\"");
	CHECK_INT(c->log_level, LOG_DEBUG);
	CHECK_INT(c->debug, CONFIG_DEBUG_DUMPABLE);
	CHECK_INT(c->vmm, CONFIG_VMM_QEMU);
	CHECK_INT(c->storage, CONFIG_STORAGE_COPY);
	CHECK_STR(c->dns, "");
	CHECK_INT(c->tap_pool, 0);
	CHECK_INT(c->boots_at_once, 3);
	CHECK_STR(c->firecracker_bin, "/opt/fc");
	CHECK_STR(c->qemu_bin, "qemu-kvm");
	CHECK_STR(c->ssh_key_path, "/home/u/.ssh/id");
	CHECK_STR(c->default_image_name, "debian");
	CHECK_INT(c->default_cpus, 4);
	CHECK_INT(c->default_memory_mib, 1536);
	CHECK_INT(c->default_disk_mib, 4096);
	CHECK_INT(c->default_work_mib, 1048576);
}

TEST(strings_keep_their_escapes)
{
	_unref_(config) struct config *c =
		parse("qemu_bin = \"/a\\\"\\\\\\tb\\u20ac\"\nfirecracker_bin = '/a\\b'\n");

	CHECK_STR(c->qemu_bin, "/a\"\\\tb\xe2\x82\xac");
	CHECK_STR(c->firecracker_bin, "/a\\b");
}

/* Lines, and words of the errors that they are. */
static const struct {
	const char *text, *words;
} wrong[] = {
	{"vm = \"qemu\"", "c.toml:1: there is no key \"vm\""},
	{"\n\nvmm = \"xen\"", "c.toml:3: vmm: \"xen\" is not one of auto, qemu or firecracker"},
	{"debug = \"on\"", "c.toml:1: debug: \"on\" is not one of off or dumpable"},
	{"vmm = 3", "c.toml:1: vmm is to be a \"text\""},
	{"log_level = \"loud\"", "c.toml:1: log_level: \"loud\" is not a level"},
	{"default_cpus = \"2\"", "c.toml:1: default_cpus is to be a whole number"},
	{"default_cpus = 0", "is not between 1 and 32"},
	{"default_cpus = 33", "is not between 1 and 32"},
	{"default_cpus = -1", "is not between 1 and 32"},
	{"default_memory = \"lots\"", "c.toml:1: default_memory: \"lots\" is not a size"},
	{"default_memory = 1", "c.toml:1: default_memory: 1 is not between 128M and"},
	{"default_disk = true", "default_disk is to be a size"},
	{"default_image_name = \"No\"", "c.toml:1: default_image_name: \"No\" cannot be"},
	{"ssh_key_path = \"key\"", "is not an absolute path"},
	{"qemu_bin = \"./qemu\"", "is not a program"},
	{"qemu_bin = \"\"", "is not a program"},
	{"dns = \"9.9.9\"", "is not an address"},
	{"vmm = \"qemu\"\n\nvmm = \"auto\"", "c.toml:3: vmm was set in line 1 already"},
	{"[vm]\n", "c.toml:1: tables"},
	{"vmm", "c.toml:1: \"=\" was expected"},
	{"vmm.x = 1", "dotted keys"},
	{"\"vmm\" = 1", "without quotes"},
	{"= 1", "a key was expected"},
	{"vmm = ", "a value was expected"},
	{"vmm = [1]", "lists and tables"},
	{"vmm = {}", "lists and tables"},
	{"vmm = \"qemu\nx = 1", "c.toml:1: a string has no end on its line"},
	{"vmm = \"qemu", "a string has no end"},
	{"vmm = \"\"\"qemu\"\"\"", "multi-line"},
	{"vmm = \"qemu\" \"x\"", "c.toml:1: more than one value"},
	{"vmm = \"\\q\"", "unknown escape"},
	{"vmm = \"\\u12\"", "bad \\u escape"},
	{"vmm = \"\\u0000\"", "not a character"},
	{"vmm = \"\\ud800\"", "not a character"},
	{"vmm = \"\\U00110000\"", "not a character"},
	{"vmm = \"a\x01\"", "control character"},
	{"# a\x01", "control character in a comment"},
	{"default_cpus = 1.5", "only whole decimal numbers"},
	{"default_cpus = 0x10", "only whole decimal numbers"},
	{"default_cpus = 1_000", "only whole decimal numbers"},
	{"default_cpus = 012", "starts with 0"},
	{"default_cpus = 99999999999999999999", "too large"},
	{"default_cpus = truely", "a value was expected"},
};

TEST(errors_name_file_and_line)
{
	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
		_err_ struct bg_err *err = NULL;
		struct config *config = NULL;

		CHECK_INT(
			config_parse("c.toml", wrong[i].text, strlen(wrong[i].text), &config, &err),
			-EINVAL);
		CHECK(!config && err->code == BG_ERR_CONFIG);
		if (!strstr(err->message, wrong[i].words) ||
			strncmp(err->message, "c.toml:", 7) != 0)
			test_fail(__FILE__, __LINE__, "%s: %s", wrong[i].text, err->message);
	}
}

TEST(a_nul_byte_is_refused)
{
	static const char text[] = "vmm = \"qe\0mu\"\n";
	struct config *config = NULL;

	CHECK_INT(config_parse("c.toml", text, sizeof(text) - 1, &config, NULL), -EINVAL);
	CHECK_INT(config_parse("c.toml", "\0", 1, &config, NULL), -EINVAL);
	CHECK(!config);
}

static void write_file(char *path, size_t size, const char *text)
{
	FILE *f;

	snprintf(path, size, "%s/config.toml", test_tmpdir());
	f = fopen(path, "w");
	CHECK(f && fputs(text, f) >= 0 && fclose(f) == 0);
}

TEST(files_and_the_environment)
{
	_unref_(config) struct config *none = NULL, *some = NULL;
	_err_ struct bg_err *err = NULL, *err2 = NULL;
	struct config *bad = NULL;
	char path[128];

	unsetenv("BANGER_LOG_LEVEL");
	CHECK_INT(config_load("/nowhere/config.toml", &none, NULL), 0);
	CHECK_INT(none->log_level, LOG_INFO);
	write_file(path, sizeof(path), "log_level = \"warn\"\n");
	setenv("BANGER_LOG_LEVEL", "debug", 1);
	CHECK_INT(config_load(path, &some, NULL), 0);
	CHECK_INT(some->log_level, LOG_DEBUG);
	setenv("BANGER_LOG_LEVEL", "loud", 1);
	CHECK_INT(config_load(path, &bad, &err), -EINVAL);
	CHECK(strstr(err->message, "BANGER_LOG_LEVEL"));
	CHECK_INT(config_load(test_tmpdir(), &bad, &err2), -EISDIR);
	CHECK(strstr(err2->message, test_tmpdir()));
}
