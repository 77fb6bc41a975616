/* SPDX-License-Identifier: ISC */
/* test_guest_conf.c: The settings that the daemon writes and banger-init reads, as one format. */
#include <arpa/inet.h>
#include <stdio.h>

#include "common/guest_conf.h"
#include "daemon/vm/initrd.h"
#include "guest/conf.h"
#include "tests/lib/test.h"

#define ID   "0123456789abcdef0123456789abcdef"
#define MUST "id " ID "\nhostname a\nroot vda\nagent virtio\n"

static int parse(const char *text, struct conf *c)
{
	return conf_parse(text, strlen(text), c, NULL);
}

static void check_bad(const char *more, const char *message)
{
	_err_ struct bg_err *err = NULL;
	char text[1024];
	struct conf c;

	(void)snprintf(text, sizeof(text), MUST "%s", more);
	CHECK_INT(conf_parse(text, strlen(text), &c, &err), -EINVAL);
	CHECK_STR(err->message, message);
}

TEST(the_least)
{
	struct conf c;

	CHECK_INT(parse(MUST, &c), 0);
	CHECK_STR(c.id_text, ID);
	CHECK_INT(c.id[0], 0x01);
	CHECK_INT(c.id[15], 0xef);
	CHECK_STR(c.hostname, "a");
	CHECK_STR(c.root, "vda");
	CHECK_STR(c.work, "");
	CHECK_INT(c.agent, CONF_AGENT_VIRTIO);
	CHECK(!c.reset);
	CHECK_INT(c.addr.s_addr, 0);
}

TEST(each_needed_key_is_missed)
{
	static const char *const lines[] = {
		"id " ID "\n", "hostname a\n", "root vda\n", "agent vsock\n"};

	for (size_t skip = 0; skip < ARRAY_SIZE(lines); skip++) {
		_err_ struct bg_err *err = NULL;
		char text[256] = "", want[64];
		struct conf c;

		for (size_t i = 0; i < ARRAY_SIZE(lines); i++)
			if (i != skip)
				strcat(text, lines[i]);
		(void)snprintf(want, sizeof(want), "vm.conf: \"%.*s\" is missing",
			(int)strcspn(lines[skip], " "), lines[skip]);
		CHECK_INT(conf_parse(text, strlen(text), &c, &err), -EINVAL);
		CHECK_STR(err->message, want);
	}
}

TEST(what_the_daemon_writes_is_what_the_guest_reads)
{
	const struct guest_conf in = {.id = ID,
		.hostname = "web-1",
		.root = "vda",
		.work = "vdb",
		.modules = "vdc",
		.addr = "10.209.1.2",
		.gateway = "10.209.1.1",
		.mac = "02:62:67:00:01:00",
		.dns = "10.209.1.1",
		.agent = "vsock",
		.poweroff = "reset",
		.time = 1790000000};
	_free_ char *text = NULL;
	struct conf c;

	CHECK_INT(initrd_conf_text(&in, &text, NULL), 0);
	CHECK_INT(parse(text, &c), 0);
	CHECK_STR(c.hostname, "web-1");
	CHECK_STR(c.work, "vdb");
	CHECK_STR(c.modules, "vdc");
	CHECK_INT(ntohl(c.addr.s_addr), 0x0ad10102);
	CHECK_INT(ntohl(c.gateway.s_addr), 0x0ad10101);
	CHECK_INT(ntohl(c.dns.s_addr), 0x0ad10101);
	CHECK_INT(c.agent, CONF_AGENT_VSOCK);
	CHECK(c.reset);
	CHECK_INT(c.time, 1790000000);
}

#define WITHOUT_ROOT "id " ID "\nhostname a\nagent virtio\n"

TEST(two_disks_that_are_joined)
{
	const struct guest_conf in = {.id = ID,
		.hostname = "a",
		.base = "vda",
		.own = "vdb",
		.store = 1316864,
		.chunk = 32,
		.agent = "virtio"};
	_free_ char *text = NULL;
	struct conf c;

	CHECK_INT(initrd_conf_text(&in, &text, NULL), 0);
	CHECK_INT(parse(text, &c), 0);
	CHECK_STR(c.root, "");
	CHECK_STR(c.base, "vda");
	CHECK_STR(c.own, "vdb");
	CHECK_INT(c.store, 1316864);
	CHECK_INT(c.chunk, 32);
	CHECK_INT(parse(WITHOUT_ROOT "chunk 8\nstore 8\nown b\nbase a\n", &c), 0);
	CHECK_INT(c.chunk, 8);
}

TEST(joined_disks_are_whole)
{
	static const char *const rows[] = {"base vda\n", "own vdb\n", "store 64\n", "chunk 32\n"};
	struct conf c;

	CHECK_INT(parse(WITHOUT_ROOT, &c), -EINVAL);
	for (size_t skip = 0; skip < ARRAY_SIZE(rows); skip++) {
		char text[256] = WITHOUT_ROOT;

		for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
			if (i != skip)
				strcat(text, rows[i]);
		CHECK_INT(parse(text, &c), -EINVAL);
	}
	check_bad("base vda\nown vdb\nstore 64\nchunk 32\n", "vm.conf: \"root\" beside \"base\"");
	check_bad("own vdb\n", "vm.conf: \"base\", \"own\", \"store\" and \"chunk\" go together");
	check_bad("store 0\n", "vm.conf line 5: \"store\" cannot be \"0\"");
	check_bad("store -64\n", "vm.conf line 5: \"store\" cannot be \"-64\"");
	check_bad("chunk 16\n", "vm.conf line 5: \"chunk\" cannot be \"16\"");
	CHECK_INT(parse(WITHOUT_ROOT "base a\nown a\nstore 64\nchunk 32\n", &c), -EINVAL);
	CHECK_INT(parse(WITHOUT_ROOT "base a\nown b\nstore 40\nchunk 32\n", &c), -EINVAL);
}

TEST(a_value_cannot_smuggle_a_line)
{
	const struct guest_conf in = {
		.id = ID, .hostname = "a\nroot vdz", .root = "vda", .agent = "virtio"};
	_free_ char *text = NULL;

	CHECK_INT(initrd_conf_text(&in, &text, NULL), -EINVAL);
	CHECK(!text);
}

TEST(unknown_keys_are_ignored)
{
	struct conf c;

	CHECK_INT(parse(MUST "mac 02:62:67:00:00:00\nfuture thing with words\n", &c), 0);
}

TEST(bad_values)
{
	check_bad("work ../sda\n", "vm.conf line 5: \"work\" cannot be \"../sda\"");
	check_bad("work \n", "vm.conf line 5: \"work\" cannot be \"\"");
	check_bad("addr 1.2.3\n", "vm.conf line 5: \"addr\" cannot be \"1.2.3\"");
	check_bad("addr 0.0.0.0\n", "vm.conf line 5: \"addr\" cannot be \"0.0.0.0\"");
	check_bad("poweroff now\n", "vm.conf line 5: \"poweroff\" cannot be \"now\"");
	check_bad("time -1\n", "vm.conf line 5: \"time\" cannot be \"-1\"");
	check_bad("time 1234567890123\n", "vm.conf line 5: \"time\" cannot be \"1234567890123\"");
	check_bad("root vdb\n", "vm.conf line 5: \"root\" is there twice");
	check_bad("gateway 10.0.0.1\n", "vm.conf: gateway without addr");
}

TEST(bad_lines)
{
	check_bad("work\n", "vm.conf line 5: not \"key value\"");
	check_bad(" vdb\n", "vm.conf line 5: not \"key value\"");
	check_bad("\n", "vm.conf line 5: not \"key value\"");
	check_bad("work vdb", "vm.conf line 5: too long, not ended or not text");
}

TEST(bad_must_values)
{
	struct conf c;

	CHECK_INT(parse("id 0123\nhostname a\nroot vda\nagent virtio\n", &c), -EINVAL);
	CHECK_INT(parse("id " ID "0\nhostname a\nroot vda\nagent virtio\n", &c), -EINVAL);
	CHECK_INT(parse("id " ID "\nhostname A\nroot vda\nagent virtio\n", &c), -EINVAL);
	CHECK_INT(parse("id " ID "\nhostname -a\nroot vda\nagent virtio\n", &c), -EINVAL);
	CHECK_INT(parse("id " ID "\nhostname a\nroot vda\nagent serial\n", &c), -EINVAL);
}

TEST(nul_and_length)
{
	static char big[BG_GUEST_CONF_MAX + 2];
	struct conf c;
	char text[] = MUST "x \0y\n";

	CHECK_INT(conf_parse(text, sizeof(text) - 1, &c, NULL), -EINVAL);
	memset(big, '\n', sizeof(big));
	CHECK_INT(conf_parse(big, sizeof(big) - 1, &c, NULL), -EFBIG);
}

TEST(a_name_and_an_address_alone)
{
	static const char *const bad[] = {
		"", "-a", "a b", "a\n", "0123456789012345678901234567890123456789x"};
	struct conf c;

	CHECK(conf_names(&c, "site", "10.209.0.2"));
	CHECK_STR(c.hostname, "site");
	CHECK_INT(ntohl(c.addr.s_addr), 0x0ad10002);
	CHECK(conf_names(&c, "site", NULL) && c.addr.s_addr == 0);
	CHECK(!conf_names(&c, "site", "10.209.0.2.1"));
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		CHECK(!conf_names(&c, bad[i], NULL));
}
