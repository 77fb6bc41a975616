/* SPDX-License-Identifier: ISC */
/* test_guest_setup.c: Which package manager an image has, and by which packages it gets an init. */
#include "guest/setup.h"
#include "tests/lib/test.h"

static const char *only; /* the one tool of the image */

static bool have(const char *tool)
{
	return bg_streq(tool, only);
}

static const char *found(const char *os_release, const char *tool)
{
	const struct setup_family *family;

	only = tool;
	family = setup_find(os_release, have);
	return family ? setup_tool(family) : "none";
}

TEST(the_families_by_id)
{
	static const struct {
		const char *text, *tool;
	} rows[] = {
		{"PRETTY_NAME=\"Debian GNU/Linux 12\"\nID=debian\n", "/usr/bin/apt-get"},
		{"ID=ubuntu\nID_LIKE=debian\n", "/usr/bin/apt-get"},
		{"NAME=\"Alpine Linux\"\nID=alpine\n", "/sbin/apk"},
		{"ID=fedora", "/usr/bin/dnf"},
		{"ID=\"rhel\"\n", "/usr/bin/microdnf"},
		{"ID=arch\n", "/usr/bin/pacman"},
		{"ID='opensuse-leap'\n", "/usr/bin/zypper"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		CHECK_STR(found(rows[i].text, rows[i].tool), rows[i].tool);
}

TEST(relatives_by_id_like)
{
	CHECK_STR(found("ID=linuxmint\nID_LIKE=\"ubuntu debian\"\n", "/usr/bin/apt-get"),
		"/usr/bin/apt-get");
	CHECK_STR(found("ID=rocky\nID_LIKE=\"rhel centos fedora\"\n", "/usr/bin/dnf"),
		"/usr/bin/dnf");
	CHECK_STR(
		found("ID=thing\nID_LIKE=\"other  arch\"\n", "/usr/bin/pacman"), "/usr/bin/pacman");
}

TEST(none_fits)
{
	CHECK_STR(found("ID=nixos\n", "/usr/bin/apt-get"), "none");
	CHECK_STR(found("ID=debian\n", "/sbin/apk"), "none"); /* its tool is not there */
	CHECK_STR(found("", "/usr/bin/apt-get"), "none");
	CHECK_STR(found("ID=\nID_LIKE=\"\"\n", "/usr/bin/apt-get"), "none");
	CHECK_STR(found("VERSION_ID=debian\nIDX=debian\n", "/usr/bin/apt-get"), "none");
	CHECK_STR(found("ID=deb\n", "/usr/bin/apt-get"), "none"); /* whole words */
}

TEST(an_init_that_fits)
{
	CHECK(setup_init_fits("/usr/lib/systemd/systemd", NULL, false));
	CHECK(setup_init_fits("/sbin/openrc-init", NULL, false));
	CHECK(setup_init_fits("/bin/busybox", "::sysinit:/etc/init.d/rcS\n", false));
	CHECK(setup_init_fits("/bin/busybox", "::sysinit:/sbin/openrc sysinit\n", true));
	CHECK(!setup_init_fits("/bin/busybox", "::sysinit:/sbin/openrc sysinit\n", false));
	CHECK(!setup_init_fits("/bin/busybox", NULL, false));
	CHECK(!setup_init_fits("busybox", NULL, true));
}
