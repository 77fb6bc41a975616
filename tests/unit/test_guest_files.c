/* SPDX-License-Identifier: ISC */
/*
 * test_guest_files.c: Files that the agent edits in an image: hosts, authorized_keys; and what it
 * reads in /proc/net.
 */
#include "guest/stay_mounted.h"
#include "guest/text.h"
#include "guest/watch.h"
#include "tests/lib/test.h"

TEST(hosts_from_nothing)
{
	_free_ char *t = text_hosts("", "alpha", "10.0.0.2");

	CHECK_STR(t, "127.0.0.1\tlocalhost # banger\n"
		     "::1\tlocalhost ip6-localhost ip6-loopback # banger\n"
		     "127.0.0.2\thost.vm # banger\n"
		     "10.0.0.2\talpha.vm alpha # banger\n");
}

TEST(hosts_keeps_the_users_lines)
{
	_free_ char *t = text_hosts("127.0.0.1 localhost\n1.2.3.4 db", "alpha", NULL);

	CHECK_STR(t, "127.0.0.1 localhost\n1.2.3.4 db\n127.0.0.2\thost.vm # "
		     "banger\n127.0.1.1\talpha.vm alpha # banger\n");
}

TEST(hosts_twice_is_once)
{
	_free_ char *once = text_hosts("# localhost is below\n9.9.9.9 x\n", "a", "10.0.0.2");
	_free_ char *twice = text_hosts(once, "a", "10.0.0.2");
	_free_ char *moved = text_hosts(once, "b", "10.0.0.3");

	CHECK_STR(once, twice);
	CHECK(strstr(moved, "10.0.0.3\tb.vm b # banger\n"));
	CHECK(!strstr(moved, "10.0.0.2"));
	CHECK(strstr(moved, "9.9.9.9 x\n"));
}

TEST(keys_from_nothing)
{
	_free_ char *t = text_keys("", "ssh-ed25519 AAAA me");

	CHECK_STR(t, TEXT_BEGIN "\nssh-ed25519 AAAA me\n" TEXT_END "\n");
}

TEST(keys_keep_the_users_lines)
{
	_free_ char *one = text_keys("ssh-rsa BBBB own", "ssh-ed25519 AAAA me\n");
	_free_ char *two = text_keys(one, "ssh-ed25519 CCCC new\n");
	_free_ char *none = text_keys(two, "");

	CHECK_STR(one, "ssh-rsa BBBB own\n" TEXT_BEGIN "\nssh-ed25519 AAAA me\n" TEXT_END "\n");
	CHECK_STR(two, "ssh-rsa BBBB own\n" TEXT_BEGIN "\nssh-ed25519 CCCC new\n" TEXT_END "\n");
	CHECK_STR(none, "ssh-rsa BBBB own\n");
}

TEST(keys_added_behind_our_block_stay)
{
	_free_ char *t = text_keys(TEXT_BEGIN "\nold\n" TEXT_END "\nssh-rsa BBBB own\n", "new");

	CHECK_STR(t, "ssh-rsa BBBB own\n" TEXT_BEGIN "\nnew\n" TEXT_END "\n");
}

#define HEAD "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt\n"

TEST(listener_on_any_address)
{
	CHECK(watch_has_listener(HEAD
		"   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000\n"
		"   1: 00000000:0016 00000000:0000 0A 00000000:00000000 00:00000000 00000000\n",
		22));
	CHECK(watch_has_listener(HEAD "   0: 00000000000000000000000000000000:0016 "
				      "00000000000000000000000000000000:0000 0A "
				      "00000000:00000000\n",
		22));
}

TEST(no_listener)
{
	CHECK(!watch_has_listener("", 22));
	CHECK(!watch_has_listener(HEAD, 22));
	/* a connection to port 22, and one from it that is established */
	CHECK(!watch_has_listener(HEAD
		"   0: 0100007F:1F90 0100007F:0016 0A 00000000:00000000 00:00000000 00000000\n"
		"   1: 0100007F:0016 0100007F:8001 01 00000000:00000000 00:00000000 00000000\n",
		22));
}

TEST(without_a_server_it_looks_seldom)
{
	struct watch w;

	watch_init(&w, NULL);
	CHECK_INT(w.fd, -1);
	CHECK(watch_timeout(&w) >= 100);
	w.found = true;
	CHECK_INT(watch_timeout(&w), -1);
}

TEST(names_of_mount_units)
{
	char out[64], small[16];

	CHECK_INT(stay_mounted_unit("/usr/lib/modules/6.1.0-56-cloud-amd64", out, sizeof(out)), 0);
	CHECK_STR(out, "usr-lib-modules-6.1.0\\x2d56\\x2dcloud\\x2damd64.mount");
	CHECK_INT(stay_mounted_unit("/.a/.b+", out, sizeof(out)), 0);
	CHECK_STR(out, "\\x2ea-.b\\x2b.mount");
	CHECK_INT(stay_mounted_unit("/a/name/that/is/long", small, sizeof(small)), -ENAMETOOLONG);
}
