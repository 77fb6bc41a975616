/* SPDX-License-Identifier: ISC */
/* privhelper/policy.c: the configuration file's grammar, and what is derived for a slot. */
#include "privhelper/policy.h"
#include "tests/lib/test.h"

static int parse(const char *text, struct policy *p)
{
	return policy_parse(text, strlen(text), p);
}

TEST(defaults)
{
	struct policy p;

	CHECK_INT(parse("", &p), 0);
	CHECK_INT(p.pool, 0x0ad10000);
	CHECK_INT(p.slots_per_user, 64);
	CHECK_INT(p.max_users, 256);
	CHECK(!p.mount);
}

TEST(good)
{
	struct policy p;

	CHECK_INT(parse("# text\n\n pool=172.20.0.0/16\t\nslots_per_user = 3 \nmax_users = 1", &p),
		0);
	CHECK_INT(p.pool, 0xac140000);
	CHECK_INT(p.slots_per_user, 3);
	CHECK_INT(p.max_users, 1);
	CHECK(!p.mount);
	CHECK_INT(parse("mount = no\n", &p), 0);
	CHECK(!p.mount);
	CHECK_INT(parse("mount=yes", &p), 0);
	CHECK(p.mount);
}

TEST(bad)
{
	static const char *const texts[] = {
		"x",
		"pool",
		"pool =",
		"pool = 10.209.0.0",
		"pool = 10.209.0.0/15",
		"pool = 10.209.0.0/24",
		"pool = 10.209.1.0/16",
		"pool = 10.209.0.1/16",
		"pool = 127.0.0.0/16",
		"pool = 169.254.0.0/16",
		"pool = 224.0.0.0/16",
		"pool = 0.1.0.0/16",
		"pool = 010.209.0.0/16",
		"pool = 10.256.0.0/16",
		"pool = 10.209.0.0/16 x",
		"pool = 10.209.0.0/16\npool = 10.209.0.0/16",
		"slots_per_user = 0",
		"slots_per_user = 65",
		"slots_per_user = -1",
		"slots_per_user = +1",
		"slots_per_user = 1 2",
		"slots_per_user = 99999999999999999999",
		"max_users = 0",
		"max_users = 257",
		"max_user = 1",
		"Max_users = 1",
		"max_users = 1 # note",
		"max_users = 1\r",
		"mount =",
		"mount = y",
		"mount = yesno",
		"mount = 1",
		"=",
		" = 1",
	};
	struct policy p = {.pool = 1};

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
		if (parse(texts[i], &p) != -EINVAL)
			test_fail(__FILE__, __LINE__, "accepted: %s", texts[i]);
	CHECK_INT(p.pool, 1);
}

TEST(bad_with_nul)
{
	static const char text[] = "max_users = 1\0";
	struct policy p;

	CHECK_INT(policy_parse(text, sizeof(text), &p), -EINVAL);
}

/* All that a user of index i can have lies in pool.i.0/24, and no two slots share anything. */
TEST(derived)
{
	struct policy p;
	char name[PRIV_NAME], before[PRIV_NAME] = "";
	uint8_t mac[6];

	CHECK_INT(parse("", &p), 0);
	for (unsigned index = 0; index < BG_PRIV_USERS_MAX; index++) {
		for (unsigned slot = 0; slot < BG_SLOTS_MAX; slot++) {
			CHECK_INT(
				policy_guest(&p, index, slot), 0x0ad10000 + index * 256 + slot + 2);
			policy_tap_name(index, slot, name);
			CHECK(priv_kind_ok(PRIV_KIND_IFNAME, (const uint8_t *)name));
			CHECK(strcmp(name, before) != 0);
			memcpy(before, name, sizeof(name));
			policy_mac(index, slot, mac);
			CHECK(priv_kind_ok(PRIV_KIND_MAC, mac));
			CHECK_INT(mac[4] * 256 + mac[5], index * 256 + slot);
		}
		CHECK_INT(policy_gateway(&p, index), 0x0ad10000 + index * 256 + 1);
	}
	CHECK_STR(name, "bgr255-63");
}
