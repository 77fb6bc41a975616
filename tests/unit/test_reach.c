/* SPDX-License-Identifier: ISC */
/* worker/reach: how near an address is, and that answers lead no nearer. */
#include "worker/reach.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include "tests/lib/test.h"

static struct sockaddr_storage address(const char *text)
{
	struct sockaddr_storage ss = {0};
	struct sockaddr_in *in = (void *)&ss;
	struct sockaddr_in6 *in6 = (void *)&ss;

	if (inet_pton(AF_INET, text, &in->sin_addr) == 1)
		ss.ss_family = AF_INET;
	else if (inet_pton(AF_INET6, text, &in6->sin6_addr) == 1)
		ss.ss_family = AF_INET6;
	else
		test_fail(__FILE__, __LINE__, "%s", text);
	return ss;
}

static enum reach reach(const char *text)
{
	const struct sockaddr_storage ss = address(text);

	return reach_of((const struct sockaddr *)&ss);
}

static bool allows(const char *text)
{
	const struct sockaddr_storage ss = address(text);

	return reach_allows((const struct sockaddr *)&ss);
}

TEST(how_near_addresses_are)
{
	static const char *const here[] = {"127.0.0.1", "127.255.0.9", "0.0.0.0", "169.254.169.254",
		"100.100.100.200", "168.63.129.16", "192.0.0.192", "224.0.0.1", "255.255.255.255",
		"::1", "::", "fe80::1", "ff02::1", "::ffff:127.0.0.1", "::127.0.0.1",
		"64:ff9b::7f00:1", "::ffff:169.254.169.254"},
				 *const private[] = {"10.1.2.3", "172.16.0.1", "172.31.255.255",
					 "192.168.1.1", "100.64.0.1", "fd00::1", "fc12::1",
					 "::ffff:10.0.0.1", "64:ff9b::a00:1"},
				 *const world[] = {"1.1.1.1", "172.32.0.1", "172.15.0.1",
					 "192.169.0.1", "100.128.0.1", "223.255.255.255",
					 "2001:db8::1", "2606:4700::1", "::ffff:1.1.1.1"};

	for (size_t i = 0; i < ARRAY_SIZE(here); i++)
		CHECK_INT(reach(here[i]), REACH_HERE);
	for (size_t i = 0; i < ARRAY_SIZE(private); i++)
		CHECK_INT(reach(private[i]), REACH_PRIVATE);
	for (size_t i = 0; i < ARRAY_SIZE(world); i++)
		CHECK_INT(reach(world[i]), REACH_WORLD);
}

TEST(named_in_the_world)
{
	reach_named("192.0.2.7:5000");
	CHECK(allows("1.1.1.1"));
	CHECK(allows("2001:db8::1"));
	CHECK(!allows("10.0.0.1"));
	CHECK(!allows("127.0.0.1"));
	CHECK(!allows("::1"));
}

TEST(named_in_a_private_network)
{
	reach_named("https://user:pass@10.0.0.5:8443/list.json");
	CHECK(allows("10.0.0.5"));
	CHECK(allows("192.168.0.7"));
	CHECK(allows("1.1.1.1"));
	CHECK(!allows("127.0.0.1"));
	CHECK(!allows("169.254.169.254"));
}

TEST(named_on_this_host)
{
	reach_named("http://[::1]:8000/list.json");
	CHECK(allows("127.0.0.1"));
	CHECK(allows("10.209.0.2"));
	CHECK(allows("1.1.1.1"));
}

TEST(a_proxy_is_named_too)
{
	reach_named("https://192.0.2.7/file");
	reach_named("127.0.0.1:3128");
	CHECK(allows("127.0.0.1"));
}

TEST(nothing_named_or_no_address)
{
	CHECK(!allows("10.0.0.1"));
	reach_named(NULL);
	reach_named("http://@/");
	CHECK(!allows("10.0.0.1"));
	CHECK(allows("1.1.1.1"));
}
